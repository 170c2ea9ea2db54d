"""What a review session shows of its readers: revisions, times, and agreement of two readers.

Time and content are measured apart: the time to the first impression, which is blind, and the time
to the end, which includes the report. Both count only while the case was open on a screen
(:class:`medembed.reviews.ReviewStore`). Nothing here says who is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np

from evaluation.stats.kappa import Kappa, cohen_kappa
from evaluation.stats.proportions import korn_graubard
from medembed.reviews import Impression, Reading

__all__ = [
    "Agreement",
    "Disagreement",
    "ReaderMeasures",
    "ReviewMeasures",
    "Share",
    "Stage",
    "Times",
    "measure_review",
]


class Stage(StrEnum):
    """Which impression is compared."""

    FIRST = "first"  # blind, before the reveal
    FINAL = "final"  # after it


@dataclass(frozen=True)
class Share:
    """A share of readings with its interval; all None without a reading.

    Parameters
    ----------
    value, low, high : float or None
    count, n : int
    """

    value: float | None
    low: float | None
    high: float | None
    count: int
    n: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "share": self.value,
            "ci_low": self.low,
            "ci_high": self.high,
            "count": self.count,
            "n": self.n,
        }


@dataclass(frozen=True)
class Times:
    """Seconds of readings: median and quartiles; None without a reading.

    Parameters
    ----------
    median, lower, upper : float or None
    n : int
    """

    median: float | None
    lower: float | None
    upper: float | None
    n: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {"median": self.median, "q1": self.lower, "q3": self.upper, "n": self.n}


@dataclass(frozen=True)
class ReaderMeasures:
    """One reader, or all of them together.

    Parameters
    ----------
    reader : str
        Empty for all readers.
    n_opened, n_revealed, n_finished : int
    revised : Share
        Of the finished readings, those whose final impression differs from the first.
    findings_revised : Share
        Those whose findings differ, sides included.
    to_impression, to_end : Times
    """

    reader: str
    n_opened: int
    n_revealed: int
    n_finished: int
    revised: Share
    findings_revised: Share
    to_impression: Times
    to_end: Times

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "reader": self.reader,
            "n_opened": self.n_opened,
            "n_revealed": self.n_revealed,
            "n_finished": self.n_finished,
            "revised": self.revised.to_json(),
            "findings_revised": self.findings_revised.to_json(),
            "seconds_to_impression": self.to_impression.to_json(),
            "seconds_to_end": self.to_end.to_json(),
        }


@dataclass(frozen=True)
class Disagreement:
    """A case on which two readers chose different findings.

    Parameters
    ----------
    case_id : str
    first, second : tuple of str
        All that each chose.
    labels : tuple of str
        Findings that only one of them chose.
    sides : tuple of str
        Findings that both chose, on different sides.
    """

    case_id: str
    first: tuple[str, ...]
    second: tuple[str, ...]
    labels: tuple[str, ...]
    sides: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "case_id": self.case_id,
            "first": list(self.first),
            "second": list(self.second),
            "labels": list(self.labels),
            "sides": list(self.sides),
        }


@dataclass(frozen=True)
class Agreement:
    """How far two readers agree on findings, sides aside.

    Parameters
    ----------
    first, second : str
        The readers.
    stage : Stage
    n_cases : int
        That both have read.
    overall : Kappa
        Over all pairs of a case and a finding that at least one of them chose in some case.
    by_finding : dict of str to Kappa
    disagreements : tuple of Disagreement
    """

    first: str
    second: str
    stage: Stage
    n_cases: int
    overall: Kappa
    by_finding: dict[str, Kappa]
    disagreements: tuple[Disagreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "readers": [self.first, self.second],
            "stage": self.stage.value,
            "n_cases": self.n_cases,
            "overall": self.overall.to_json(),
            "by_finding": {label: kappa.to_json() for label, kappa in self.by_finding.items()},
            "disagreements": [one.to_json() for one in self.disagreements],
        }


@dataclass(frozen=True)
class ReviewMeasures:
    """All measures of a session.

    Parameters
    ----------
    everyone : ReaderMeasures
    readers : tuple of ReaderMeasures
    agreements : tuple of Agreement
        Of each two readers, for first and final impressions.
    """

    everyone: ReaderMeasures
    readers: tuple[ReaderMeasures, ...]
    agreements: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "everyone": self.everyone.to_json(),
            "readers": [reader.to_json() for reader in self.readers],
            "agreements": [one.to_json() for one in self.agreements],
        }


def measure_review(readings: Iterable[Reading], patients: Mapping[str, str]) -> ReviewMeasures:
    """Measure a session's readings.

    Parameters
    ----------
    readings : iterable of Reading
    patients : mapping of str to str
        Whose case it is: intervals treat a patient's cases as one unit.
    """
    everything = list(readings)
    readers = sorted({reading.reader for reading in everything})
    of_reader = {name: [r for r in everything if r.reader == name] for name in readers}
    return ReviewMeasures(
        _measure_reader("", everything, patients),
        tuple(_measure_reader(name, own, patients) for name, own in of_reader.items()),
        tuple(
            _agreement(one, other, stage, of_reader, patients)
            for one, other in combinations(readers, 2)
            for stage in Stage
        ),
    )


def _measure_reader(
    reader: str, readings: Sequence[Reading], patients: Mapping[str, str]
) -> ReaderMeasures:
    revealed = [reading for reading in readings if not reading.state.is_blind]
    finished = [reading for reading in readings if reading.is_finished]
    owners = [patients[reading.case_id] for reading in finished]
    return ReaderMeasures(
        reader,
        len(readings),
        len(revealed),
        len(finished),
        _share([reading.is_revised for reading in finished], owners),
        _share([reading.has_revised_findings for reading in finished], owners),
        _times([reading.impression_seconds for reading in revealed]),
        _times([reading.end_seconds for reading in finished]),
    )


def _share(outcomes: Sequence[bool], patients: Sequence[str]) -> Share:
    if not outcomes:
        return Share(None, None, None, 0, 0)
    owners = sorted(set(patients))
    place = {patient: at for at, patient in enumerate(owners)}
    sums, sizes = np.zeros((len(owners), 1)), np.zeros((len(owners), 1))
    for outcome, patient in zip(outcomes, patients, strict=True):
        sums[place[patient]] += outcome
        sizes[place[patient]] += 1
    p, low, high, _ = korn_graubard(sums, sizes)
    return Share(float(p[0]), float(low[0]), float(high[0]), sum(outcomes), len(outcomes))


def _times(seconds: Sequence[float | None]) -> Times:
    known = [value for value in seconds if value is not None]
    if not known:
        return Times(None, None, None, 0)
    lower, median, upper = (float(x) for x in np.quantile(known, (0.25, 0.5, 0.75)))
    return Times(median, lower, upper, len(known))


def _agreement(
    first: str,
    second: str,
    stage: Stage,
    readings: Mapping[str, Sequence[Reading]],
    patients: Mapping[str, str],
) -> Agreement:
    one, other = (_impressions(readings[name], stage) for name in (first, second))
    cases = [case_id for case_id in one if case_id in other]
    labels = sorted({label for at in cases for label in one[at].labels | other[at].labels})
    owners = [patients[case_id] for case_id in cases]
    chosen = {
        label: ([label in one[c].labels for c in cases], [label in other[c].labels for c in cases])
        for label in labels
    }
    pooled = [[value for label in labels for value in chosen[label][i]] for i in (0, 1)]
    return Agreement(
        first,
        second,
        stage,
        len(cases),
        cohen_kappa(pooled[0], pooled[1], owners * len(labels)),
        {label: cohen_kappa(a, b, owners) for label, (a, b) in chosen.items()},
        tuple(found for c in cases if (found := _disagreement(c, one[c], other[c])) is not None),
    )


def _impressions(readings: Sequence[Reading], stage: Stage) -> dict[str, Impression]:
    """The impressions that no longer change, by case."""
    found: dict[str, Impression] = {}
    for reading in readings:
        if stage is Stage.FIRST and not reading.state.is_blind and reading.impression:
            found[reading.case_id] = reading.impression
        if stage is Stage.FINAL and reading.is_finished and reading.revision:
            found[reading.case_id] = reading.revision
    return found


def _disagreement(case_id: str, one: Impression, other: Impression) -> Disagreement | None:
    labels = one.labels ^ other.labels
    shared = one.labels & other.labels
    sides = [label for label in sorted(shared) if _sides(one, label) != _sides(other, label)]
    if not labels and not sides:
        return None
    return Disagreement(case_id, one.findings, other.findings, tuple(sorted(labels)), tuple(sides))


def _sides(impression: Impression, label: str) -> frozenset[str]:
    """Sides of a finding; both sides named apart are bilateral."""
    sides = {name.partition(":")[2] for name in impression.findings if name.split(":")[0] == label}
    if {"left", "right"} <= sides or "bilateral" in sides:
        return frozenset({"left", "right"})
    return frozenset(sides - {""})
