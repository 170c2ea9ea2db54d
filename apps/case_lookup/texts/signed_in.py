"""Texts of who is at the page; the pages around the sign-in have theirs in ``apps/access``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["ENGLISH", "GERMAN", "SignedInTexts"]


@dataclass(frozen=True)
class SignedInTexts:
    """Who is at the page."""

    as_person: Callable[[str], str]  # name
    sign_out: str


ENGLISH = SignedInTexts(
    as_person=lambda name: f"Signed in as {name}.",
    sign_out="Sign out",
)

GERMAN = replace(
    ENGLISH,
    as_person=lambda name: f"Angemeldet als {name}.",
    sign_out="Abmelden",
)
