"""The catalogue of every text that the page and the model card show: ``templates/texts.en.toml``.

Another language is another file with the same keys. Texts are templates of :meth:`str.format`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files

__all__ = [
    "FLAGS", "GUIDELINES", "MEASURES", "PLACES", "RECORDS", "SECTION_VERDICTS", "TEXTS", "TURNS",
    "VERDICTS", "VerdictText",
]  # fmt: skip


@dataclass(frozen=True)
class VerdictText:
    """How a verdict is shown: never by color alone.

    Parameters
    ----------
    name : str
        Of the verdict; ``"other"`` for one that is not known here.
    sign : str
        One character.
    words : str
    meaning : str
        One sentence for a reader without statistics.
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
"""Sections of the page in their order, by id."""
TURNS: dict[str, str] = _READ["turns"]
"""How a verdict changed since an earlier audit, in the order in which it matters."""
RECORDS: dict[str, str] = _READ["records"]
"""What each measure of label quality counts."""
FLAGS: dict[str, str] = _READ["flags"]
"""Warnings beside a verdict."""
MEASURES: dict[str, tuple[str, str]] = {key: (a, b) for key, (a, b) in _READ["measures"].items()}
"""Title and plain words of a section's measures."""
SECTION_VERDICTS: dict[str, dict[str, str]] = _READ["section_verdicts"]
"""Words of a verdict where a section has its own."""
VERDICTS: dict[str, VerdictText] = {
    name: VerdictText(name, *texts) for name, texts in _READ["verdicts"].items()
}
"""By the verdict's name, in the order in which they matter."""
GUIDELINES: dict[str, list[list[str]]] = _READ["guidelines"]
"""Number, topic, parts of the report and place on the page of each guideline's items."""
