"""Reports that state another side, view or modality than their image and its header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from medembed.cases import SIDED_FINDINGS, Case
from medembed.notes.exam_words import MODALITY_FAMILIES, stated_exam
from medembed.pair_check.pairs import Pairs
from medembed.pair_check.suspects import Reason, ReasonKind, shares_of

__all__ = ["add_headers", "add_sides"]

_SIDE_SHARE = 0.05  # a reason is named if at most this share of cases disagrees as much
_FEWEST_SIDED = 20


def add_sides(reasons: list[list[Reason]], cases: Sequence[Case], pairs: Pairs) -> None:
    """Compare the reported side of each finding with the side that the image suggests.

    For each finding, images with it on one side only are regressed on the side, +1 right, -1 left,
    patients apart.
    """
    stated = [_one_sided(case) for case in cases]
    margins: dict[int, tuple[float, str]] = {}
    for label in sorted(SIDED_FINDINGS):
        rows = np.array([at for at, sides in enumerate(stated) if label in sides], np.int64)
        target = np.array([1.0 if stated[at][label] == "right" else -1.0 for at in rows])
        if min((target > 0).sum(), (target < 0).sum()) < _FEWEST_SIDED / 2:
            continue
        wrong = -pairs.predict(target[:, None], rows)[:, 0] * target
        for at, margin in zip(rows.tolist(), wrong.tolist(), strict=True):
            side = stated[at][label]
            other = "left" if side == "right" else "right"
            text = f"the report has {label} on the {side}; the image looks like {other}"
            margins[at] = max(margins.get(at, (-np.inf, "")), (margin, text))
    if not margins:
        return
    shares = shares_of(np.array([margin for margin, _ in margins.values()]))
    for (at, (margin, text)), share in zip(margins.items(), shares.tolist(), strict=True):
        if margin > 0 and share <= _SIDE_SHARE:
            reasons[at].append(Reason(ReasonKind.SIDE, share, text))


def _one_sided(case: Case) -> dict[str, str]:
    """Return the findings that the report asserts on exactly one side, with that side."""
    sides: dict[str, set[str]] = {}
    for one in case.note.assertions if case.note else ():
        if one.status == "present" and not one.historical and one.label in SIDED_FINDINGS:
            named = ("left", "right") if one.side == "bilateral" else (one.side,)
            sides.setdefault(one.label, set()).update(named)
    return {
        label: next(iter(named))
        for label, named in sides.items()
        if len(named) == 1 and named != {""}
    }


def add_headers(reasons: list[list[Reason]], cases: Sequence[Case]) -> None:
    """Compare the views and modalities that reports name with those of the headers."""
    family_of = {code: name for name, codes in MODALITY_FAMILIES.items() for code in codes}
    conflicts: dict[ReasonKind, dict[int, str]] = {ReasonKind.VIEW: {}, ReasonKind.MODALITY: {}}
    comparable: Counter[ReasonKind] = Counter()
    for at, case in enumerate(cases):
        if case.note is None:
            continue
        exam = stated_exam(case.note)
        views = {scan.view for scan in case.scans} & {"PA", "AP", "LATERAL"}
        families = {family_of[s.modality] for s in case.scans if s.modality in family_of}
        for kind, said, true in (
            (ReasonKind.VIEW, exam.views, views),
            (ReasonKind.MODALITY, exam.modalities, families),
        ):
            if said and true:
                comparable[kind] += 1
                if not said & true:
                    said_words, true_words = "/".join(sorted(said)), "/".join(sorted(true))
                    text = f"the report names {said_words}, the header {true_words}"
                    conflicts[kind][at] = text
    for kind, found in conflicts.items():
        for at, text in found.items():
            reasons[at].append(Reason(kind, len(found) / comparable[kind], text))
