"""Two published audits side by side: which verdicts turned.

A report holds no patients, so that what changed cannot be tested from two of them: a verdict may
turn because the archive grew, or by chance. This lists what turned, and what was judged by other
rules; :func:`evaluation.change.comparison.compare_outcomes` tests it, from the tables of both runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from evaluation.labels import UNKNOWN
from medembed.errors import InputError

__all__ = ["Turn", "VerdictDrift", "compare_audits"]

Turn = Literal[
    "same", "new", "settled", "no_longer_shown", "no_longer_assessable", "now_assessable", "other"
]

_RULES = ("margin", "ratio_margin", "alpha", "strata", "minimum", "families", "primary")


class _Report(Protocol):
    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class VerdictDrift:
    """Verdicts of two audits.

    Parameters
    ----------
    rows : tuple of dict
        ``attribute, group, outcome, comparison, estimate_before, estimate_after, gap_before,
        gap_after, gap_change, verdict_before, verdict_after, turn``. None where a report has no
        number. ``turn`` is ``new`` if a gap is established now and was not before, ``settled`` if
        an established one is now shown to be within the margin, and ``no_longer_shown`` if it is
        inconclusive now: that is no sign that it went.
    only_before, only_after : tuple of (attribute, group, outcome, comparison)
        In one report alone.
    notes : tuple of str
    """

    rows: tuple[dict[str, Any], ...]
    only_before: tuple[tuple[str, str, str, str], ...]
    only_after: tuple[tuple[str, str, str, str], ...]
    notes: tuple[str, ...]

    def turned(self, *turns: Turn) -> list[dict[str, Any]]:
        """Rows whose verdict turned in one of these ways; in any way where none is given."""
        return [r for r in self.rows if (r["turn"] in turns if turns else r["turn"] != "same")]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "rows": list(self.rows),
            "only_before": [list(key) for key in self.only_before],
            "only_after": [list(key) for key in self.only_after],
            "notes": list(self.notes),
        }


def compare_audits(
    before: Mapping[str, Any] | _Report, after: Mapping[str, Any] | _Report
) -> VerdictDrift:
    """Set two audits side by side.

    Parameters
    ----------
    before, after : mapping or Audit
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
    (one, old), (two, new) = _read(before, "before"), _read(after, "after")
    for one_side, other in ((old, new), (new, old)):
        for key, row in list(one_side.items()):
            twin = row.get("_twin")
            if twin and key not in other and twin[0] in other:  # the other group is the reference
                one_side[twin[0]] = one_side.pop(key) | twin[1]
    rows = []
    for key in old:
        if key not in new:
            continue
        a, b = old[key], new[key]
        gap, later = a.get("gap"), b.get("gap")
        rows.append(
            {
                "attribute": key[0],
                "group": key[1],
                "outcome": key[2],
                "comparison": key[3],
                "estimate_before": a.get("estimate"),
                "estimate_after": b.get("estimate"),
                "gap_before": gap,
                "gap_after": later,
                "gap_change": None if gap is None or later is None else later - gap,
                "verdict_before": a["verdict"],
                "verdict_after": b["verdict"],
                "turn": _turn(a["verdict"], b["verdict"]),
            }
        )
    if not rows:
        raise InputError("two audits without a group and outcome in common")
    return VerdictDrift(
        tuple(rows),
        tuple(key for key in old if key not in new),
        tuple(key for key in new if key not in old),
        _notes(one, two),
    )


_ESTABLISHED = ("exceeds", "differs")


def _read(
    audit: Mapping[str, Any] | _Report, where: str
) -> tuple[Mapping[str, Any], dict[tuple[str, str, str, str], Mapping[str, Any]]]:
    plain: Any = audit if isinstance(audit, Mapping) else audit.to_json()
    plain = plain.get("outcomes", plain)
    try:
        compared = [r for r in plain["table"] if r.get("comparison") != "reference"]
        rows = {
            (r["attribute"], r["group"], r["outcome"], r.get("comparison", "rest")): r
            for r in compared
        }
        verdicts = [row["verdict"] for row in rows.values()]
        settings: Mapping[str, Any] = plain["settings"]
        for r in plain["table"]:
            if r.get("comparison") == "reference":
                its = [k for k in rows if k[0] == r["attribute"] and k[2:] == (r["outcome"], "rest")
                       and UNKNOWN not in k[1].split("*")]  # fmt: skip
                for key in its[:1]:
                    gap = rows[key].get("gap")
                    turned = {"estimate": r.get("estimate"), "gap": None if gap is None else -gap}
                    twin = (key[0], r["group"], *key[2:])
                    rows[key] = rows[key] | {"_twin": (twin, turned)}
    except (KeyError, TypeError, AttributeError):
        raise InputError("not an audit's JSON", where=where) from None
    if len(rows) < len(compared) or not all(isinstance(v, str) for v in verdicts):
        raise InputError("an audit that lists the same test twice", where=where)
    return settings, rows


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


def _notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    other = [name for name in _RULES if before.get(name) != after.get(name)]
    said = ["Published audits hold no patients: changed verdicts are listed here, not tested."]
    if other:
        said.append(
            f"The audits used different rules ({', '.join(other)}), so their verdicts are not "
            "comparable."
        )
    return tuple(said)
