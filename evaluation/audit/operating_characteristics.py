r"""The audit audits itself: what it does on fair cohorts of exactly this archive's shape.

An archive's patients, groups, queries per patient and strata stay as they are; its outcomes are
replaced by simulated ones that know no group, with the archive's own distribution and its own
likeness within patients. On them the audit's false alarms, the coverage of its intervals and the
error of each gap are counted, and from that error the smallest gap that it would have found.

What is found holds for the instrument on this archive. It says nothing of any patients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.contrasts import Block, compare
from evaluation.audit.hypotheses import PRIMARY, Plan, asked_of, question
from evaluation.audit.standardised import adjust
from evaluation.audit.table_input import Queries, read_queries
from evaluation.stats import Minimum
from evaluation.stats.cluster_sums import patient_sums
from evaluation.stats.variance_floor import intraclass
from medembed.errors import InputError

__all__ = ["Detectable", "Instrument", "fair_outcomes", "latent_likeness", "simulate_instrument"]

Array = NDArray[np.float64]
_PAIRS = 20_000
_VALUES = 2_000_000


@dataclass(frozen=True)
class Detectable:
    """The smallest gap that the audit would find in a group, and the simulation's error.

    None where the group is too small to be assessed or no possible gap is large enough.
    """

    attribute: str
    group: str
    outcome: str
    smallest_gap: float | None
    error: float | None


@dataclass(frozen=True)
class Instrument:
    """What the audit does on fair cohorts of this archive's shape.

    Parameters
    ----------
    false_alarm_rate, false_alarm_rate_error
        Share of fair cohorts in which any comparison with the rest is called a gap, and its error;
        ``false_alarm_rate_primary`` among the hypotheses named beforehand.
    coverage, coverage_error
        Share of intervals of gaps that hold the true gap, which is 0, and its error with cohorts
        as units; None where nothing has an interval.
    icc
        By outcome, from the archive.
    """

    false_alarm_rate: float
    false_alarm_rate_error: float
    false_alarm_rate_primary: float | None
    coverage: float | None
    coverage_error: float | None
    detectable: tuple[Detectable, ...]
    cohorts: int
    icc: Mapping[str, float | None]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        held = asdict(self)
        return held | {name: list(held[name]) for name in ("detectable", "notes")}


def simulate_instrument(
    table: Any,
    outcomes: Sequence[str],
    attributes: Sequence[str],
    *,
    alpha: float = 0.05,
    primary: Sequence[Any] = (),
    families: Mapping[str, Sequence[Any]] | None = None,
    minimum: Minimum | None = None,
    overlap: float = 0.8,
    cohorts: int = 400,
    score_cohorts: int = 40,
    repetitions: int = 500,
    power: float = 0.8,
    seed: int = 0,
    **columns: Any,
) -> Instrument:
    r"""Measure the audit's own false alarms, coverage and smallest detectable gaps.

    Parameters
    ----------
    table, outcomes, attributes, alpha, primary, families, minimum, overlap
        As in :func:`evaluation.audit.audit_outcomes`.
    cohorts : int
        Simulated cohorts, at least 20.
    score_cohorts, repetitions : int
        How many of them draw the bootstrap-t intervals of scores, which takes longest, and of how
        many draws; with strata nothing is drawn.
    power : float
        With which the smallest gap is found.
    seed : int
    **columns
        How the table is read: ``patient``, ``strata``, ``intersections``, ``kinds``,
        ``reference``, ``bands``, ``weight`` and ``cluster`` of the audit.

    Raises
    ------
    InputError
        As the audit; fewer than 20 cohorts.

    Notes
    -----
    An outcome is simulated as :math:`y_i = Q(\Phi(\sqrt\rho\, a_p + \sqrt{1-\rho}\, e_i))` with Q
    the archive's quantiles, a and e standard normal, and ρ such that y has the archive's ICC.
    Outcomes are simulated independently of each other, which raises more false alarms than
    measures of one ranking would. The smallest gap is
    :math:`(t_{1-\alpha/2m} + t_{power})\, s` with s the standard deviation of the simulated gaps,
    m the tests of the family (Holm's first step) and Student's t at one less than the patients of
    the smaller side.
    """
    from scipy.special import stdtrit  # the command line starts without scipy

    if cohorts < 20:
        raise InputError("fewer than 20 cohorts", hint="give 400 or more")
    if not 0 < power < 1 or not 0 < alpha < 0.5:
        raise InputError("a power outside 0 to 1, or an alpha outside 0 to 0.5")
    least = Minimum() if minimum is None else minimum
    queries = read_queries(table, outcomes, attributes, minimum=least, **columns)
    plan = Plan.of(primary, families, queries.groupings, outcomes)
    known = [column[~np.isnan(column)] for column in queries.values.T]
    likeness = [_icc(queries, number) for number in range(len(known))]
    latent = [latent_likeness(*one) for one in zip(known, likeness, strict=True)]
    rng = np.random.default_rng(seed)
    sizes: dict[str, Any] = {"minimum": least, "alpha": alpha}
    drawn = min(score_cohorts, cohorts) if queries.strata is None else 0
    found = []
    for count, draws in _batches(queries, drawn, cohorts, repetitions):
        fair = _side_by_side(queries, [fair_outcomes(queries, latent, rng) for _ in range(count)])
        blocks = compare(fair, contrasts="rest", repetitions=draws, seed=seed, **sizes)
        if fair.strata is not None:
            blocks = adjust(fair, blocks, overlap=overlap, full=False, **sizes)
        found.append(_by_cohort(blocks, count))
    # Of shape (n_cohorts, n_tests), NaN where not tested.
    now, p, gaps, low, high = (np.concatenate(one) for one in zip(*found, strict=True))
    places = [
        (block, group, number)
        for block in blocks
        for group in range(len(block.grouping.names))
        for number in range(len(known))
    ]
    keys = [
        (
            plan.family(b.grouping.attribute, asked_of(b.grouping, g), queries.outcomes[at]),
            *question(b.grouping, queries.outcomes[at], "rest", g, -1),
        )
        for b, g, at in places
    ]
    alarm = _alarms(p, keys, alpha)
    rate = int(np.any(list(alarm.values()), axis=0).sum()) / cohorts
    primary_rate = int(alarm[PRIMARY].sum()) / cohorts if PRIMARY in alarm else 0.0
    usable = (now == 1) & ~np.isnan(low) & ~np.isnan(high)
    coverage, error = _coverage(((low <= 0) & (high >= 0) & usable).sum(axis=1), usable.sum(axis=1))
    tested, spread = (now == 1).all(axis=0), gaps.std(axis=0, ddof=1)
    asked = {key for key, is_tested in zip(keys, tested, strict=True) if is_tested}
    tests = Counter(key[0] for key in asked)
    detectable = []
    for (block, group, at), key, is_tested, s in zip(places, keys, tested, spread, strict=True):
        label = (block.grouping.attribute, block.grouping.names[group], queries.outcomes[at])
        df = max(min(block.measure.k[group, at], block.other_k[group, at]) - 1, 1)
        gap = float((stdtrit(df, 1 - alpha / (2 * max(tests[key[0]], 1))) + stdtrit(df, power)) * s)
        gap *= float(queries.scale[at])
        rate_of = known[at].mean() if len(known[at]) else 0.0  # no rate lies beyond 0 and 1
        if queries.kinds[at] == "proportion" and gap > max(rate_of, 1 - rate_of):
            gap = float("nan")
        if not (is_tested and gap > 0):
            detectable.append(Detectable(*label, None, None))
            continue
        relative = 1 / np.sqrt(2 * (cohorts - 1))
        detectable.append(Detectable(*label, float(f"{gap:.3g}"), float(f"{gap * relative:.2g}")))
    notes = [
        "Simulated outcomes validate the audit on an archive of this shape; they say nothing about "
        "patients.",
        f"The smallest gap is one that would be found in {power:.0%} of such archives if it were "
        "the only one.",
    ]
    if queries.unit is not queries.owner:
        notes.append(
            "Simulated outcomes are alike within patients and not within clusters: where clusters "
            "differ, smaller gaps than these are not found."
        )
    if plan.primary:
        notes.insert(
            1, "Primary questions and all others are two families, each held to "
            f"{alpha:.0%}: the chance of an alarm in either may be twice as high.",
        )  # fmt: skip
    return Instrument(
        rate, float(np.sqrt(max(rate * (1 - rate), 1 / cohorts) / cohorts)),
        primary_rate if plan.primary else None, coverage, error, tuple(detectable), cohorts,
        dict(zip(queries.outcomes, likeness, strict=True)), tuple(notes),
    )  # fmt: skip


def _by_cohort(blocks: Sequence[Block], count: int) -> tuple[Array, ...]:
    """Tested, p, gap and its ends of cohorts that are side by side (n_cohorts, n_tests)."""

    def parted(tables: list[NDArray[Any]]) -> NDArray[Any]:
        held = [
            np.moveaxis(table.reshape(len(table), count, -1), 1, 0).reshape(count, -1)
            for table in tables
        ]
        return np.concatenate(held, axis=1)

    tested = parted([b.tested for b in blocks])
    p, gap = (
        np.where(tested, parted([getattr(b, name) for b in blocks]), np.nan)
        for name in ("p", "gap")
    )
    return (
        tested.astype(np.float64),
        p,
        gap,
        *(parted([b.ends[0, end] for b in blocks]) for end in (0, 1)),
    )


def _batches(
    queries: Queries, drawn: int, cohorts: int, repetitions: int
) -> Iterator[tuple[int, int]]:
    """Cohorts at a time, and draws of their scores' intervals, so that they fit into memory."""
    most = max(1, _VALUES // max(1, queries.values.size))
    for start, end, draws in ((0, drawn, repetitions), (drawn, cohorts, 0)):
        for first in range(start, end, most):
            yield min(most, end - first), draws


def _side_by_side(queries: Queries, cohorts: Sequence[Array]) -> Queries:
    """One table with the outcomes of many cohorts as its columns: what they share is done once."""
    n = len(cohorts)
    return replace(
        queries, values=np.concatenate(cohorts, axis=1), outcomes=queries.outcomes * n,
        scale=np.tile(queries.scale, n), kinds=queries.kinds * n,
    )  # fmt: skip


def _alarms(
    p: Array, keys: Sequence[tuple[Any, ...]], alpha: float
) -> dict[str, NDArray[np.bool_]]:
    """Whether any question of each family is established in each cohort.

    Holm rejects some hypothesis where the smallest p is at most alpha over the number of tests;
    a key is a test's family and its question, which two tests may share.
    """
    first = {key: number for number, key in reversed(list(enumerate(keys)))}
    found = {}
    for family in dict.fromkeys(key[0] for key in keys):
        held = p[:, [number for key, number in first.items() if key[0] == family]]
        made = (~np.isnan(held)).sum(axis=1)
        smallest = np.min(np.where(np.isnan(held), 1.0, held), axis=1)
        found[family] = (made > 0) & (smallest * made <= alpha)
    return found


def _coverage(
    inside: NDArray[np.int64], of: NDArray[np.int64]
) -> tuple[float | None, float | None]:
    """Share of intervals that hold 0, and its error, from each cohort's counts."""
    if not of.sum():
        return None, None
    mean = float(inside.sum() / of.sum())
    residual, k = inside - mean * of, len(of)
    return mean, float(np.sqrt(k / (k - 1) * np.sum(residual**2)) / of.sum())


def _icc(queries: Queries, number: int) -> float | None:
    column = queries.values[:, [number]]
    if np.isnan(column).all():
        return None
    _, s, n, squares = patient_sums(column, queries.owner, queries.n_patients)
    found = float(intraclass(squares.sum(axis=0), s, n)[0])
    return None if np.isnan(found) else found


def fair_outcomes(queries: Queries, latent: Sequence[float], rng: np.random.Generator) -> Array:
    """Outcomes (n_queries, n_outcomes) that know no group, missing where the archive's are."""
    from scipy.special import ndtr

    values = np.full(queries.values.shape, np.nan)
    for number, rho in enumerate(latent):
        known = ~np.isnan(queries.values[:, number])
        owner = queries.owner[known]
        own = rng.standard_normal(queries.n_patients)[owner]
        z = np.sqrt(rho) * own + np.sqrt(1 - rho) * rng.standard_normal(len(owner))
        values[known, number] = _quantiles(queries.values[known, number], ndtr(z))
    return values


def latent_likeness(values: Array, icc: float | None) -> float:
    """Correlation of two normal variables whose values, at these quantiles, have that ICC."""
    from scipy.special import ndtr

    if icc is None or icc <= 0 or len(values) < 2 or np.ptp(values) == 0:
        return 0.0
    z, a, b = np.random.default_rng(0).standard_normal((3, _PAIRS))
    low, high = 0.0, 1.0
    for _ in range(20):
        rho = (low + high) / 2
        one, two = (
            _quantiles(values, ndtr(np.sqrt(rho) * z + np.sqrt(1 - rho) * x)) for x in (a, b)
        )
        reached = np.mean((one - one.mean()) * (two - two.mean())) / np.var(values)
        low, high = (rho, high) if reached < icc else (low, rho)
    return (low + high) / 2


def _quantiles(values: Array, u: Array) -> Array:
    ranked = np.sort(values)
    if not len(ranked):
        return np.full(len(u), np.nan)
    return np.asarray(ranked[np.minimum((u * len(ranked)).astype(np.int64), len(ranked) - 1)])
