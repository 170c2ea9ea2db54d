"""The verdicts' signs and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["VERDICTS", "Verdict", "verdict_of"]


@dataclass(frozen=True)
class Verdict:
    """How a verdict is shown: never by colour alone.

    Parameters
    ----------
    name : str
    sign : str
        One character.
    words : str
    meaning : str
        One sentence for a reader without statistics.
    """

    name: str
    sign: str
    words: str
    meaning: str


VERDICTS: dict[str, Verdict] = {
    verdict.name: verdict
    for verdict in (
        Verdict(
            "exceeds",
            "▲",
            "Gap found",
            "The gap was shown to be larger than the margin that was declared beforehand.",
        ),
        Verdict(
            "differs",
            "△",
            "Differs",
            "A gap is established. It may be larger than the margin, or smaller.",
        ),
        Verdict(
            "inconclusive",
            "?",
            "Cannot tell",
            "Too few patients to establish a gap or to rule out one as large as the margin. "
            "This does not rule out a gap.",
        ),
        Verdict(
            "within",
            "✓",
            "Within margin",
            "Any gap was shown to be smaller than the margin that was declared beforehand.",
        ),
        Verdict(
            "not_assessable",
            "–",
            "Not assessable",
            "There is no figure that could be tested, so none is given.",
        ),
    )
}

_MORE_SIGNS = {"improved": "✓", "worse": "▲"}


def verdict_of(found: Any) -> Verdict:
    """Find a verdict, the known five or another section's own.

    Examples
    --------
    >>> verdict_of("no_change_shown").words, verdict_of(None).words
    ('No change shown', 'Not assessable')
    """
    if found is None:
        return VERDICTS["not_assessable"]
    text = str(found)
    if text in VERDICTS:
        return VERDICTS[text]
    words = text.replace("_", " ")
    name = text if text in _MORE_SIGNS else "other"
    return Verdict(name, _MORE_SIGNS.get(text, "•"), words[:1].upper() + words[1:], "")
