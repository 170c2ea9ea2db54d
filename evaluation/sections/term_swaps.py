"""Swap a patient's sex, age or race in English words, or put a word without meaning in its place.

What is swapped says something of the patient, not of the picture: "white" before a person is a
race, in "white-out" it is not, and "her" becomes "his" or "him" by what follows. A placebo swap
touches the same places: it shows how much the search moves when *any* word there is another.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medembed.errors import InputError

__all__ = ["PLACEBO_WORDS", "SWAPS", "Swap", "mentions", "swap_words", "version"]

PLACEBO_WORDS = (
    "registered", "listed", "recorded", "filed", "named", "numbered", "catalogued", "documented",
    "logged", "entered", "stored", "saved", "noted", "kept", "tabled", "mentioned",
)  # fmt: skip
"""Adjectives that say nothing of a patient; used in pairs, the first with the second and so on."""

_PAIRS = {  # kind: (female, male, placebo with {} for its word)
    "adjective": ("female", "male", "{}"),
    "adjectives": ("females", "males", "{} patients"),
    "noun": ("woman", "man", "{} patient"),
    "nouns": ("women", "men", "{} patients"),
    "polite": ("lady", "gentleman", "{} patient"),
    "polites": ("ladies", "gentlemen", "{} patients"),
    "child": ("girl", "boy", "{} patient"),
    "children": ("girls", "boys", "{} patients"),
    "subject": ("she", "he", "the {} patient"),
    "object": ("her", "him", "the {} patient"),
    "determiner": ("her", "his", "the {} patient's"),
    "possessive": ("hers", "his", "the {} patient's"),
    "reflexive": ("herself", "himself", "the {} patient"),
    "title": ("Ms", "Mr", "{}"),
    "letter": ("F", "M", "{}"),
}
_KIND = {word.lower(): kind for kind, pair in _PAIRS.items() for word in pair[:2]}
_KIND["mrs"] = "title"
_AMBIGUOUS = {"her": ("determiner", "object"), "his": ("determiner", "possessive")}
"""Before a noun, and elsewhere."""

_PERSON = (
    r"(?:patients?|persons?|people|individuals?|subjects?|adults?|child(?:ren)?|(?:fe)?males?|"
    r"wom[ae]n|m[ae]n|lady|ladies|gentlem[ae]n|girls?|boys?)"
)
_NO_NOUN = frozenset({
    "a", "about", "after", "again", "also", "and", "are", "as", "at", "because", "before", "but",
    "by", "during", "for", "from", "had", "has", "he", "if", "in", "into", "is", "it", "of", "on",
    "or", "she", "since", "than", "that", "the", "then", "this", "to", "today", "under", "until",
    "was", "were", "when", "while", "who", "with", "without",
})  # fmt: skip
_YEARS = r"(?:[-\s]?(?:years?|yrs?)(?:[-\s]old|\sof\sage)|[-\s]?y/?o\b)"
_PATTERNS = {
    attribute: re.compile(rf"(?:\b(?P<article>an?)(?P<space>\s+))?(?:{said})", re.IGNORECASE)
    for attribute, said in {
        "sex": r"\b(?P<word>females?|males?|wom[ae]n|m[ae]n|lady|ladies|gentlem[ae]n|girls?|boys?|"
        r"she|he|hers?|him|his|herself|himself)\b|\b(?P<title>Mrs|Ms|Mr)\b(?!/)"
        rf"|(?<![\w.])(?P<before>\d{{1,2}}\s?(?:{_YEARS}\s?)?)(?P<letter>[FM])\b(?![-/'°])",
        "age": rf"(?<![\w.])(?P<years>\d{{1,3}})(?P<unit>{_YEARS})"
        r"|\b(?P<label>aged?:?\s)(?P<at>\d{1,3})\b(?!\.\d)"
        r"|(?<![\w.])(?P<short>\d{1,2})(?=\s?[FM]\b(?![-/'°]))"
        rf"|\b(?P<word>elderly|young|middle-aged|old)(?=\s+(?:(?:\w|-)+\s+)?{_PERSON}\b)",
        "race": r"\b(?P<word>african[-\s]american|caucasian|hispanic|latin[oax]|asian"
        rf"|(?:black|white)(?=\s+(?:\d{{1,3}}{_YEARS}\s+)?{_PERSON}\b)"
        r"|(?<=race:\s)(?:black|white)|(?<=ethnicity:\s)(?:black|white))\b",
    }.items()
}


@dataclass(frozen=True)
class Swap:
    """One attribute, said in two ways; the effect of a swap is the second less the first.

    Parameters
    ----------
    attribute : {"sex", "age", "race"}
    first, second : str
        ``female``, ``male``; an age in years; a race as an adjective.
    """

    attribute: str
    first: str
    second: str

    def __post_init__(self) -> None:
        for target in (self.first, self.second):
            _check(self.attribute, target)

    @property
    def name(self) -> str:
        """The swap in words."""
        return f"{self.first} to {self.second}"


def _pattern(attribute: str) -> re.Pattern[str]:
    if attribute not in _PATTERNS:
        raise InputError(f"no words for {attribute!r}", hint="sex, age or race")
    return _PATTERNS[attribute]


def _check(attribute: str, to: str) -> None:
    _pattern(attribute)
    if attribute == "sex" and to not in ("female", "male"):
        raise InputError(f"a sex to say of {to!r}", hint="female or male")
    if attribute == "age" and not (to.isdigit() and int(to) <= 120):
        raise InputError("an age to say that is no number of years")
    if not to.strip():
        raise InputError("nothing to say")


SWAPS = (
    Swap("sex", "male", "female"),
    Swap("age", "30", "80"),
    Swap("race", "White", "Black"),
    Swap("race", "White", "Asian"),
    Swap("race", "White", "Hispanic"),
)
"""What is swapped where nothing else is declared."""


def mentions(text: str, attribute: str) -> bool:
    """Whether the text says the patient's sex, age or race.

    Examples
    --------
    >>> mentions("Black man with cough", "race"), mentions("black pleural line", "race")
    (True, False)
    """
    return _pattern(attribute).search(text) is not None


def swap_words(text: str, attribute: str, to: str, *, placebo: bool = False) -> str:
    """Say another sex, age or race wherever the text says one.

    Parameters
    ----------
    text : str
    attribute : {"sex", "age", "race"}
    to : str
        ``"female"`` or ``"male"``; years; an adjective. With ``placebo`` any adjective.
    placebo : bool
        Put a word without meaning in all the places, grammar kept as far as it goes.

    Examples
    --------
    >>> swap_words("A 68-year-old woman; she hurt her hip.", "sex", "male")
    'A 68-year-old man; he hurt his hip.'
    >>> swap_words("An 80-year-old female", "age", "30")
    'A 30-year-old female'
    >>> swap_words("She hurt her hip.", "sex", "listed", placebo=True)
    "The listed patient hurt the listed patient's hip."
    """
    pattern = _pattern(attribute)
    if not placebo:
        _check(attribute, to)
    said = {"sex": _sex, "age": _age, "race": _race}[attribute]

    def replaced(match: re.Match[str]) -> str:
        new = said(match, to, placebo)
        article = match["article"]
        return f"{_article(article, new)}{match['space']}{new}" if article else new

    return pattern.sub(replaced, text)


def version(text: str, attribute: str, to: str, *, placebo: bool = False) -> str:
    """Swap where the text says the attribute; where it does not, say it before the text.

    Examples
    --------
    >>> version("left effusion", "age", "80")
    '80-year-old patient. left effusion'
    """
    if mentions(text, attribute):
        return swap_words(text, attribute, to, placebo=placebo)
    if not placebo:
        _check(attribute, to)
    said = f"{to}-year-old" if attribute == "age" and not placebo else to
    return f"{said[:1].upper()}{said[1:]} patient. {text}"


def _like(model: str, word: str) -> str:
    """Write a word in the case of another."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def _article(article: str, following: str) -> str:
    vowel = re.match(r"[aeiou]|8|(?:11|18)(?!\d)", following, re.IGNORECASE) is not None
    return article[:1] + ("n" if vowel else "")


def _sex(match: re.Match[str], to: str, placebo: bool) -> str:
    if match["letter"]:
        space = " " if placebo and not match["before"].endswith(" ") else ""
        return match["before"] + space + (to if placebo else _PAIRS["letter"][to == "male"])
    word = match["title"] or match["word"]
    kind = _KIND[word.lower()]
    if word.lower() in _AMBIGUOUS:
        following = re.match(r"\s+([a-zA-Z]+)", match.string[match.end() :])
        noun = following is not None and following[1].lower() not in _NO_NOUN
        kind = _AMBIGUOUS[word.lower()][0 if noun else 1]
    return _like(word, _PAIRS[kind][2].format(to) if placebo else _PAIRS[kind][to == "male"])


def _age(match: re.Match[str], to: str, placebo: bool) -> str:
    if match["word"]:
        years = 0 if placebo else int(to)
        word = "young" if years < 40 else "elderly" if years >= 65 else "middle-aged"
        return _like(match["word"], to if placebo else word)
    if placebo:
        return f"{to} " if match["short"] else to
    return (match["label"] or "") + to + (match["unit"] or "")


def _race(match: re.Match[str], to: str, placebo: bool) -> str:
    return _like(match["word"], to)
