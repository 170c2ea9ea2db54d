"""Compare two models of a library on the same queries: what stays, what gets better, for whom.

Every query is a case of the archive, and searches all other patients' cases that both models have
vectors of. What is compared are the models: order by similarity, without the weight that a search
by words gives to what it reads in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.audit import audit_outcomes
from evaluation.change.comparison import compare_outcomes
from evaluation.library_audit.attributes import ATTRIBUTES, attribute_values
from evaluation.retrieval.load_cases import LoadedCases, same_finding
from evaluation.retrieval.relevance import Pairs, SameLabel
from evaluation.shadow.neighbors import first_kept, nearest, overlap, rank_biased_overlap
from evaluation.shadow.queries import (
    KINDS,
    ComparedModel,
    QueryVectors,
    draw_queries,
    load_both,
    query_vectors,
)
from evaluation.stats.bootstrap import PatientResampler
from evaluation.stats.small_groups import merge_labels
from evaluation.stats.suppression import protect, round_count
from evaluation.stats.verdict import Minimum
from medembed.errors import InputError, LibraryError
from medembed.progress import Progress, no_progress

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["AGE_BANDS", "ChangedCase", "ShadowComparison", "compare_library_models"]

AGE_BANDS = (40, 60, 75)
_MINIMUM = Minimum()
_MOST_CHANGED = 20
_ALL = "all"
_CELLS = 8_000_000

Column = NDArray[np.float64]


@dataclass(frozen=True)
class ChangedCase:
    """A query whose hits change much. It names a case and is no part of a report.

    Parameters
    ----------
    case_id : str
    kind : {"image", "note", "words"}
    overlap : float
        Share of the first k hits that both models find.
    first_before, first_after : str
        Case ids of the first hits.
    precision_before, precision_after : float or None
        Share of the first k hits with a finding of the query; None without findings.
    """

    case_id: str
    kind: str
    overlap: float
    first_before: str
    first_after: str
    precision_before: float | None
    precision_after: float | None


@dataclass(frozen=True)
class ShadowComparison:
    """Outcome of :func:`compare_library_models`.

    Parameters
    ----------
    report : dict
        Plain values, protected by the rule of small groups; it names no case. ``agreement`` and
        ``quality`` hold a row for each kind of query and measure, over all and by group.
    most_changed : tuple of ChangedCase
    """

    report: dict[str, Any]
    most_changed: tuple[ChangedCase, ...]


@dataclass(frozen=True)
class _Measured:
    """One kind of query: each query's case, its hits, and its columns."""

    rows: NDArray[np.int64]
    hits: tuple[NDArray[np.int64], NDArray[np.int64]]
    agreement: dict[str, Column]
    quality: dict[str, tuple[Column, Column]]


def compare_library_models(
    library: CaseLibrary,
    candidate: ComparedModel,
    active: ComparedModel,
    *,
    k: int = 10,
    queries: int = 500,
    by: Sequence[str] = ("sex", "age_band"),
    repetitions: int = 2000,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ShadowComparison:
    """Search with two models for the same queries and compare the hits.

    Parameters
    ----------
    library : CaseLibrary
    candidate, active : ComparedModel
        Both have image vectors in the library.
    k : int
        Hits of each query.
    queries : int
        Most cases to ask with, drawn patient by patient; only those held out if one of the models
        was trained here.
    by : sequence of str
        Attributes of groups. Groups of 1 to 10 patients are merged or not shown.
    repetitions, seed : int
        Of the intervals, whose unit is the patient.
    progress : callable of (done, total)

    Raises
    ------
    FingerprintError, LibraryError
        If a model has no vectors here, no case is held out, or the queries are of fewer than 11
        patients.
    InputError
        If the models are the same, or no case has an attribute.
    """
    if candidate.fingerprint == active.fingerprint:
        raise InputError("a model compared with itself", where=candidate.name)
    if k < 1 or queries < 1:
        raise InputError("k and the number of queries have to be at least 1")
    by = _attributes(library, by)
    cases, after, coverage = load_both(library, active, candidate)
    held_out = candidate.trained_here or active.trained_here
    rows = draw_queries(library, cases, queries, held_out, seed)
    _check_size(cases, rows)
    measured: dict[str, _Measured] = {}
    missing: dict[str, str] = {}
    for number, kind in enumerate(KINDS):
        progress(number, len(KINDS) + 1)
        asked = query_vectors(kind, library, cases, after, rows, (active, candidate))
        if isinstance(asked, str):
            missing[kind] = asked
        elif _n_patients(cases, asked.rows) < _MINIMUM.reported:
            missing[kind] = f"queries of fewer than {_MINIMUM.reported} patients"
        else:
            measured[kind] = _measure(cases, after, asked, k)
    progress(len(KINDS), len(KINDS) + 1)
    report = _report(library, cases, rows, measured, by, k, repetitions, seed)
    report |= {
        "k": k,
        "active": {"name": active.name, "fingerprint": active.fingerprint},
        "candidate": {"name": candidate.name, "fingerprint": candidate.fingerprint},
        "held_out": held_out,
        "coverage": {
            name: round_count(n) if report["rounded"] else n for name, n in coverage.items()
        },
        "not_assessable": missing,
        "seed": seed,
    }
    progress(len(KINDS) + 1, len(KINDS) + 1)
    return ShadowComparison(report, _most_changed(cases, measured, k))


def _attributes(library: CaseLibrary, by: Sequence[str]) -> tuple[str, ...]:
    there = (*ATTRIBUTES, *library.attribute_names())
    names = tuple(dict.fromkeys("age_band" if name == "age" else name for name in by))
    for name in names:
        if name not in there:
            raise InputError(
                f"no case has the attribute {name!r}",
                where="by",
                hint=f"use {', '.join(sorted(there))}",
            )
    return names


def _n_patients(cases: LoadedCases, rows: NDArray[np.int64]) -> int:
    return len(np.unique(cases.owners[rows]))


def _check_size(cases: LoadedCases, rows: NDArray[np.int64]) -> None:
    if _n_patients(cases, rows) < _MINIMUM.reported:
        raise LibraryError(
            f"the queries are of fewer than {_MINIMUM.reported} patients",
            hint="a comparison needs more cases with vectors of both models",
        )


def _measure(
    cases: LoadedCases, after: NDArray[np.float32], asked: QueryVectors, k: int
) -> _Measured:
    left_out = _own(cases, asked.rows)
    hits = (
        nearest(asked.before, cases.images, left_out, k),
        nearest(asked.after, after, left_out, k),
    )
    agreement = {
        f"overlap@{k}": overlap(*hits),
        "first hit kept": first_kept(*hits),
        "rank-biased overlap": rank_biased_overlap(*hits),
    }
    findings = [cases.findings[row] for row in asked.rows.tolist()]
    relevant = same_finding(findings, cases.findings, side=True)
    precision = _precision(relevant, left_out, hits)
    return _Measured(asked.rows, hits, agreement, {f"P@{k}": precision} if precision else {})


def _own(cases: LoadedCases, rows: NDArray[np.int64]) -> Pairs:
    """The query's own patient, and copies of its images, are no hits."""
    owner = SameLabel(cases.owners[rows], cases.owners)
    scan = SameLabel(cases.scans[rows], cases.scans)
    return Pairs(owner.shape, lambda start, stop: owner.rows(start, stop) | scan.rows(start, stop))


def _precision(
    relevant: Pairs, left_out: Pairs, hits: tuple[NDArray[np.int64], ...]
) -> tuple[Column, Column] | None:
    """Share of hits with a finding of the query; NaN where no other patient has it."""
    n_queries, n_items = relevant.shape
    found = np.full((2, n_queries), np.nan)
    step = max(1, _CELLS // n_items)
    for start in range(0, n_queries, step):
        stop = min(start + step, n_queries)
        right = relevant.rows(start, stop) & ~left_out.rows(start, stop)
        answerable = right.any(axis=1)
        for model, listed in enumerate(hits):
            lines = listed[start:stop]
            shown = np.take_along_axis(right, np.maximum(lines, 0), axis=1) & (lines >= 0)
            share = shown.sum(axis=1) / lines.shape[1]
            found[model, start:stop] = np.where(answerable, share, np.nan)
    return None if np.isnan(found).all() else (found[0], found[1])


def _report(
    library: CaseLibrary,
    cases: LoadedCases,
    rows: NDArray[np.int64],
    measured: Mapping[str, _Measured],
    by: Sequence[str],
    k: int,
    repetitions: int,
    seed: int,
) -> dict[str, Any]:
    """Rows of what stays and of what gets better, as they may be shown."""
    owners = cases.owners[rows]
    held = list(library.select([cases.case_ids[row] for row in rows.tolist()]))
    labels = {name: attribute_values(held, name, AGE_BANDS) for name in by}
    merged, groups = {}, {}
    for name, given in labels.items():
        groups[name], small = merge_labels(given, owners, _MINIMUM)
        if small:
            merged[name] = list(small)
    place = {row: at for at, row in enumerate(rows.tolist())}
    stays: dict[str, Column] = {}
    before: dict[str, Column] = {}
    then: dict[str, Column] = {}
    for kind, found in measured.items():
        at = [place[row] for row in found.rows.tolist()]
        for name, column in found.agreement.items():
            stays[f"{kind}: {name}"] = _spread(column, at, len(rows))
        for name, (old, new) in found.quality.items():
            before[f"{kind}: {name}"] = _spread(old, at, len(rows))
            then[f"{kind}: {name}"] = _spread(new, at, len(rows))
    base: dict[str, Any] = {"patient_id": owners, "case_id": list(range(len(rows))), **groups}
    drawn: dict[str, Any] = {"repetitions": repetitions, "seed": seed}
    table = _overall(stays, owners, repetitions, seed)
    settings: dict[str, Any] = {"merged": merged}
    notes: list[str] = []
    if by:
        audit = audit_outcomes(
            base | stays, list(stays), list(groups), intersections=False, permutations=0, **drawn
        ).to_json()
        settings |= {"rounded": audit["settings"]["rounded"]}
        table += audit["table"]
        notes += audit["notes"]
    quality: dict[str, Any] = {"rows": [], "overlap": {}, "notes": []}
    if before:
        compared = compare_outcomes(
            base | before, base | then, list(before), list(groups), query="case_id", **drawn
        ).to_json()
        settings["rounded"] = settings.get("rounded", False) or compared["settings"]["rounded"]
        quality = compared
        notes += [line for line in compared["notes"] if line not in notes]
    n_patients = len(np.unique(owners))
    shown = protect(
        {
            "stamp": {"n_cases": len(rows), "n_patients": n_patients},
            "outcomes": {"settings": settings, "table": table},
            "comparison": {"rows": quality["rows"], "overlap": quality["overlap"]},
        }
    )
    return {
        "n_queries": shown["stamp"]["n_cases"],
        "n_patients": shown["stamp"]["n_patients"],
        "agreement": [_agreement_row(row) for row in shown["outcomes"]["table"]],
        "quality": [_quality_row(row) for row in shown["comparison"]["rows"]],
        "merged": merged,
        "rounded": bool(shown.get("small_groups")),
        "notes": notes,
    }


def _spread(column: Column, at: Sequence[int], size: int) -> Column:
    whole = np.full(size, np.nan)
    whole[list(at)] = column
    return whole


def _overall(
    columns: Mapping[str, Column], owners: NDArray[np.int64], repetitions: int, seed: int
) -> list[dict[str, Any]]:
    """A row for all queries of each measure, with an interval over patients."""
    rows = []
    for name, column in columns.items():
        there = ~np.isnan(column)
        drawn = PatientResampler(owners[there], repetitions=repetitions, seed=seed)
        ends = drawn.interval(drawn.means(column[there, None])[:, 0], bounds=(0.0, 1.0))
        low, high = ends or (None, None)
        rows.append(
            {
                "attribute": _ALL,
                "group": _ALL,
                "outcome": name,
                "comparison": "rest",
                "n_patients": drawn.n_patients,
                "n_queries": int(there.sum()),
                "n_unmeasured": int((~there).sum()),
                "precision": _MINIMUM.precision(drawn.n_patients),
                "estimate": float(column[there].mean()),
                "ci_low": low,
                "ci_high": high,
            }
        )
    return rows


_SHOWN = ("attribute", "group", "n_patients", "n_queries", "precision", "ci_low", "ci_high")


def _agreement_row(row: Mapping[str, Any]) -> dict[str, Any]:
    kind, _, measure = str(row["outcome"]).partition(": ")
    kept = {name: row.get(name) for name in (*_SHOWN, "estimate", "gap", "verdict", "reason")}
    return {"kind": kind, "measure": measure, **kept}


def _quality_row(row: Mapping[str, Any]) -> dict[str, Any]:
    kind, _, measure = str(row["outcome"]).partition(": ")
    names = (*_SHOWN, "before", "after", "change", "p", "p_adjusted", "verdict", "reason")
    return {"kind": kind, "measure": measure, **{name: row.get(name) for name in names}}


def _most_changed(
    cases: LoadedCases, measured: Mapping[str, _Measured], k: int
) -> tuple[ChangedCase, ...]:
    found: list[tuple[float, float, ChangedCase]] = []
    for kind, its in measured.items():
        shares = its.agreement[f"overlap@{k}"]
        weights = its.agreement["rank-biased overlap"]
        precision = its.quality.get(f"P@{k}")
        for at in np.flatnonzero(~np.isnan(shares) & (weights < 1)).tolist():
            first = [int(listed[at, 0]) for listed in its.hits]
            right: list[float | None] = [None, None]
            if precision is not None and not np.isnan(precision[0][at]):
                right = [float(column[at]) for column in precision]
            names = [cases.case_ids[row] if row >= 0 else "" for row in first]
            one = ChangedCase(
                cases.case_ids[its.rows[at]],
                kind,
                float(shares[at]),
                names[0],
                names[1],
                *right,
            )
            found.append((float(shares[at]), float(weights[at]), one))
    found.sort(key=lambda each: (each[:2], each[2].kind, each[2].case_id))
    return tuple(each for *_, each in found[:_MOST_CHANGED])
