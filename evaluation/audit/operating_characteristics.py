r"""The audit audits itself: what it does on fair cohorts of exactly this archive's shape.

An archive's patients, groups, queries per patient and strata stay as they are; its outcomes are
replaced by simulated ones that know no group, with the archive's own distribution and its own
likeness within patients. On them the audit's false alarms, the coverage of its intervals and the
error of each gap are counted, and from that error the smallest gap that it would have found.

What is found holds for the instrument on this archive. It says nothing of any patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit.contrasts import Block, compare
from evaluation.audit.hypotheses import PRIMARY, Plan, asked_of, question
from evaluation.audit.standardised import adjust
from evaluation.audit.table_input import Kind, Queries, read_queries
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
    """The smallest gap that the audit would find in a group.

    Parameters
    ----------
    attribute, group, outcome : str
    smallest_gap : float or None
        Found with the power asked for, 80% by default, if it were the only gap; None where the
        group is too small to be assessed or no possible gap is large enough.
    error : float or None
        Of the simulation.
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
    false_alarm_rate, false_alarm_rate_error : float
        Share of fair cohorts in which any comparison with the rest is called a gap, and the
        simulation's standard error.
    false_alarm_rate_primary : float or None
        The same among the hypotheses named beforehand.
    coverage, coverage_error : float or None
        Share of intervals of gaps that hold the true gap, which is 0, and its error with cohorts
        as units; None where nothing has an interval.
    detectable : tuple of Detectable
    cohorts : int
    icc : dict of str to float or None
        By outcome, from the archive.
    notes : tuple of str
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
        held["detectable"] = [asdict(row) for row in self.detectable]
        held["notes"] = list(self.notes)
        return held


def simulate_instrument(
    table: Any,
    outcomes: Sequence[str],
    attributes: Sequence[str],
    *,
    patient: str = "patient_id",
    strata: Sequence[str] = (),
    alpha: float = 0.05,
    intersections: bool | Sequence[Sequence[str]] = True,
    primary: Sequence[Any] = (),
    families: Mapping[str, Sequence[Any]] | None = None,
    minimum: Minimum | None = None,
    kinds: Mapping[str, Kind] | None = None,
    overlap: float = 0.8,
    cohorts: int = 400,
    score_cohorts: int = 40,
    repetitions: int = 500,
    power: float = 0.8,
    seed: int = 0,
    reference: Mapping[str, str] | None = None,
    bands: Mapping[str, Sequence[float] | int] | None = None,
    weight: str | None = None,
    cluster: str | None = None,
) -> Instrument:
    r"""Measure the audit's own false alarms, coverage and smallest detectable gaps.

    Parameters
    ----------
    table, outcomes, attributes, patient, strata, alpha, intersections, primary, families, minimum,
    kinds, overlap, reference, bands, weight, cluster
        As in :func:`evaluation.audit.audit_outcomes`.
    cohorts : int
        Simulated cohorts, at least 20.
    score_cohorts : int
        How many of them draw the bootstrap-t intervals of scores, which takes longest; with strata
        nothing is drawn.
    repetitions : int
        Draws of each such interval.
    power : float
        With which the smallest gap is found.
    seed : int

    Returns
    -------
    Instrument

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
    queries = read_queries(
        table, outcomes, attributes, patient=patient, strata=strata,
        intersections=intersections, kinds=kinds, minimum=least, reference=reference, bands=bands,
        weight=weight, cluster=cluster,
    )  # fmt: skip
    plan = Plan.of(primary, families, queries.groupings, outcomes)
    likeness = {name: _icc(queries, number) for number, name in enumerate(queries.outcomes)}
    latent = [
        latent_likeness(_known(queries, number), icc)
        for number, icc in enumerate(likeness.values())
    ]
    rng = np.random.default_rng(seed)
    sizes: dict[str, Any] = {"minimum": least, "alpha": alpha}
    drawn = min(score_cohorts, cohorts) if queries.strata is None else 0
    found: list[_Found] = []
    for count, draws in _batches(queries, drawn, cohorts, repetitions):
        fair = _side_by_side(queries, [fair_outcomes(queries, latent, rng) for _ in range(count)])
        blocks = compare(fair, contrasts="rest", repetitions=draws, seed=seed, **sizes)
        adjusted = blocks
        if fair.strata is not None:
            adjusted = adjust(fair, blocks, overlap=overlap, full=False, **sizes)
        found.append(_Found.of(adjusted, count))
    names, questions = _asked(blocks, plan, queries)
    family = np.array(names, dtype=object)
    sides = [np.minimum(b.measure.k[b.first], b.other_k) for b in blocks]
    fewest = np.concatenate([k[:, : len(queries.outcomes)].ravel() for k in sides])
    now, p, gaps, low, high = (
        np.concatenate([getattr(one, name) for one in found])
        for name in ("tested", "p", "gap", "low", "high")
    )
    alarm = _alarms(p, names, questions, alpha)
    alarms = int(np.any(list(alarm.values()), axis=0).sum())
    primary_alarms = int(alarm[PRIMARY].sum()) if PRIMARY in alarm else 0
    usable = now & ~np.isnan(low) & ~np.isnan(high)
    held = np.stack([((low <= 0) & (high >= 0) & usable).sum(axis=1), usable.sum(axis=1)])
    tested = np.asarray(now.all(axis=0))
    spread = gaps.std(axis=0, ddof=1)
    asked = {(f, *q) for f, q, t in zip(family, questions, tested, strict=True) if t}
    m = np.array([sum(key[0] == name for key in asked) for name in family], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        df = np.maximum(fewest - 1, 1)
        reach = stdtrit(df, 1 - alpha / (2 * np.maximum(m, 1))) + stdtrit(df, power)
        smallest = np.where(tested & (spread > 0), reach * spread, np.nan)
    rate = alarms / cohorts
    coverage, error = _coverage(held)
    return Instrument(
        rate,
        float(np.sqrt(max(rate * (1 - rate), 1 / cohorts) / cohorts)),
        primary_alarms / cohorts if plan.primary else None,
        coverage,
        error,
        _detectable(blocks, queries, smallest, 1 / np.sqrt(2 * (cohorts - 1))),
        cohorts,
        likeness,
        (
            "Simulated outcomes validate the audit on an archive of this shape; they say nothing "
            "about patients.",
            *(
                (
                    "Primary questions and all others are two families, each held to "
                    f"{alpha:.0%}: the chance of an alarm in either may be twice as high.",
                )
                if plan.primary
                else ()
            ),
            f"The smallest gap is one that would be found in {power:.0%} of such archives if it "
            "were the only one.",
        ),
    )


@dataclass(frozen=True)
class _Found:
    """A batch of cohorts; arrays of shape (n_cohorts, n_tests), NaN where not tested."""

    tested: NDArray[np.bool_]
    p: Array
    gap: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, blocks: Sequence[Block], count: int) -> _Found:
        """Part the outcomes of all cohorts, which are side by side, by cohort."""

        def by_cohort(tables: list[Any]) -> Any:
            parted = [
                np.moveaxis(table.reshape(len(table), count, -1), 1, 0).reshape(count, -1)
                for table in tables
            ]
            return np.concatenate(parted, axis=1)

        tested = by_cohort([b.tested for b in blocks])
        p, gap = (
            np.where(tested, by_cohort([getattr(b, name) for b in blocks]), np.nan)
            for name in ("p", "gap")
        )
        low, high = (by_cohort([b.ends[0, end] for b in blocks]) for end in (0, 1))
        return cls(tested, p, gap, low, high)


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
        queries,
        values=np.concatenate(cohorts, axis=1),
        outcomes=queries.outcomes * n,
        scale=np.tile(queries.scale, n),
        kinds=queries.kinds * n,
    )


def _alarms(
    p: Array, families: Sequence[str], questions: Sequence[tuple[Any, ...]], alpha: float
) -> dict[str, NDArray[np.bool_]]:
    """Whether any question of each family is established in each cohort.

    Holm rejects some hypothesis where the smallest p is at most alpha over the number of tests.
    """
    first: dict[tuple[Any, ...], int] = {}
    for number, (family, asked) in enumerate(zip(families, questions, strict=True)):
        first.setdefault((family, *asked), number)
    found = {}
    for family in dict.fromkeys(families):
        held = p[:, [number for key, number in first.items() if key[0] == family]]
        made = (~np.isnan(held)).sum(axis=1)
        smallest = np.min(np.where(np.isnan(held), 1.0, held), axis=1)
        found[family] = (made > 0) & (smallest * made <= alpha)
    return found


def fair_outcomes(queries: Queries, latent: Sequence[float], rng: np.random.Generator) -> Array:
    """Outcomes (n_queries, n_outcomes) that know no group, missing where the archive's are."""
    from scipy.special import ndtr

    values = np.full(queries.values.shape, np.nan)
    for number, rho in enumerate(latent):
        known = ~np.isnan(queries.values[:, number])
        owner = queries.owner[known]
        own = rng.standard_normal(queries.n_patients)[owner]
        z = np.sqrt(rho) * own + np.sqrt(1 - rho) * rng.standard_normal(len(owner))
        values[known, number] = _quantiles(_known(queries, number), ndtr(z))
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


def _known(queries: Queries, number: int) -> Array:
    column = queries.values[:, number]
    return np.asarray(column[~np.isnan(column)])


def _icc(queries: Queries, number: int) -> float | None:
    column = queries.values[:, number]
    if np.isnan(column).all():
        return None
    _, s, n, squares = patient_sums(column[:, None], queries.owner, queries.n_patients)
    found = float(intraclass(squares.sum(axis=0), s, n)[0])
    return None if np.isnan(found) else found


def _asked(
    blocks: list[Block], plan: Plan, queries: Queries
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Family and question of each row of each block, groups first, then outcomes."""
    families, questions = [], []
    for block in blocks:
        for group in range(len(block.grouping.names)):
            for outcome in queries.outcomes:
                families.append(
                    plan.family(block.grouping.attribute, asked_of(block.grouping, group), outcome)
                )
                questions.append(question(block.grouping, outcome, "rest", group, -1))
    return families, questions


def _coverage(held: NDArray[np.int64]) -> tuple[float | None, float | None]:
    inside, of = held.astype(np.float64)
    if not of.sum():
        return None, None
    mean = float(inside.sum() / of.sum())
    residual = inside - mean * of
    k = len(of)
    return mean, float(np.sqrt(k / (k - 1) * np.sum(residual**2)) / of.sum())


def _detectable(
    blocks: list[Block], queries: Queries, smallest: Array, relative: float
) -> tuple[Detectable, ...]:
    rows = []
    at = 0
    for block in blocks:
        for label in block.grouping.names:
            for number, outcome in enumerate(queries.outcomes):
                gap = float(smallest[at]) * float(queries.scale[number])
                at += 1
                known = _known(queries, number)
                # Beyond it no rate of the group could lie.
                most = max(known.mean(), 1 - known.mean()) if len(known) else 0.0
                if queries.kinds[number] == "proportion" and gap > most:
                    gap = float("nan")
                rows.append(
                    Detectable(
                        block.grouping.attribute,
                        label,
                        outcome,
                        None if np.isnan(gap) else float(f"{gap:.3g}"),
                        None if np.isnan(gap) else float(f"{gap * relative:.2g}"),
                    )
                )
    return tuple(rows)
