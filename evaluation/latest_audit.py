"""The latest audit of a library in a few numbers, kept beside it for those who search it.

``medembed audit LIBRARY`` writes ``audit/latest.json`` into the library's folder. It holds a part
of the report that was written, whose small groups are merged, withheld or rounded already
(:func:`evaluation.stats.suppression.protect`): nothing that the report does not show.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from medembed.privacy.private_files import private_folder, replace_private

__all__ = ["AuditedGroup", "AuditedOutcome", "LatestAudit", "keep_latest", "read_latest"]

FOLDER, FILE = "audit", "latest.json"
VERSION = 1
_NO_VERDICT = "not_assessable"
"""Verdict.NOT_ASSESSABLE of evaluation.stats, which a page that only reads this need not load."""
_SIDES = {"image": "image_to_image.", "text": "text_to_image."}
_UNSEEN = ("val", "test", "all")
"""On the cases that a model was trained on, an audit measures memorization."""


@dataclass(frozen=True)
class AuditedOutcome:
    """What the audit measured for one kind of query.

    Parameters
    ----------
    name, title : str
        Of the outcome: ``"image_to_image.P@5"``, and in words.
    """

    name: str
    title: str


@dataclass(frozen=True)
class AuditedGroup:
    """How one group of patients fared beside all others.

    Parameters
    ----------
    attribute, group : str
    side : {"image", "text"}
        Kind of query.
    verdict : str
        As in :class:`evaluation.stats.verdict.Verdict`.
    n_patients : int or None
    estimate, low, high : float or None
        Of the outcome, with its 95% interval.
    rest : float or None
        Of the other patients.
    gap : float or None
    """

    attribute: str
    group: str
    side: str
    verdict: str = _NO_VERDICT
    n_patients: int | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    rest: float | None = None
    gap: float | None = None


@dataclass(frozen=True)
class LatestAudit:
    """Summary of an audit.

    Parameters
    ----------
    date : str
        ISO date; empty if the audit was undated.
    model : str
        Fingerprint.
    split : str
    n_patients : int or None
    margin : float
    age_bands : tuple of int
    outcomes : mapping of {"image", "text"} to AuditedOutcome
    groups : tuple of AuditedGroup
        Of single attributes; those withheld have no number.
    """

    date: str
    model: str
    split: str
    n_patients: int | None
    margin: float
    age_bands: tuple[int, ...] = ()
    outcomes: Mapping[str, AuditedOutcome] = field(default_factory=dict)
    groups: tuple[AuditedGroup, ...] = ()

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> LatestAudit:
        """Take the summary from a whole report, as :func:`medembed audit` writes it."""
        stamp, protocol = report["stamp"], report["protocol"]
        asked = [one["outcome"] for one in protocol["primary"]] + list(protocol["outcomes"])
        rows = report["outcomes"]["table"]
        measured = {row["outcome"] for row in rows}
        chosen = {
            side: name
            for side, start in _SIDES.items()
            if (name := next((n for n in asked if n.startswith(start) and n in measured), ""))
        }
        sides = {name: side for side, name in chosen.items()}
        titles = report["describe_outcomes"]
        return cls(
            date=stamp["date"] or "",
            model=stamp["model"],
            split=stamp["split"],
            n_patients=stamp["n_patients"],
            margin=float(protocol["margin"]),
            age_bands=tuple(protocol["age_bands"]),
            outcomes={
                side: AuditedOutcome(name, titles[name]["title"]) for side, name in chosen.items()
            },
            groups=tuple(
                _group(row, sides[row["outcome"]])
                for row in rows
                if row["outcome"] in sides
                and row["comparison"] == "rest"
                and "*" not in row["attribute"]
            ),
        )

    def of_group(self, attribute: str, group: str, side: str) -> AuditedGroup | None:
        """Return how a group fared, if the audit compared it."""
        for one in self.groups:
            if (one.attribute, one.group, one.side) == (attribute, group, side):
                return one
        return None


def _group(row: Mapping[str, Any], side: str) -> AuditedGroup:
    named = AuditedGroup(row["attribute"], str(row["group"]), side, str(row["verdict"]))
    if row.get("precision") == "suppressed":
        return AuditedGroup(named.attribute, named.group, side)
    numbers = {
        "n_patients": "n_patients", "estimate": "estimate", "low": "ci_low", "high": "ci_high",
        "rest": "rest_estimate", "gap": "gap",
    }  # fmt: skip
    return AuditedGroup(
        named.attribute,
        named.group,
        side,
        named.verdict,
        **{ours: row.get(theirs) for ours, theirs in numbers.items()},
    )


def keep_latest(library: Path, report: Mapping[str, Any]) -> Path | None:
    """Keep the summary of a report in the library's folder, in place of an earlier one.

    Returns
    -------
    Path or None
        None if the audited cases were those of training, or the folder cannot be written to.
    """
    if report["stamp"].get("split") not in _UNSEEN:
        return None
    file = library / FOLDER / FILE
    text = json.dumps({"version": VERSION, **asdict(LatestAudit.of(report))}, indent=1) + "\n"
    try:
        private_folder(file.parent)
        with replace_private(file) as stream:
            stream.write(text.encode("utf-8"))
    except OSError:
        return None
    return file


def read_latest(library: Path) -> LatestAudit | None:
    """Read the summary; None if there is none, or it is not one that this version writes."""
    try:
        held = json.loads((library / FOLDER / FILE).read_text(encoding="utf-8"))
        if held.pop("version") != VERSION:
            return None
        held["outcomes"] = {side: AuditedOutcome(**one) for side, one in held["outcomes"].items()}
        held["groups"] = tuple(AuditedGroup(**one) for one in held["groups"])
        held["age_bands"] = tuple(held["age_bands"])
        return LatestAudit(**cast("dict[str, Any]", held))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
