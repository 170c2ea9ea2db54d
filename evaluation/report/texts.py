"""The catalog of every text that the page and the model card show: ``templates/texts.en.toml``.

Another language is another file with the same keys. Texts are templates of :meth:`str.format`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files

__all__ = [
    "FLAGS", "GUIDELINES", "MEASURES", "PLACES", "RECORDS", "SECTION_VERDICTS", "TEXTS", "TURNS",
    "VERDICTS", "VerdictText", "heads", "verdict_text",
]  # fmt: skip


@dataclass(frozen=True)
class VerdictText:
    """How a verdict is shown, never by color alone: by one character and words.

    ``meaning`` is one sentence for a reader without statistics; ``name`` is "other" for a verdict
    that is not known here.
    """

    name: str
    sign: str
    words: str
    meaning: str = ""


_READ = tomllib.loads(
    (files("evaluation.report") / "templates" / "texts.en.toml").read_text(encoding="utf-8")
)
TEXTS: dict[str, str] = _READ["texts"]
PLACES: dict[str, str] = _READ["places"]
TURNS: dict[str, str] = _READ["turns"]
RECORDS: dict[str, str] = _READ["records"]
FLAGS: dict[str, str] = _READ["flags"]
MEASURES: dict[str, tuple[str, str]] = {key: (a, b) for key, (a, b) in _READ["measures"].items()}
SECTION_VERDICTS: dict[str, dict[str, str]] = _READ["section_verdicts"]
VERDICTS = {name: VerdictText(name, *texts) for name, texts in _READ["verdicts"].items()}
GUIDELINES: dict[str, list[list[str]]] = _READ["guidelines"]


def heads(key: str) -> list[str]:
    """Heads of a table's columns."""
    return TEXTS[f"{key}.columns"].split("|")


def verdict_text(verdict: str, section: str = "") -> VerdictText:
    """Find the words of a verdict; those of an unknown one are its own name.

    Examples
    --------
    >>> verdict_text("exceeds").words, verdict_text("exceeds", "exposure").words
    ('Gap found', 'Beyond chance')
    >>> verdict_text("never_heard_of").words
    'Never heard of'
    """
    known = VERDICTS.get(verdict)
    if known is None:
        words = verdict.replace("_", " ")
        return VerdictText("other", "•", words[:1].upper() + words[1:])
    own = SECTION_VERDICTS.get(section, {}).get(verdict)
    return known if own is None else VerdictText(known.name, known.sign, own, known.meaning)
