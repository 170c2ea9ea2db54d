"""The noun :class:`Case`: one study of one patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from medembed.counted import counted
from medembed.errors import InputError
from medembed.notes import FINDINGS, SIDED_FINDINGS, Note, Side

if TYPE_CHECKING:
    from medembed.scans import Scan

__all__ = [
    "ATTRIBUTES",
    "FINDINGS",
    "NO_FINDING",
    "SIDED_FINDINGS",
    "UNITS_ATTRIBUTE",
    "UNKNOWN",
    "Case",
    "Finding",
    "ScanRef",
    "Sex",
    "group_of",
    "is_unknown",
    "normalize_sex",
]

ATTRIBUTES = ("sex", "age_band", "race", "view", "modality", "site", "scanner")
"""Attributes that every library has; kept columns add more."""

NO_FINDING = frozenset({"no finding", "no findings", "normal"})
"""Labels by which sources say that there is no finding; two such cases share nothing."""

UNKNOWN = "unknown"
"""Group of a case if the source gives no value."""

_UNKNOWN_WORDS = frozenset(
    ("", "unknown", "unk", "n/a", "na", "nan", "none", "null", "nil", "<na>", "nat", "-", "?")
)

UNITS_ATTRIBUTE = "units"
"""Attribute with the declared units of a case's scans; absent if the files are read as they are."""

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
        The patient's side; empty if not stated.

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
            raise InputError("a finding label must be lower case, without a colon")
        if self.side not in _SIDES:
            raise InputError("a finding's side must be left, right, bilateral or empty")

    @classmethod
    def parse(cls, text: str) -> Finding:
        """Read ``"label"`` or ``"label:side"``, in any case."""
        label, _, side = text.strip().lower().partition(":")
        label = re.sub(r"\s+", " ", label.strip())
        side = side.strip()
        if side not in _SIDES:
            raise InputError("a finding's side must be left, right, bilateral or empty")
        return cls(label, cast(Side, side))

    def __str__(self) -> str:
        return f"{self.label}:{self.side}" if self.side else self.label

    def matches(self, wanted: Finding) -> bool:
        """Return whether this finding satisfies ``wanted``; bilateral satisfies either side."""
        if self.label != wanted.label:
            return False
        return not wanted.side or self.side in (wanted.side, "bilateral")


@dataclass(frozen=True, repr=False)
class ScanRef:
    """Reference to one scan of a case: paths and hashes, not pixels.

    Parameters
    ----------
    files : tuple of str
        One file, or the files of one series in the order of their slices. Absolute, or relative
        to the library's folder if they are inside it.
    sha256 : str
        Hex digest of the files' contents (:func:`medembed.scans.scan_hash.scan_sha256`).
    modality, view : str
        As in :class:`medembed.scans.Scan`.
    frame : int or None
        One frame of a multi-frame file, counted from 0; None means all frames.
    kind : str
        Kind of object: ``"image"``, ``"secondary capture"``, ``"segmentation"``, …
        (:mod:`medembed.scans.sop_classes`).
    pixel_sha256 : str
        Hex digest of the decoded pixels, independent of file, header and format
        (:mod:`medembed.scans.pixel_digest`); empty if they identify nothing.
    units : {"", "HU", "stored"}
        Units that the source declares; empty means as read from the files.
    """

    files: tuple[str, ...]
    sha256: str
    modality: str = "unknown"
    view: str = "unknown"
    frame: int | None = None
    kind: str = "unknown"
    pixel_sha256: str = ""
    units: Literal["", "HU", "stored"] = ""

    def __post_init__(self) -> None:
        if not self.files or not all(self.files):
            raise InputError("a scan needs at least one file")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise InputError("a scan's sha256 must be 64 hex digits")
        if not re.fullmatch(r"([0-9a-f]{64})?", self.pixel_sha256):
            raise InputError("a scan's pixel_sha256 must be 64 hex digits or empty")
        if self.units not in ("", "HU", "stored"):
            raise InputError("a scan's units must be HU, stored or empty")

    def declared(self, scan: Scan) -> Scan:
        """Return the scan in the units that the source declares."""
        return replace(scan, units=self.units) if self.units else scan

    def __repr__(self) -> str:
        return f"ScanRef({counted(len(self.files), 'file')}, {self.modality!r}, {self.view!r})"


def is_unknown(text: str) -> bool:
    """Return whether a value means "unknown", ignoring case and blanks.

    Examples
    --------
    >>> is_unknown(" N/A "), is_unknown("UNKNOWN"), is_unknown("F")
    (True, True, False)
    """
    return text.strip().casefold() in _UNKNOWN_WORDS


def normalize_sex(text: object) -> Sex:
    """Normalize a value of ``PatientSex`` or of a table's ``sex`` to F, M, O or unknown."""
    first = str(text or "").strip().upper()
    if first in ("F", "FEMALE", "W", "WOMAN"):
        return "F"
    if first in ("M", "MALE", "MAN"):
        return "M"
    if first in ("O", "OTHER"):
        return "O"
    return "unknown"


@dataclass(frozen=True, repr=False)
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
        Sorted, without duplicates.
    study_date : date or None
        The date in the source, shifted by ``date_shift_days``.
    modality, view, kind : str
        Of the study's first scan; ``"unknown"`` is a value.
    sex : {"F", "M", "O", "unknown"}
    age_years : float or None
        0 to 130; None is unknown.
    race, site, scanner : str
        ``"unknown"`` if not given.
    split : {"train", "val", "test", ""}
        Empty: the library assigns one.
    group_id : str
        Cases of one group stay in one split; empty means the patient is the group.
    attributes : mapping of str to str
        Additional columns kept at ingest.

    Raises
    ------
    InputError
        If a condition above is not met.
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
                raise InputError(f"a case needs a {name} without leading or trailing blanks")
        if not self.scans:
            raise InputError("a case needs at least one scan")
        if self.age_years is not None and not 0 <= self.age_years <= 130:
            raise InputError("an age is outside 0 to 130 years")
        if self.sex not in ("F", "M", "O", "unknown"):
            raise InputError("sex must be F, M, O or unknown")
        if self.split not in ("", "train", "val", "test"):
            raise InputError("split must be train, val, test or empty")
        for name in ("modality", "view", "kind", "race", "site", "scanner"):
            object.__setattr__(self, name, getattr(self, name).strip() or "unknown")
        object.__setattr__(self, "findings", tuple(sorted(set(self.findings))))
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def __repr__(self) -> str:
        note = "with a note" if self.note else "no note"
        return (
            f"Case({self.case_id!r}, {self.modality!r}, {self.view!r}, "
            f"{counted(len(self.scans), 'scan')}, {note}, {counted(len(self.findings), 'finding')})"
        )


def group_of(case: Case, attribute: str, age_bands: Sequence[int]) -> str:
    """Return the group that a case belongs to.

    Parameters
    ----------
    case : Case
    attribute : str
        One of :data:`ATTRIBUTES`, or a column kept at ingest.
    age_bands : sequence of int
        First age of each band but the youngest: ``(40, 60)`` gives ``"under 40"``,
        ``"40-59"`` and ``"60 and over"``.

    Returns
    -------
    str
        ``"unknown"`` if the source gives no value.
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
