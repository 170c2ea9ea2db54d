"""Words of a query that name an attribute of a case: modality, view, body part, sex, age.

English, German and Spanish words are known; the language of the vocabulary does not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["AttributeKind", "AttributeWords", "attribute_words"]

AttributeKind = Literal["modality", "view", "body part", "sex", "age"]


@dataclass(frozen=True)
class AttributeWords:
    """An attribute that a text names.

    Parameters
    ----------
    kind : {"modality", "view", "body part", "sex", "age"}
    value : str
        For display: ``"F"``, ``"LATERAL"``, ``"radiograph"``, ``"60"``.
    codes : tuple of str
        Values of a case that meet it; empty for an age.
    years : (float, float) or None
        The ages meant, in years.
    words : str
        As the text has them.
    """

    kind: AttributeKind
    value: str
    codes: tuple[str, ...]
    years: tuple[float, float] | None
    words: str


_SHOT = (
    r"(?:views?|films?|chest|radiographs?|x-?rays?|projections?|images?|cxr|thorax\w*|"
    r"aufnahmen?|röntgen\w*|bild\w*)"
)
_BEFORE_SHOT = (
    r"(?:views?|radiographs?|x-?rays?|cxr|projections?|röntgen\w*|proyección|radiografía)"
)

_CODED: tuple[tuple[AttributeKind, str, tuple[str, ...], str], ...] = (
    ("sex", "F", ("F",), r"wom[ae]n|females?|ladys?|ladies|girls?|frau(?:en)?|patientin\w*|"
     r"weiblich\w*|mujer(?:es)?|femenin[oa]s?|niñas?"),
    ("sex", "M", ("M",), r"m[ae]n|males?|gentlem[ae]n|boys?|mann|männer|männlich\w*|hombres?|"
     r"varón|varones|masculin[oa]s?"),
    ("modality", "CT", ("CT",), r"ct|computed tomography|computertomogra\w+|"
     r"tomografía(?: computari[zs]ada)?|tac"),
    ("modality", "MR", ("MR",), r"mri|mrt|magnetic resonance(?: imaging)?|kernspin\w*|"
     r"magnetresonanz\w*|resonancia(?: magnética)?"),
    ("modality", "ultrasound", ("US",), r"ultrasound|ultrasonogra\w+|sonogra\w+|ultraschall\w*|"
     r"ecografía"),
    ("modality", "mammogram", ("MG",), r"mammogra\w+|mamografía"),
    ("modality", "radiograph", ("CR", "DX", "XR", "RG", "PX"), r"x-?rays?|radiographs?|"
     r"plain films?|cxr|röntgen\w*|radiografía"),
    ("view", "LATERAL", ("LATERAL", "LL", "RL"), rf"lateral (?={_SHOT}\b)|"
     rf"(?<=chest )lateral|seitlich\w* (?={_SHOT}\b)|seitaufnahme"),
    ("view", "PA", ("PA",), rf"p\.?a\.?[ -]+(?={_SHOT}\b)|postero-?anterior\w*"),
    ("view", "AP", ("AP",), rf"a\.?p\.?[ -]+(?={_SHOT}\b)|antero-?posterior\w*|portable|"
     r"bettaufnahme"),
    ("body part", "chest", ("CHEST", "THORAX", "LUNG"), r"chest|thorax\w*|tórax|cxr"),
    ("body part", "abdomen", ("ABDOMEN",), r"abdom[ei]n\w*"),
    ("body part", "head", ("HEAD", "SKULL", "BRAIN"), r"head|skull|brain|schädel\w*|kopf|cráneo"),
    ("body part", "spine", ("SPINE", "CSPINE", "TSPINE", "LSPINE"),
     r"spine|wirbelsäule\w*|columna"),
    ("body part", "pelvis", ("PELVIS", "HIP"), r"pelvi[sc]|hip|becken\w*|hüfte"),
    ("body part", "knee", ("KNEE",), r"knee|knie\w*|rodilla"),
    ("body part", "shoulder", ("SHOULDER",), r"shoulder|schulter\w*|hombro"),
    ("body part", "hand", ("HAND", "WRIST"), r"hand|wrist|handgelenk\w*|mano|muñeca"),
    ("body part", "foot", ("FOOT", "ANKLE"), r"foot|ankle|fuß\w*|sprunggelenk\w*|tobillo"),
    ("body part", "breast", ("BREAST",), r"breast|brust|mamma"),
)  # fmt: skip
_AT_EDGE = re.compile(
    rf"(?:^|(?<=[,;(] )|(?<={'view '})|(?<={'radiograph '}))(?P<view>PA|AP)(?=$|[,;)]| and lateral)"
)
_LATERAL_AFTER = re.compile(rf"\b{_BEFORE_SHOT}(?:[ ,:]+\w+){{0,3}}[ ,:]+(?P<w>lateral)\b", re.I)
_AND_LATERAL = re.compile(r"\b(?:pa|ap|frontal) (?:and|&|und|y) lateral\b", re.IGNORECASE)
_PATTERNS = tuple(
    (
        kind,
        value,
        codes,
        re.compile(rf"(?<![\w-])(?:{words})(?:(?![\w-])|(?<=[ -]))", re.IGNORECASE),
    )
    for kind, value, codes, words in _CODED
)
_YEARS = re.compile(
    r"""\b(?P<a>\d{1,3})[- ]?(?:years?|yrs?)[- ]?(?:old|of\sage)\b
      | \b(?P<b>\d{1,3})\s?(?:yo|y/o|y\.o\.)(?!\w)
      | \b(?:aged?|alter|edad(?:\sde)?)\s(?:of\s|von\s)?(?:about\s)?(?P<c>\d{1,3})\b
      | \b(?P<d>\d{1,3})[- ]?jährig\w*
      | \b(?P<e>\d{1,3})\sjahren?(?:\salt)?\b
      | \b(?P<f>\d{1,3})\saños\b
      | \bin\s(?:his|her|their|the)\s(?P<decade>[1-9]0)s\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_STAGES: tuple[tuple[str, tuple[float, float], str], ...] = (
    ("newborn", (0, 0), r"neonates?|newborns?|neugeborene\w*|neonato"),
    ("child", (0, 15), r"child|children|infants?|baby|p[a]?ediatric|kind(?:er)?|kleinkind|"
     r"säugling|niñ[oa]s?|pediátric[oa]"),
    ("old", (70, 130), r"elderly|geriatric|betagt\w*|ancian[oa]s?"),
)  # fmt: skip
_STAGE_PATTERNS = tuple(
    (value, years, re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE))
    for value, years, words in _STAGES
)
_OTHER_STUDY = re.compile(
    r"(?:\bno|\bnot|nicht|without|compared? (?:to|with)|versus|vs\.?|recommend\w*|follow-?up|prior|"
    r"previous|kein\w*|ohne|sin|on|by|after)\s(?:an?\s|the\s)?$",
    re.IGNORECASE,
)
"""Before a modality that is not that of the image: "compared with CT", "seen on CT"."""


def attribute_words(text: str) -> tuple[AttributeWords, ...]:
    """Return the attributes that a short query names, one of each kind.

    A kind that is named with two values ("CT or MRI", "man or woman") is left out.

    Examples
    --------
    >>> read = attribute_words("lateral chest radiograph of a 60-year-old woman")
    >>> [(a.kind, a.value) for a in read]
    [('modality', 'radiograph'), ('view', 'LATERAL'), ('body part', 'chest'), ('sex', 'F'), ('age', '60')]
    >>> attribute_words("bilateral effusions, PA catheter")
    ()
    """  # noqa: E501  one line of output
    found: list[AttributeWords] = []
    for kind, value, codes, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if kind == "modality" and _OTHER_STUDY.search(text[: match.start()]):
                continue
            found.append(AttributeWords(kind, value, codes, None, match.group().strip(" -")))
            break
    found += _views(text)
    found += _ages(text)
    kept = []
    for kind in ("modality", "view", "body part", "sex", "age"):
        named = [one for one in found if one.kind == kind]
        if named and len({one.value for one in named}) == 1:
            kept.append(named[0])
    return tuple(kept)


def _views(text: str) -> list[AttributeWords]:
    """Views that stand alone, "PA", or behind the image, "chest radiograph, lateral"."""
    if _AND_LATERAL.search(text):  # both views were taken: no condition on either
        both = ("PA", "LATERAL")
        return [AttributeWords("view", v, (v,), None, v) for v in both]
    found = [
        AttributeWords("view", m["view"], (m["view"],), None, m["view"])
        for m in _AT_EDGE.finditer(text)
    ]
    behind = _LATERAL_AFTER.search(text)
    if behind:
        found.append(AttributeWords("view", "LATERAL", ("LATERAL", "LL", "RL"), None, behind["w"]))
    return found


def _ages(text: str) -> list[AttributeWords]:
    found = []
    for match in _YEARS.finditer(text):
        number = float(next(g for g in match.groups() if g))
        if number > 130:
            continue
        low, high = (number, number + 9) if match["decade"] else (number, number)
        value = f"{number:.0f}s" if match["decade"] else f"{number:.0f}"
        found.append(AttributeWords("age", value, (), (low, high), match.group()))
    if not found:
        for value, years, pattern in _STAGE_PATTERNS:
            stage = pattern.search(text)
            if stage:
                found.append(AttributeWords("age", value, (), years, stage.group()))
    return found
