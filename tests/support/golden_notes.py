"""Reads the golden sentences and counts how the rules do on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from medembed.notes import FINDINGS, read_note

FILE = Path(__file__).parents[1] / "notes" / "golden_sentences.txt"


@dataclass(frozen=True)
class Golden:
    part: str
    sentence: str
    expected: tuple[tuple[str, str, str, bool], ...]


def golden_sentences(file: Path = FILE) -> list[Golden]:
    found, part = [], ""
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("[") and "=>" not in line:
            part = line.strip("[]")
        elif line.strip() and not line.startswith("#"):
            sentence, _, said = line.partition(" =>")
            sentence = sentence.replace(r"\n", "\n")
            found.append(
                Golden(
                    part,
                    sentence,
                    tuple(map(_expected, filter(None, map(str.strip, said.split(";"))))),
                )
            )
    return found


def _expected(said: str) -> tuple[str, str, str, bool]:
    words = said.split()
    historical = words[-1] == "historical"
    words = words[:-1] if historical else words
    side = words.pop() if words[-1] in ("left", "right", "bilateral") else ""
    status = words.pop()
    return " ".join(words), status, side, historical


def read(sentence: str) -> tuple[tuple[str, str, str, bool], ...]:
    """What is asserted of the twelve findings that these sentences were written for."""
    return tuple(
        (a.label, a.status, a.side, a.historical)
        for a in read_note(sentence).assertions
        if a.label in FINDINGS
    )


def score(part: str) -> dict[str, tuple[int, int, int]]:
    """True positives, false positives and misses by status; an assertion counts as a whole."""
    counts: dict[str, list[int]] = {}
    for golden in golden_sentences():
        if golden.part != part:
            continue
        got, want = Counter(read(golden.sentence)), Counter(golden.expected)
        for kind, group in ((0, got & want), (1, got - want), (2, want - got)):
            for (_, status, _, _), n in group.items():
                counts.setdefault(status, [0, 0, 0])[kind] += n
    return {status: (c[0], c[1], c[2]) for status, c in sorted(counts.items())}
