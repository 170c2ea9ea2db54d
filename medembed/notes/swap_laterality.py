"""Swap left and right in a text, for a mirrored image."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from medembed.notes.vocabulary import load_vocabulary, packaged_vocabularies

__all__ = ["can_swap_laterality", "swap_laterality"]

# Pairs for languages without a vocabulary, one word each way: swapping twice restores the text.
_FOREIGN = (
    ("izquierdo", "derecho"), ("izquierda", "derecha"), ("izquierdos", "derechos"),
    ("izquierdas", "derechas"), ("sinistro", "destro"), ("sinistra", "destra"),
    ("sinistri", "destri"), ("sinistre", "destre"), ("esquerdo", "direito"),
    ("esquerda", "direita"), ("linker", "rechter"), ("links", "rechts"),
    ("izda", "dcha"), ("izdo", "dcho"), ("vänster", "höger"), ("vänstra", "högra"),
    ("venstre", "højre"),
)  # fmt: skip
# A single L or R in capitals, but no "5 L", "L spine", "L4-5", "R/O", "pt.'s L'"
_LETTER = (
    r"(?<![\w.'’-])(?<!\d )[LR](?![\w'’])"
    r"(?!/(?![LR]\b))(?!-(?!sided\b|to\b))(?!\.?[ ]*(?:spine\b|\d))"
)
# What swapping leaves as it is although it names a side, or would turn into another statement.
_UNSWAPPED = re.compile(
    r"(?<![^\W_])(?:"
    r"gauches?|droite?s?"  # French: "gauche" has two counterparts
    r"|lew[aeąyoi]\w*|praw[aeąyoi]\w*|lev[éáýo]\w*|vlevo|vpravo|prav[éáýo]\w*|sağ\w*|sol"
    r"|vasen|vasem\w+|oike\w+|jobb|bal|sinister|dexter|dextra"
    r"|(?:left|right)\w+|(?:links|rechts|linke|rechte)\w+|(?:izquierd|derech)\w+"
    r"|(?:dextro|levo|laevo)\w*|situs"
    r"|rml|rmz|middle\s+lobe\w*|mittellappen\w*|lóbulo\s+medio|lingula\w*|língula|azygos"
    r"|re|li|izq|der(?=\.)|lks|rts|in\s+[ds]x|a\s+[ds]x"
    r"|(?-i:[rl])(?!/o\b)"  # a single small letter
    r")(?![^\W_'’])",
    re.IGNORECASE,
)
_UNSWAPPED_LETTER = re.compile(r"(?<![\w'’.-])(?<!\d )[LR]-(?!spine)(?=[A-Za-z])")
# Names, not places: a mirrored left ventricle is not a right one.
_NAMES = re.compile(
    r"\b(?:(?:left|right|links|rechts|linke\w*|rechte\w*)[- ]?|[lr]t\.?[- ]?)"
    r"(?:to[- ]?(?:left|right)\b|ventric|ventrik|atri|heart|herz|coronary|axis\b)",
    re.IGNORECASE,
)
_NOT_LATIN = re.compile(r"[\u0370-\u1cff\u2c00-\ua6ff\uac00-\ufaff]")


def can_swap_laterality(text: str) -> bool:
    """Return whether :func:`swap_laterality` turns every side of a text, and nothing else.

    It does not for one-sided anatomy (middle lobe, lingula), names of sides ("left ventricle",
    "left-to-right shunt"), sides in languages or abbreviations that it does not know, and other
    scripts. The image of such a report must not be mirrored.

    Examples
    --------
    >>> [can_swap_laterality(t) for t in ("R pleural effusion, lt. base clear", "Clear lungs")]
    [True, True]
    >>> [can_swap_laterality(t) for t in ("RML collapse", "poumon gauche", "r effusion")]
    [False, False, False]
    """
    if _NAMES.search(text) or _NOT_LATIN.search(text):
        return False
    rest = _swaps()[1].sub(" ", text)
    return not (_UNSWAPPED.search(rest) or _UNSWAPPED_LETTER.search(rest))


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
