"""Two published audits side by side: which verdicts turned.

A report holds no patients, so that what changed cannot be tested from two of them: a verdict may
turn because the archive grew, or by chance. This lists what turned, and what was judged by other
rules; :func:`evaluation.change.comparison.compare_outcomes` tests it, from the tables of both runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evaluation.labels import UNKNOWN
from medembed.errors import InputError

__all__ = ["Turn", "VerdictDrift", "compare_audits"]

Turn = Literal[
    "same", "new", "settled", "no_longer_shown", "no_longer_assessable", "now_assessable", "other"
]
Key = tuple[str, str, str, str]

_RULES = (
    "margin", "ratio_margin", "alpha", "strata", "minimum", "families", "primary", "reference",
    "bands", "weight", "cluster",
)  # fmt: skip
_ESTABLISHED = ("exceeds", "differs")


@dataclass(frozen=True)
class VerdictDrift:
    """Verdicts of two audits.

    Parameters
    ----------
    rows : list of dict
        ``attribute, group, outcome, comparison, estimate_before, estimate_after, gap_before,
        gap_after, gap_change, verdict_before, verdict_after, turn``. None where a report has no
        number. ``turn`` is ``new`` if a gap is established now and was not before, ``settled`` if
        an established one is now shown to be within the margin, and ``no_longer_shown`` if it is
        inconclusive now: that is no sign that it went.
    only_before, only_after : list of [attribute, group, outcome, comparison]
        In one report alone.
    notes : list of str
    """

    rows: list[dict[str, Any]]
    only_before: list[list[str]]
    only_after: list[list[str]]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def compare_audits(before: Mapping[str, Any], after: Mapping[str, Any]) -> VerdictDrift:
    """Set two audits side by side.

    Parameters
    ----------
    before, after : mapping
        What ``Audit.to_json()`` gives, or a whole report that holds it as ``outcomes``.

    Raises
    ------
    InputError
        Where one is no audit, or they have no test in common.

    Examples
    --------
    >>> row = {"attribute": "sex", "group": "F", "outcome": "hit", "estimate": 0.5, "gap": -0.1}
    >>> old = {"settings": {"margin": 0.05}, "table": [row | {"verdict": "exceeds"}]}
    >>> new = {"settings": {"margin": 0.05}, "table": [row | {"gap": 0.0, "verdict": "within"}]}
    >>> compare_audits(old, new).rows[0]["turn"]
    'settled'
    """
    (rules, old), (other_rules, new) = _read(before, "before"), _read(after, "after")
    for key, reference in list(old.items()):
        twin = (*key[:3], "rest")
        if key[3] == "reference" and twin in new:  # the other group of two is the reference now
            about = (key[0], *twin[2:])
            its = [k for k in old if (k[0], *k[2:]) == about and UNKNOWN not in k[1].split("*")]
            if its and its[0] not in new:
                row = old.pop(its[0])
                gap = None if row.get("gap") is None else -row["gap"]
                old[twin] = row | {"estimate": reference.get("estimate"), "gap": gap}
    old, new = (
        {key: row for key, row in rows.items() if key[3] != "reference"} for rows in (old, new)
    )
    shared = [key for key in old if key in new]
    if not shared:
        raise InputError("two audits without a group and outcome in common")
    return VerdictDrift(
        [_changed(key, old[key], new[key]) for key in shared],
        [list(key) for key in old if key not in new],
        [list(key) for key in new if key not in old],
        _notes(rules, other_rules),
    )


def _read(
    audit: Mapping[str, Any], where: str
) -> tuple[Mapping[str, Any], dict[Key, dict[str, Any]]]:
    """An audit's settings, and its rows."""
    try:
        plain = audit.get("outcomes", audit)
        settings, table = dict(plain["settings"]), plain["table"]
        keys = [
            (r["attribute"], r["group"], r["outcome"], r.get("comparison", "rest")) for r in table
        ]
        rows = dict(zip(keys, table, strict=True))
        judged = all(isinstance(r["verdict"], str) or k[3] == "reference" for k, r in rows.items())
    except (KeyError, TypeError, ValueError, AttributeError):
        judged = False
    if not judged:
        raise InputError("not an audit's JSON", where=where)
    if len(rows) < len(keys):
        raise InputError("an audit that lists the same test twice", where=where)
    return settings, rows


def _changed(key: Key, was: Mapping[str, Any], is_now: Mapping[str, Any]) -> dict[str, Any]:
    row = dict(zip(("attribute", "group", "outcome", "comparison"), key, strict=True))
    gap, later = was.get("gap"), is_now.get("gap")
    return row | {
        "estimate_before": was.get("estimate"),
        "estimate_after": is_now.get("estimate"),
        "gap_before": gap,
        "gap_after": later,
        "gap_change": None if gap is None or later is None else later - gap,
        "verdict_before": was["verdict"],
        "verdict_after": is_now["verdict"],
        "turn": _turn(was["verdict"], is_now["verdict"]),
    }


def _turn(before: str, after: str) -> Turn:
    if before == after:
        return "same"
    was, is_now = before in _ESTABLISHED, after in _ESTABLISHED
    if is_now:
        return "other" if was else "new"
    if after == "not_assessable":
        return "no_longer_assessable"
    if was:
        return "settled" if after == "within" else "no_longer_shown"
    return "now_assessable" if before == "not_assessable" else "other"


def _notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    other = [name for name in _RULES if before.get(name) != after.get(name)]
    said = ["Published audits hold no patients: changed verdicts are listed here, not tested."]
    if other:
        said.append(
            f"The audits used different rules ({', '.join(other)}), so their verdicts are not "
            "comparable."
        )
    return said
