"""Paths to show to a person: relative, and without the parts that carry a patient's name or id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from medembed.privacy.pseudonyms import Pseudonymiser

__all__ = ["PathMask", "name_keys", "name_tokens"]

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


def name_keys(names: Pseudonymiser, tokens: Iterable[str]) -> tuple[str, ...]:
    """Put tokens into keyed form, to be kept: their length and a hash."""
    key = _keyed(names)
    return tuple(key(_fold(token)) for token in tokens)


def _keyed(names: Pseudonymiser) -> Callable[[str], str]:
    known: dict[str, str] = {}

    def key(token: str) -> str:
        if token not in known:
            known[token] = f"{len(token)}:{names.digest('name', token).hex()[:16]}"
        return known[token]

    return key


def _plain(token: str) -> str:
    return f"{len(token)}:{token}"


class PathMask:
    """Shows paths relative to a source, every component that names a patient as ``…``.

    A component is hidden where it contains a token of that file's own header, where one of its
    words is a token of any header met so far, or where it is written like a DICOM name
    (``DOE^JANE``, ``Doe, Jane``).

    Parameters
    ----------
    names : Pseudonymiser, optional
        Where given, tokens are known by their keys only (:func:`name_keys`).

    Examples
    --------
    >>> mask = PathMask()
    >>> mask.add(name_tokens("DOE^JANE"))
    >>> mask("doe_jane/series 1/0001.dcm"), mask("x/0001.dcm", ("0001",))
    ('…/series 1/0001.dcm', 'x/…')
    """

    def __init__(self, names: Pseudonymiser | None = None) -> None:
        self._key = _plain if names is None else _keyed(names)
        self._is_keyed = names is not None
        self._tokens: set[str] = set()

    def add(self, tokens: Iterable[str]) -> None:
        """Remember the tokens of one more header, or their keys."""
        self._tokens.update(self._keys(tokens))

    def __call__(self, relative: str, own: Iterable[str] = ()) -> str:
        """Give ``relative`` (parts joined by ``/``) with the telling parts hidden."""
        own_keys = self._keys(own)
        return "/".join(
            _MASK if self._tells(part, own_keys) else _printable(part)
            for part in relative.split("/")
        )

    def hides(self, relative: str) -> bool:
        """Whether a part of ``relative`` would be hidden."""
        return any(self._tells(part, set()) for part in relative.split("/"))

    def _keys(self, tokens: Iterable[str]) -> set[str]:
        return set(tokens) if self._is_keyed else {_plain(_fold(token)) for token in tokens}

    def _tells(self, part: str, own: set[str]) -> bool:
        if "^" in part or "," in part:
            return True
        folded = _fold(part)
        words = {self._key(word) for word in _WORDS.findall(folded)}
        if words & self._tokens or words & own:
            return True
        lengths = {int(key.partition(":")[0]) for key in own}
        return any(
            self._key(folded[start : start + length]) in own
            for length in lengths
            if length >= _SHORTEST
            for start in range(len(folded) - length + 1)
        )


def _printable(part: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in part)
