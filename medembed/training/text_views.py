"""Readings of a report: all of it, some of its sentences, one finding in plain words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from medembed.model.report_text import note_text, sentences
from medembed.notes import Assertion, Note
from medembed.training.settings import TextAugmentation

__all__ = ["Label", "Reading", "ReportTexts", "labels_of", "other_side", "same_meaning"]

Label = tuple[str, str]
"""A finding and its side; the side is empty for the finding on any side."""

_OTHER_SIDE = {"left": "right", "right": "left"}


def labels_of(assertion: Assertion) -> frozenset[Label]:
    """What an assertion says: the finding, and the finding on each side named."""
    sides = ("left", "right") if assertion.side == "bilateral" else (assertion.side,)
    return frozenset({(assertion.label, ""), *((assertion.label, side) for side in sides)})


def other_side(label: Label) -> Label:
    """Give the same finding on the other side."""
    return label[0], _OTHER_SIDE.get(label[1], label[1])


@dataclass(frozen=True)
class Reading:
    """A text made from a report, and what it asserts.

    Parameters
    ----------
    text : str
    labels : frozenset of Label
        Asserted as present, now.
    is_phrase : bool
        Whether it is true of every image with these findings.
    """

    text: str
    labels: frozenset[Label]
    is_phrase: bool = False

    def mirrored(self, mirror: Callable[[str], str]) -> Reading:
        """Swap left and right in the text and in what it asserts."""
        labels = frozenset(map(other_side, self.labels))
        return Reading(mirror(self.text), labels, self.is_phrase)


class ReportTexts:
    """The readings that one report offers.

    Parameters
    ----------
    note : Note
    only : collection of str, optional
        Findings that count; None counts all.
    """

    def __init__(self, note: Note, only: Collection[str] | None = None) -> None:
        self._note = note
        counted = [a for a in note.assertions if only is None or a.label in only]
        present = [a for a in counted if a.status == "present" and not a.historical]
        self.present: frozenset[Label] = frozenset().union(*map(labels_of, present))
        open_ = [a for a in counted if a.status == "uncertain" and not a.historical]
        self.uncertain: frozenset[Label] = frozenset().union(*map(labels_of, open_)) - self.present
        self.full = Reading(note_text(note), self.present)
        self._stated = present

    @cached_property
    def _sentences(self) -> list[Reading]:
        found = []
        for start, end in sentences(self._note):
            inside = [a for a in self._stated if start <= a.start < end]
            labels: frozenset[Label] = frozenset().union(*map(labels_of, inside))
            found.append(Reading(self._note.text[start:end], labels))
        return found

    @cached_property
    def phrases(self) -> list[Reading]:
        """Each asserted finding in the report's own words and in plain ones, with its side."""
        found: dict[str, Reading] = {}
        for assertion in self._stated:
            words = " ".join(self._note.text[assertion.start : assertion.end].lower().split())
            for name in (words, assertion.label):
                text = f"{assertion.side} {name}".strip()
                found[text] = Reading(text, labels_of(assertion), is_phrase=True)
        return list(found.values())

    def draw(self, settings: TextAugmentation, rng: np.random.Generator) -> Reading:
        """Draw one reading."""
        kind = rng.random()
        if kind < settings.phrases and self.phrases:
            return self.phrases[rng.integers(len(self.phrases))]
        if kind < settings.phrases + settings.sentences and len(self._sentences) > 1:
            count = int(rng.integers(1, len(self._sentences)))
            at = sorted(rng.choice(len(self._sentences), size=count, replace=False))
            chosen = [self._sentences[i] for i in at]
            labels: frozenset[Label] = frozenset().union(*(r.labels for r in chosen))
            return Reading(" ".join(r.text for r in chosen), labels)
        return self.full


def same_meaning(
    readings: Sequence[Reading], present: Sequence[frozenset[Label]]
) -> npt.NDArray[np.bool_]:
    """Which text is true of which image of a batch.

    Parameters
    ----------
    readings : sequence of Reading
        Text *j* of the batch.
    present : sequence of frozenset of Label
        What the report of image *i* asserts.

    Returns
    -------
    bool array, shape ``(n, n)``
        ``[i, j]``: the words of text *j* are those of text *i*, or it is a phrase about findings
        that the report of image *i* asserts too.
    """
    n = len(readings)
    texts = np.array([" ".join(r.text.lower().split()) for r in readings], dtype=object)
    same: npt.NDArray[np.bool_] = texts[:, None] == texts[None, :]
    for j, reading in enumerate(readings):
        if reading.is_phrase:
            same[:, j] |= np.array([reading.labels <= present[i] for i in range(n)])
    np.fill_diagonal(same, True)
    return same
