"""The noun :class:`Case`: one study of one patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Literal, cast

from medembed.errors import InputError
from medembed.notes import FINDINGS, SIDED_FINDINGS, Note, Side

__all__ = [
    "ATTRIBUTES",
    "FINDINGS",
    "SIDED_FINDINGS",
    "UNKNOWN",
    "Case",
    "Finding",
    "ScanRef",
    "Sex",
    "group_of",
    "normalise_sex",
]

ATTRIBUTES = ("sex", "age_band", "race", "view", "modality", "site", "scanner")
"""What groups cases in every library; columns that were kept are further ones."""

UNKNOWN = "unknown"
"""The group of a case of which the source does not say."""

Sex = Literal["F", "M", "O", "unknown"]

_SIDES = ("", "left", "right", "bilateral")


@dataclass(frozen=True, order=True)
class Finding:
    """A finding and its side.

    Parameters
    ----------
    label : str
        Lower case; one of :data:`FINDINGS` or a source's own label.
    side : {"", "left", "right", "bilateral"}
        The patient's side; empty where none is given.

    Examples
    --------
    >>> Finding.parse("Effusion:right")
    Finding(label='effusion', side='right')
    >>> str(Finding("effusion", "right"))
    'effusion:right'
    """

    label: str
    side: Side = ""

    def __post_init__(self) -> None:
        if not self.label or self.label != self.label.strip().lower() or ":" in self.label:
            raise InputError("a finding needs a lower-case label without a colon")
        if self.side not in _SIDES:
            raise InputError("a finding's side is left, right, bilateral or nothing")

    @classmethod
    def parse(cls, text: str) -> Finding:
        """Read ``"label"`` or ``"label:side"``, in any case."""
        label, _, side = text.strip().lower().partition(":")
        label = re.sub(r"\s+", " ", label.strip())
        side = side.strip()
        if side not in _SIDES:
            raise InputError("a finding's side is left, right, bilateral or nothing")
        return cls(label, cast(Side, side))

    def __str__(self) -> str:
        return f"{self.label}:{self.side}" if self.side else self.label

    def matches(self, wanted: Finding) -> bool:
        """Whether this finding answers to ``wanted``; bilateral answers to either side."""
        if self.label != wanted.label:
            return False
        return not wanted.side or self.side in (wanted.side, "bilateral")


@dataclass(frozen=True)
class ScanRef:
    """Where one scan of a case lies: paths and hashes, not pixels.

    Parameters
    ----------
    files : tuple of str
        One file, or the files of one series in the order of their slices. Absolute, or relative
        to the library's folder where they lie inside it.
    sha256 : str
        Hex digest over the files' contents in that order.
    modality, view : str
        As in :class:`medembed.scans.Scan`.
    frame : int or None
        A single frame of a multi-frame file, counted from 0; None means all of it.
    kind : str
        What the scan is, such as ``"image"`` or ``"segmentation"``; ``"unknown"`` is a value.
    pixel_sha256 : str
        Hex digest of the decoded pixels, the same in another file or format; empty where not known.
    """

    files: tuple[str, ...]
    sha256: str
    modality: str = "unknown"
    view: str = "unknown"
    frame: int | None = None
    kind: str = "unknown"
    pixel_sha256: str = ""

    def __post_init__(self) -> None:
        if not self.files or not all(self.files):
            raise InputError("a scan needs at least one file")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise InputError("a scan's sha256 is 64 hex digits")


def normalise_sex(text: object) -> Sex:
    """Bring a value of ``PatientSex`` or of a table's ``sex`` to F, M, O or unknown."""
    first = str(text or "").strip().upper()
    if first in ("F", "FEMALE", "W", "WOMAN"):
        return "F"
    if first in ("M", "MALE", "MAN"):
        return "M"
    if first in ("O", "OTHER"):
        return "O"
    return "unknown"


@dataclass(frozen=True)
class Case:
    """One study of one patient, valid once constructed.

    Parameters
    ----------
    case_id : str
        Name of the case in its library. Not an identifier of the patient.
    patient_id : str
        Pseudonym (:mod:`medembed.privacy`).
    scans : tuple of ScanRef
        At least one.
    note : Note or None
    findings : tuple of Finding
        Sorted, without doubles.
    study_date : date or None
        Moved by ``date_shift_days`` against the date in the source.
    modality, view : str
        Of the study's first scan; ``"unknown"`` is a value.
    sex : {"F", "M", "O", "unknown"}
    age_years : float or None
        None is unknown; 0 to 130.
    race, site, scanner : str
        ``"unknown"`` where not given.
    split : {"train", "val", "test", ""}
        Empty lets the library assign one.
    group_id : str
        Cases of one group never fall into two splits; empty means the patient is the group.
    attributes : mapping of str to str
        Further columns that the source was told to keep.
    kind : str
        That of the study's first scan.

    Raises
    ------
    InputError
        Where one of the above does not hold.
    """

    case_id: str
    patient_id: str
    scans: tuple[ScanRef, ...]
    note: Note | None = field(default=None, repr=False)
    findings: tuple[Finding, ...] = ()
    study_date: date | None = None
    date_shift_days: int = 0
    modality: str = "unknown"
    view: str = "unknown"
    sex: Sex = "unknown"
    age_years: float | None = None
    race: str = "unknown"
    site: str = "unknown"
    scanner: str = "unknown"
    split: str = ""
    group_id: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: str = "unknown"

    def __post_init__(self) -> None:
        for name in ("case_id", "patient_id"):
            value = getattr(self, name)
            if not value or value != value.strip() or any(ord(c) < 32 for c in value):
                raise InputError(f"a case needs a {name} without blanks around it")
        if not self.scans:
            raise InputError("a case needs at least one scan")
        if self.age_years is not None and not 0 <= self.age_years <= 130:
            raise InputError("an age outside 0 to 130 years")
        if self.sex not in ("F", "M", "O", "unknown"):
            raise InputError("sex is F, M, O or unknown")
        if self.split not in ("", "train", "val", "test"):
            raise InputError("a split is train, val or test")
        for name in ("modality", "view", "race", "site", "scanner"):
            object.__setattr__(self, name, getattr(self, name).strip() or "unknown")
        object.__setattr__(self, "findings", tuple(sorted(set(self.findings))))
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))


def group_of(case: Case, attribute: str, age_bands: Sequence[int]) -> str:
    """Group that a case belongs to.

    Parameters
    ----------
    case : Case
    attribute : str
        One of :data:`ATTRIBUTES`, or a column that was kept at ingest.
    age_bands : sequence of int
        Where one band of ages ends and the next begins: ``(40, 60)`` gives ``"under 40"``,
        ``"40-59"`` and ``"60 and over"``.

    Returns
    -------
    str
        ``"unknown"`` where the source does not say.
    """
    if attribute == "age_band":
        return _age_band(case.age_years, age_bands)
    if attribute in ATTRIBUTES:
        value: str = getattr(case, attribute)
    else:
        value = case.attributes.get(attribute, "")
    return value.strip() or UNKNOWN


def _age_band(age: float | None, ends: Sequence[int]) -> str:
    if age is None:
        return UNKNOWN
    if not ends:
        return "all ages"
    below = [end for end in ends if end <= age]
    if not below:
        return f"under {ends[0]}"
    if len(below) == len(ends):
        return f"{ends[-1]} and over"
    return f"{below[-1]}-{ends[len(below)] - 1}"
