"""Texts of the page before anything was searched for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from apps.case_lookup.texts.language import DE, Noun

__all__ = ["ENGLISH", "GERMAN", "WelcomeTexts"]


@dataclass(frozen=True)
class WelcomeTexts:
    """The page before anything was searched for."""

    title: str
    introduction: Callable[[int], str]  # number of cases
    examples: str
    not_ready: str
    no_cases: str
    no_cases_hint: str


_cases = Noun("case", "cases")
_faelle = Noun("Fall", "Fälle", DE)

ENGLISH = WelcomeTexts(
    title="Find the most similar past cases",
    introduction=lambda n: (
        f"Drop an image on this page, describe what you see, or do both. The closest of the "
        f"library's {_cases(n)} appear here with image, report and score."
    ),
    examples="Examples",
    not_ready="Search is not ready",
    no_cases="This library has no cases yet",
    no_cases_hint="Add cases with medembed ingest.",
)

GERMAN = replace(
    ENGLISH,
    title="Die ähnlichsten früheren Fälle finden",
    introduction=lambda n: (
        "Ziehen Sie ein Bild auf diese Seite, beschreiben Sie den Befund, oder beides. Die "
        f"ähnlichsten Fälle der Sammlung ({_faelle(n)}) erscheinen hier mit Bild, Befundbericht "
        "und Ähnlichkeit."
    ),
    examples="Beispiele",
    not_ready="Die Suche ist noch nicht bereit",
    no_cases="Diese Sammlung enthält noch keine Fälle",
    no_cases_hint="Fälle hinzufügen: medembed ingest",
)
