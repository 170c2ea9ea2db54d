"""Codes of findings and sides: SNOMED CT, as DICOM's context groups use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

__all__ = ["finding_code", "side_code"]

_FINDINGS = {
    "atelectasis": ("46621007", "Atelectasis"),
    "cardiomegaly": ("287272002", "Cardiomegaly"),
    "consolidation": ("95436008", "Pulmonary consolidation"),
    "edema": ("19242006", "Pulmonary edema"),
    "effusion": ("60046008", "Pleural effusion"),
    "emphysema": ("87433001", "Pulmonary emphysema"),
    "fibrosis": ("51615001", "Fibrosis of lung"),
    "fracture": ("125605004", "Fracture of bone"),
    "mass": ("4147007", "Mass"),
    "nodule": ("27925004", "Nodule"),
    "pericardial effusion": ("373945007", "Pericardial effusion"),
    "pneumonia": ("233604007", "Pneumonia"),
    "pneumothorax": ("36118008", "Pneumothorax"),
    "pulmonary embolism": ("59282003", "Pulmonary embolism"),
}
_SIDES = {
    "left": ("7771000", "Left"),
    "right": ("24028007", "Right"),
    "bilateral": ("51440002", "Right and left"),
}


def finding_code(label: str) -> Code | None:
    """Return the code of a finding, None if none is known.

    Examples
    --------
    >>> finding_code("effusion").meaning, finding_code("support device")
    ('Pleural effusion', None)
    """
    return _code(_FINDINGS.get(label))


def side_code(side: str) -> Code | None:
    """Return the code of a side, None if none is stated."""
    return _code(_SIDES.get(side))


def _code(known: tuple[str, str] | None) -> Code | None:
    from pydicom.sr.coding import Code

    return None if known is None else Code(known[0], "SCT", known[1])
