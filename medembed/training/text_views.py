"""Text views of a report: the whole text, some sentences, or a phrase about one finding."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import Field

from medembed.cases import Finding
from medembed.encoders.settings import Settings
from medembed.model.report_text import note_text, sentences
from medembed.notes import Assertion, Note

__all__ = [
    "Label",
    "ReportTexts",
    "TextAugmentation",
    "TextView",
    "false_negative_mask",
    "labels_of",
    "note_of_findings",
    "other_side",
]

Label = tuple[str, str]
"""A finding and its side; an empty side means any side."""

_OTHER_SIDE = {"left": "right", "right": "left"}


class TextAugmentation(Settings):
    """Choice of the text that a training step reads from a report.

    Parameters
    ----------
    sentences : float
        Probability of a random subset of the sentences of findings and impression.
    phrases : float
        Probability of a short phrase about one asserted finding, "right pleural effusion".
    """

    sentences: float = Field(default=0.5, ge=0, le=1)
    phrases: float = Field(default=0.2, ge=0, le=1)


def labels_of(assertion: Assertion) -> frozenset[Label]:
    """Return the labels of an assertion: the finding, and the finding on each stated side."""
    return _sided(assertion.label, assertion.side)


def _sided(name: str, side: str) -> frozenset[Label]:
    sides = ("left", "right") if side == "bilateral" else (side,)
    return frozenset({(name, ""), *((name, each) for each in sides)})


def other_side(label: Label) -> Label:
    """Return the same finding on the other side."""
    return label[0], _OTHER_SIDE.get(label[1], label[1])


def note_of_findings(findings: Sequence[Finding]) -> Note:
    """Return a note that names a table's findings, for a case without one.

    Examples
    --------
    >>> note_of_findings([Finding("effusion", "right"), Finding("pleural_thickening")]).text
    'Right effusion. Pleural thickening.'
    """
    named = [f"{f.side} {f.label}".strip().replace("_", " ") for f in sorted(set(findings))]
    return Note(text=" ".join(f"{name[:1].upper()}{name[1:]}." for name in named))


@dataclass(frozen=True)
class TextView:
    """A text derived from a report, and the findings it asserts.

    Parameters
    ----------
    text : str
    labels : frozenset of Label
        Findings asserted as currently present.
    is_phrase : bool
        Whether the text applies to every image with these findings.
    """

    text: str
    labels: frozenset[Label]
    is_phrase: bool = False

    def mirrored(self, mirror: Callable[[str], str]) -> TextView:
        """Swap left and right in the text and its labels."""
        labels = frozenset(map(other_side, self.labels))
        return TextView(mirror(self.text), labels, self.is_phrase)


class ReportTexts:
    """All views of one report.

    Parameters
    ----------
    note : Note
    only : collection of str, optional
        Findings of the note to use; None uses all.
    findings : sequence of Finding
        Findings that the source's table gives, in its own vocabulary; all are used.
    labels_only : bool
        Whether the note only names them (:func:`note_of_findings`).
    header : str
        Stands above the whole text (:func:`medembed.model.report_text.header_phrase`); sentences
        and phrases are read without it, as typed queries are.
    """

    def __init__(
        self,
        note: Note,
        only: Collection[str] | None = None,
        findings: Sequence[Finding] = (),
        labels_only: bool = False,
        header: str = "",
    ) -> None:
        self.note = note
        counted = [a for a in note.assertions if only is None or a.label in only]
        present = [a for a in counted if a.status == "present" and not a.historical]
        self._given = tuple(findings)
        self.present: frozenset[Label] = frozenset().union(
            *map(labels_of, present), *(_sided(f.label, f.side) for f in findings)
        )
        open_ = [a for a in counted if a.status == "uncertain" and not a.historical]
        self.uncertain: frozenset[Label] = frozenset().union(*map(labels_of, open_)) - self.present
        # a list of findings is true of every image that has them all
        self.body = note_text(note)
        text = f"{header}\n{self.body}" if header else self.body
        self.full = TextView(text, self.present, is_phrase=labels_only)
        self._stated = present

    @cached_property
    def _sentences(self) -> list[TextView]:
        found = []
        for start, end in sentences(self.note):
            inside = [a for a in self._stated if start <= a.start < end]
            labels: frozenset[Label] = frozenset().union(*map(labels_of, inside))
            found.append(TextView(self.note.text[start:end], labels))
        return found

    @cached_property
    def phrases(self) -> list[TextView]:
        """Each asserted finding with its side, in the report's wording and in standard terms."""
        found: dict[str, TextView] = {}
        for assertion in self._stated:
            words = " ".join(self.note.text[assertion.start : assertion.end].lower().split())
            for name in (words, assertion.label):
                text = f"{assertion.side} {name}".strip()
                found[text] = TextView(text, labels_of(assertion), is_phrase=True)
        for given in self._given:
            text = f"{given.side} {given.label}".strip().replace("_", " ")
            labels = _sided(given.label, given.side)
            found.setdefault(text, TextView(text, labels, is_phrase=True))
        return list(found.values())

    def draw(self, settings: TextAugmentation, rng: np.random.Generator) -> TextView:
        """Draw one view."""
        kind = rng.random()
        if kind < settings.phrases and self.phrases:
            return self.phrases[rng.integers(len(self.phrases))]
        if kind < settings.phrases + settings.sentences and len(self._sentences) > 1:
            count = int(rng.integers(1, len(self._sentences)))
            at = sorted(rng.choice(len(self._sentences), size=count, replace=False))
            chosen = [self._sentences[i] for i in at]
            labels: frozenset[Label] = frozenset().union(*(r.labels for r in chosen))
            return TextView(" ".join(r.text for r in chosen), labels)
        return self.full


def false_negative_mask(
    views: Sequence[TextView], present: Sequence[frozenset[Label]]
) -> npt.NDArray[np.bool_]:
    """Return which texts of a batch also apply to which images (false negatives).

    Parameters
    ----------
    views : sequence of TextView
        Text *j* of the batch.
    present : sequence of frozenset of Label
        Findings that the report of image *i* asserts.

    Returns
    -------
    bool array, shape ``(n, n)``
        ``[i, j]``: text *j* equals text *i*, or it is a phrase about findings that the report of
        image *i* asserts too.
    """
    numbers: dict[str, int] = {}  # comparing numbers takes a hundredth of comparing texts
    texts = np.array([numbers.setdefault(_plain(view.text), len(numbers)) for view in views])
    same: npt.NDArray[np.bool_] = texts[:, None] == texts[None, :]
    true_of: dict[frozenset[Label], npt.NDArray[np.bool_]] = {}
    for j, view in enumerate(views):
        if view.is_phrase:
            if view.labels not in true_of:
                true_of[view.labels] = np.array([view.labels <= labels for labels in present])
            same[:, j] |= true_of[view.labels]
    np.fill_diagonal(same, True)
    return same


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
