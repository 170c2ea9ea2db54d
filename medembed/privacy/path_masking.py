"""Masking of paths for display: relative, without parts that contain a patient's name or id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from medembed.privacy.pseudonyms import Pseudonymizer

__all__ = ["PathMask", "name_keys", "name_tokens"]

_WORDS = re.compile(r"[^\W_]+")
_MASK = "…"
_SHORTEST = 3  # "Li" within a word would hide half of all paths; as a whole word it is found


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


def name_keys(names: Pseudonymizer, tokens: Iterable[str]) -> tuple[str, ...]:
    """Return tokens in storable form: length and keyed hash."""
    key = _keyed(names)
    return tuple(key(_fold(token)) for token in tokens)


def _keyed(names: Pseudonymizer) -> Callable[[str], str]:
    known: dict[str, str] = {}

    def key(token: str) -> str:
        if token not in known:
            known[token] = f"{len(token)}:{names.digest('name', token).hex()[:16]}"
        return known[token]

    return key


def _plain(token: str) -> str:
    return f"{len(token)}:{token}"


class PathMask:
    """Masks every component of a relative path that names a patient as ``…``.

    A component is masked if it contains a token of the file's own header, if one of its words is a
    token of any header so far, or if it has the form of a DICOM name (``DOE^JANE``,
    ``Doe, Jane``).

    Parameters
    ----------
    names : Pseudonymizer, optional
        If given, tokens are known by their keys only (:func:`name_keys`).

    Examples
    --------
    >>> mask = PathMask()
    >>> mask.add(name_tokens("DOE^JANE"))
    >>> mask("doe_jane/series 1/0001.dcm"), mask("x/0001.dcm", ("0001",))
    ('…/series 1/0001.dcm', 'x/…')
    """

    def __init__(self, names: Pseudonymizer | None = None) -> None:
        self._key = _plain if names is None else _keyed(names)
        self._is_keyed = names is not None
        self._tokens: set[str] = set()

    def add(self, tokens: Iterable[str]) -> None:
        """Add the tokens of a header, or their keys."""
        self._tokens.update(self._keys(tokens))

    def __call__(self, relative: str, own: Iterable[str] = ()) -> str:
        """Return ``relative`` (parts joined by ``/``) with identifying parts masked."""
        own_keys = self._keys(own)
        return "/".join(
            _MASK if self._identifies(part, own_keys) else _printable(part)
            for part in relative.split("/")
        )

    def hides(self, relative: str) -> bool:
        """Return whether a part of ``relative`` would be masked."""
        return any(self._identifies(part, set()) for part in relative.split("/"))

    def _keys(self, tokens: Iterable[str]) -> set[str]:
        return set(tokens) if self._is_keyed else {_plain(_fold(token)) for token in tokens}

    def _identifies(self, part: str, own: set[str]) -> bool:
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
