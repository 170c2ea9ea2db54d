"""Every text of the reading room, in English and German: one catalog.

A module a part of the page. It has a frozen dataclass with one field a text, ``ENGLISH``, which
fills it in, and ``GERMAN``, which is ``replace(ENGLISH, …)``: a text that German lacks is shown in
English, and tests/apps/test_texts.py lists it. A text with numbers or names in it is a function,
because word order and plural forms differ between languages; counts go through :class:`Noun` and
numbers through :class:`Numbers`. States (status of a finding, novelty, window preset) come in as
enums or literals and are looked up here; no text is ever read back.

:data:`TEXTS` is the catalog in the language of the current run of the script. It looks the
language up at each use, so no text may be kept at import time.

A new part: a module here, a field in :class:`Texts`, and a line each in the two catalogs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from apps.case_lookup.texts import (
    case,
    faults,
    page,
    query,
    query_german,
    results,
    review,
    sidebar,
    signed_in,
    viewer,
    welcome,
    words,
)
from apps.case_lookup.texts.current import (
    COOKIE,
    begin_run,
    choose,
    current_language,
    speaking,
)
from apps.case_lookup.texts.language import DE, EN, Language, Noun, Numbers, language_of
from apps.viewer import ViewerTexts

__all__ = [
    "CATALOG",
    "COOKIE",
    "ENGLISH",
    "GERMAN",
    "TEXTS",
    "Language",
    "Noun",
    "Numbers",
    "Texts",
    "begin_run",
    "choose",
    "current_language",
    "language_of",
    "speaking",
]


@dataclass(frozen=True)
class Texts:
    """All texts in one language."""

    numbers: Numbers
    page: page.PageTexts
    welcome: welcome.WelcomeTexts
    sidebar: sidebar.SidebarTexts
    results: results.ResultTexts
    case: case.CaseTexts
    words: words.WordTexts
    faults: faults.FaultTexts
    query: query.QueryTexts
    viewer: ViewerTexts
    review: review.ReviewTexts
    signed_in: signed_in.SignedInTexts


ENGLISH = Texts(
    numbers=EN,
    page=page.ENGLISH,
    welcome=welcome.ENGLISH,
    sidebar=sidebar.ENGLISH,
    results=results.ENGLISH,
    case=case.ENGLISH,
    words=words.ENGLISH,
    faults=faults.ENGLISH,
    query=query.ENGLISH,
    viewer=viewer.ENGLISH,
    review=review.ENGLISH,
    signed_in=signed_in.ENGLISH,
)

GERMAN = Texts(
    numbers=DE,
    page=page.GERMAN,
    welcome=welcome.GERMAN,
    sidebar=sidebar.GERMAN,
    results=results.GERMAN,
    case=case.GERMAN,
    words=words.GERMAN,
    faults=faults.GERMAN,
    query=query_german.GERMAN,
    viewer=viewer.GERMAN,
    review=review.GERMAN,
    signed_in=signed_in.GERMAN,
)

CATALOG: Mapping[Language, Texts] = MappingProxyType(
    {Language.ENGLISH: ENGLISH, Language.GERMAN: GERMAN}
)


class _OfThisRun:
    """Gives each part in the language of the current run."""

    def __getattr__(self, part: str) -> object:
        return getattr(CATALOG[current_language()], part)


TEXTS = cast(Texts, _OfThisRun())
"""The texts in the language of the current run; English outside of one."""
