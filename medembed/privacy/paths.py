"""Paths to show to a person: relative, and without the parts that carry a patient's name or id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["PathMask", "name_tokens"]

_WORDS = re.compile(r"[^\W_]+")
_MASK = "…"
_SHORTEST = 3  # "Li" as a part of a word would hide half of all paths; as a whole word it is found


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def name_tokens(*values: str) -> tuple[str, ...]:
    """Split values such as ``PatientName`` and ``PatientID`` into words, folded and in order.

    Examples
    --------
    >>> name_tokens("DÖE^Jane", "MRN-0042")
    ('doe', 'jane', 'mrn', '0042')
    """
    tokens: dict[str, None] = {}
    for value in values:
        tokens.update(dict.fromkeys(_WORDS.findall(_fold(value))))
    return tuple(tokens)


class PathMask:
    """Shows paths relative to a source, every component that names a patient as ``…``.

    A component is hidden where it contains a token of that file's own header, where one of its
    words is a token of any header met so far, or where it is written like a DICOM name
    (``DOE^JANE``, ``Doe, Jane``).

    Parameters
    ----------
    tokens : iterable of str
        Words of names and ids known from the start, as :func:`name_tokens` gives them.

    Examples
    --------
    >>> mask = PathMask()
    >>> mask.add(name_tokens("DOE^JANE"))
    >>> mask("doe_jane/series 1/0001.dcm"), mask("x/0001.dcm", ("0001",))
    ('…/series 1/0001.dcm', 'x/…')
    """

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._tokens = set(tokens)

    def add(self, tokens: Iterable[str]) -> None:
        """Remember the tokens of one more header."""
        self._tokens.update(_fold(token) for token in tokens)

    def __call__(self, relative: str, own: Iterable[str] = ()) -> str:
        """Give ``relative`` (parts joined by ``/``) with the telling parts hidden."""
        own_tokens = [_fold(token) for token in own]
        return "/".join(
            _MASK if self._tells(part, own_tokens) else _printable(part)
            for part in relative.split("/")
        )

    def hides(self, relative: str) -> bool:
        """Whether a part of ``relative`` would be hidden."""
        return any(self._tells(part, []) for part in relative.split("/"))

    def _tells(self, part: str, own: list[str]) -> bool:
        if "^" in part or "," in part:
            return True
        folded = _fold(part)
        words = set(_WORDS.findall(folded))
        if words & self._tokens or words.intersection(own):
            return True
        return any(len(token) >= _SHORTEST and token in folded for token in own)


def _printable(part: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in part)
