"""What a header says of a scan, as numbers that a model can read; imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping

from medembed.notes.exam_words import MODALITY_FAMILIES

__all__ = ["BODY_PARTS", "HEADER_CODES", "HEADER_VIEWS", "MODALITIES", "header_codes"]

HEADER_VIEWS = (
    "unknown", "PA", "AP", "lateral", "oblique", "axial", "coronal", "sagittal", "CC", "MLO",
)  # fmt: skip
MODALITIES = (
    "unknown", "radiograph", "CT", "MR", "ultrasound", "mammogram", "nuclear medicine",
)  # fmt: skip
BODY_PARTS = (
    "unknown", "chest", "abdomen", "pelvis", "trunk", "whole body", "head", "neck", "spine",
    "cervical spine", "thoracic spine", "lumbar spine", "breast", "heart", "shoulder", "upper arm",
    "elbow", "forearm", "wrist", "hand", "hip", "thigh", "knee", "lower leg", "ankle", "foot",
)  # fmt: skip
"""Codes by position, kept in models: names may only be added at the end."""

HEADER_CODES = 64
"""Codes that a model has room for, so that names can be added without changing its weights."""

_VIEW_WORDS = {
    "lateral": "LATERAL LAT LL RL L ML LM",
    "oblique": "OBLIQUE LLO RLO LAO RAO LPO RPO",
    "axial": "TRANSVERSE TRA AX",
    "coronal": "COR",
    "sagittal": "SAG",
    "CC": "XCCL XCCM FB",
}
_BODY_WORDS = {
    "chest": "THORAX LUNG LUNGS RIB RIBS STERNUM",
    "abdomen": "ABD LIVER KIDNEY KIDNEYS PANCREAS SPLEEN STOMACH",
    "pelvis": "BLADDER PROSTATE UTERUS SIJOINT",
    "trunk": "CHESTABDOMEN CHESTABDPELVIS ABDOMENPELVIS",
    "head": "SKULL BRAIN SCHAEDEL ORBIT SINUS FACE JAW MANDIBLE MAXILLA EAR EYE NOSE HEADNECK",
    "neck": "THYROID LARYNX PHARYNX",
    "spine": "WHOLESPINE CTSPINE TLSPINE SSPINE SACRUM COCCYX",
    "cervical spine": "CSPINE HWS",
    "thoracic spine": "TSPINE DORSALSPINE BWS",
    "lumbar spine": "LSPINE LSSPINE LUMBOSACRALSPINE LWS",
    "heart": "CARDIAC",
    "shoulder": "CLAVICLE SCAPULA ACJOINT",
    "upper arm": "ARM HUMERUS",
    "forearm": "RADIUS ULNA RADIUSULNA",
    "wrist": "SCAPHOID",
    "hand": "FINGER THUMB",
    "thigh": "UPPERLEG FEMUR",
    "knee": "PATELLA",
    "lower leg": "LEG TIBIA FIBULA TIBIAFIBULA CALF",
    "foot": "TOE CALCANEUS",
}
_OF_TRUNK = frozenset({"chest", "abdomen", "pelvis", "trunk"})
_SIDES = frozenset({"LEFT", "RIGHT", "L", "R", "LT", "RT", "BOTH", "BILATERAL"})


def _by_word(names: tuple[str, ...], words: Mapping[str, str]) -> dict[str, str]:
    found = {name.replace(" ", "").upper(): name for name in names[1:]}
    return found | {word: name for name, same in words.items() for word in same.split()}


_VIEWS = _by_word(HEADER_VIEWS, _VIEW_WORDS)
_PARTS = _by_word(BODY_PARTS, _BODY_WORDS)
_FAMILIES = {code: name for name, codes in MODALITY_FAMILIES.items() for code in codes}


def header_codes(view: str, modality: str, body_part: str) -> tuple[int, int, int]:
    """Return the positions in :data:`HEADER_VIEWS`, :data:`MODALITIES`, :data:`BODY_PARTS`.

    0 stands for what is missing and for all other values.

    Parameters
    ----------
    view : str
        DICOM ``ViewPosition``, or a plane or view as tables name it, ``"AP Supine"``.
    modality : str
        DICOM ``Modality``, or ``"XR"``.
    body_part : str
        DICOM ``BodyPartExamined``, or a part as tables name it, ``"left knee"``.

    References
    ----------
    DICOM PS3.3 C.7.3.1.1.1 and C.8.7.1.1.1; PS3.16 annex L.

    Examples
    --------
    >>> header_codes("AP Supine", "XR", "CHEST")
    (2, 1, 1)
    >>> [BODY_PARTS[header_codes("", "", part)[2]] for part in ("CSPINE", "LEFT KNEE", "?")]
    ['cervical spine', 'knee', 'unknown']
    """
    views = (_VIEWS.get(word) for word in _words(view))
    family = _FAMILIES.get(modality.upper(), "unknown")
    return (
        HEADER_VIEWS.index(next(filter(None, views), "unknown")),
        MODALITIES.index(family) if family in MODALITIES else 0,
        BODY_PARTS.index(_part(body_part)),
    )


def _part(text: str) -> str:
    words = [word for word in _words(text) if word not in _SIDES]
    whole = _PARTS.get("".join(words))
    if whole:
        return whole
    named = {_PARTS[word] for word in words if word in _PARTS}
    if len(named) > 1:
        return "trunk" if named <= _OF_TRUNK else "unknown"
    return named.pop() if named else "unknown"


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Z]+", text.upper())
