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

_RULES = ("margin", "ratio_margin", "alpha", "strata", "minimum", "families", "primary")
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
    (one, old, turned), (two, new, _) = _read(before, "before"), _read(after, "after")
    for key, (twin, row) in turned.items():
        if key not in new and twin in new:  # the other group of two is the reference now
            old[twin] = row
            del old[key]
    shared = [key for key in old if key in new]
    if not shared:
        raise InputError("two audits without a group and outcome in common")
    return VerdictDrift(
        [_changed(key, old[key], new[key]) for key in shared],
        [list(key) for key in old if key not in new],
        [list(key) for key in new if key not in old],
        _notes(one, two),
    )


def _read(
    audit: Mapping[str, Any], where: str
) -> tuple[Mapping[str, Any], dict[Key, dict[str, Any]], dict[Key, tuple[Key, dict[str, Any]]]]:
    """An audit's settings, its rows, and those that are told of the other of two groups as well."""
    plain = audit.get("outcomes", audit)
    rows: dict[Key, dict[str, Any]] = {}
    turned: dict[Key, tuple[Key, dict[str, Any]]] = {}
    try:
        compared = [r for r in plain["table"] if r.get("comparison") != "reference"]
        for r in compared:
            key = (r["attribute"], r["group"], r["outcome"], r.get("comparison", "rest"))
            rows[key] = {name: r.get(name) for name in ("estimate", "gap")}
            rows[key]["verdict"] = r["verdict"]
        for r in plain["table"]:
            if r.get("comparison") == "reference":
                its = (r["attribute"], r["outcome"], "rest")
                for key, row in rows.items():
                    if (key[0], *key[2:]) == its and UNKNOWN not in key[1].split("*"):
                        gap = None if row["gap"] is None else -row["gap"]
                        twin = row | {"estimate": r.get("estimate"), "gap": gap}
                        turned[key] = (key[0], r["group"], *key[2:]), twin
                        break
        settings: Mapping[str, Any] = plain["settings"]
    except (KeyError, TypeError, AttributeError):
        raise InputError("not an audit's JSON", where=where) from None
    if len(rows) < len(compared) or not all(isinstance(r["verdict"], str) for r in rows.values()):
        raise InputError("an audit that lists the same test twice", where=where)
    return settings, rows, turned


def _changed(key: Key, was: Mapping[str, Any], is_now: Mapping[str, Any]) -> dict[str, Any]:
    row = dict(zip(("attribute", "group", "outcome", "comparison"), key, strict=True))
    gap, later = was["gap"], is_now["gap"]
    return row | {
        "estimate_before": was["estimate"],
        "estimate_after": is_now["estimate"],
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
