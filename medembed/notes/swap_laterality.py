"""Swap left and right in a text, for a mirrored image."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from medembed.notes.vocabulary import load_vocabulary, packaged_vocabularies

__all__ = ["swap_laterality"]

# Pairs for languages without a vocabulary, one word each way: swapping twice restores the text.
_FOREIGN = (
    ("izquierdo", "derecho"), ("izquierda", "derecha"), ("izquierdos", "derechos"),
    ("izquierdas", "derechas"), ("sinistro", "destro"), ("sinistra", "destra"),
    ("sinistri", "destri"), ("sinistre", "destre"), ("esquerdo", "direito"),
    ("esquerda", "direita"), ("linker", "rechter"), ("links", "rechts"),
)  # fmt: skip
# A single L or R in capitals, but no "5 L", "L spine", "L4-5", "R/O", "pt.'s L'"
_LETTER = (
    r"(?<![\w.'’-])(?<!\d )[LR](?![\w'’])"
    r"(?!/(?![LR]\b))(?!-(?!sided\b|to\b))(?!\.?[ ]*(?:spine\b|\d))"
)


def swap_laterality(text: str) -> str:
    """Swap left and right in a text, including abbreviations; keeps letter case.

    Swapping twice restores the text. One-sided anatomy (middle lobe, lingula) is not changed.

    Examples
    --------
    >>> swap_laterality("LEFT effusion, right-sided nodule in the RUL, upright film")
    'RIGHT effusion, left-sided nodule in the LUL, upright film'
    >>> swap_laterality("R>L effusions, lt. base; 2 L of oxygen, L spine")
    'L>R effusions, rt. base; 2 L of oxygen, L spine'
    """
    swap, pattern = _swaps()
    return pattern.sub(lambda match: _mirrored(match.group(), swap), text)


@lru_cache(maxsize=1)
def _swaps() -> tuple[dict[str, str], re.Pattern[str]]:
    pairs = [*_FOREIGN]
    for language in packaged_vocabularies():
        pairs += load_vocabulary(language).file.sides.pairs
    swap: dict[str, str] = {}
    for one, other in pairs:
        if one not in swap and other not in swap:
            swap |= {one: other, other: one}
    words = "|".join(sorted(map(re.escape, swap), key=lambda word: -len(word)))
    return swap, re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])|(?-i:{_LETTER})", re.IGNORECASE)


def _mirrored(word: str, swap: dict[str, str]) -> str:
    plain = word.lower()
    if plain in ("l", "r"):
        return {"L": "R", "R": "L"}.get(word, word)
    new = swap[plain]
    form: Callable[[str], str]
    for form in (str.lower, str.upper, str.capitalize):
        if form(word) == word:
            return form(new)
    return word
