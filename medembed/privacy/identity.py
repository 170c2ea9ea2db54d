"""Patient identity from ``PatientID``, its issuer, sex and birth date together.

One ``PatientID`` can belong to several people (two hospitals, a number assigned twice), and one
person can come with and without an issuer. A study is assigned to a patient whose data it does not
contradict; if several match equally well, it becomes a separate patient. Patients that share a
``PatientID`` may be the same person: they form one `person`, and a library keeps a person in one
split. Placeholder words and numbers identify nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from medembed.privacy.pseudonyms import Pseudonymizer

__all__ = [
    "Claim",
    "IdentityRow",
    "ResolvedPatient",
    "choose_patient",
    "fold_id",
    "is_number_placeholder",
    "is_placeholder",
    "merge_claims",
    "person_remarks",
]

_WORDS = frozenset(
    ("anon", "anonym", "anonymised", "anonymisiert", "anonymized", "anonymous", "blank", "deid",
     "deidentified", "default", "dummy", "empty", "hidden", "id", "masked", "missing", "na", "nan",
     "nil", "noid", "noname", "none", "null", "patid", "patient", "patientid", "private",
     "redacted", "removed", "test", "testpatient", "unbekannt", "undefined", "unk", "unknown",
     "withheld", "anonpatient", "anonymouspatient", "desconocido", "inconnu", "nopatientid",
     "notapplicable", "notavailable", "notprovided", "notspecified", "sconosciuto", "tbd",
     "unavailable", "unidentified", "unknownpatient", "unspecified")
)  # fmt: skip
_LEAST_REPEATS = 4
_DIGITS_IN_ORDER = "01234567890"
_NO_BIRTH_DATES = frozenset(
    {(1, 1, 1), (1800, 1, 1), (1850, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 1),
     (1901, 1, 1), (1970, 1, 1), (9999, 12, 31)}
)  # fmt: skip
_FIRST_BIRTH = 1860
_NO_ID = "no PatientID"


def fold_id(raw_id: str) -> str:
    """Normalize an id, so that all its spellings are equal.

    Ignores width, case, blanks, leading zeros, a trailing ``.0``, and HL7 components after the
    number (``4711^^^HOSPITAL``).

    Examples
    --------
    >>> [fold_id(raw) for raw in (" 04711", "4711.0", "4711^^^NORTH", "ab 7")]
    ['4711', '4711', '4711', 'AB 7']
    """
    text = unicodedata.normalize("NFKC", raw_id)
    text = " ".join("".join(c for c in text if unicodedata.category(c)[0] != "C").split())
    text = text.partition("^")[0].strip() or text
    text = text.casefold().upper() or "?"
    number = re.fullmatch(r"0*(\d+?)(?:\.0+)?", text, re.ASCII)
    return number[1] if number else text


def is_number_placeholder(raw_id: str) -> bool:
    """Return whether an id is a placeholder number: 0, 0000, 9999, 1234.

    Examples
    --------
    >>> [is_number_placeholder(raw) for raw in ("0", "000", "1234", "99999", "4711", "11")]
    [True, True, True, True, False, False]
    """
    text = unicodedata.normalize("NFKC", raw_id).strip()
    if not re.fullmatch(r"[\d\s./-]+", text):
        return False
    digits = re.sub(r"\D", "", text)
    if set(digits) == {"0"}:
        return True
    if len(digits) < _LEAST_REPEATS:
        return False
    return len(set(digits)) == 1 or digits in _DIGITS_IN_ORDER


def is_placeholder(raw_id: str) -> bool:
    """Return whether an id is a placeholder, which identifies nobody.

    Examples
    --------
    >>> [is_placeholder(raw) for raw in ("ANONYMIZED", "n/a", "XXXX", "--", "0000", "ANON-17")]
    [True, True, True, True, True, False]
    """
    text = unicodedata.normalize("NFKC", raw_id).casefold()
    letters = "".join(c for c in text if c.isalnum())
    if not letters or letters in _WORDS or is_number_placeholder(raw_id):
        return True
    return len(letters) >= 2 and len(set(letters)) == 1 and letters.isalpha()


@dataclass(frozen=True, order=True)
class IdentityRow:
    """One observed combination of identifying values, as keyed hashes, and its patient.

    Parameters
    ----------
    person : str
        Pseudonym of the normalized id: possibly one person.
    bare, issuer, sex, birth : bytes
        Keyed hashes of the id as written and of the other values; empty if not stated.
    patient_id : str
        Empty until a patient is chosen.
    """

    person: str
    bare: bytes
    issuer: bytes
    sex: bytes
    birth: bytes
    patient_id: str = ""

    @property
    def hashes(self) -> tuple[bytes, bytes, bytes, bytes]:
        """All hashes, without the patient."""
        return self.bare, self.issuer, self.sex, self.birth


@dataclass(frozen=True)
class Claim:
    """What a source states about the patient of a study, as pseudonyms and keyed hashes.

    Parameters
    ----------
    row : IdentityRow or None
        None if there is no id.
    usual : tuple of str
        Pseudonyms of the id with and without its issuer.
    own_patient : str
        Pseudonym for a study whose id identifies nobody.
    shift_days, own_shift_days : int
        Date shift of a new patient, and of ``own_patient``.
    placeholder : {"", "word", "number"}
        Whether the id is a placeholder, and in which form.
    neighbors : tuple of bytes
        Hashes of the ids before and after a placeholder number (:meth:`among`).
    """

    row: IdentityRow | None
    usual: tuple[str, ...]
    own_patient: str
    shift_days: int
    own_shift_days: int
    placeholder: str = ""
    neighbors: tuple[bytes, ...] = ()

    @classmethod
    def of(
        cls,
        names: Pseudonymizer,
        raw_id: str,
        issuer: str = "",
        sex: str = "unknown",
        birth_date: date | None = None,
        *,
        own: str,
    ) -> Claim:
        """Hash the values of a header or a row.

        Parameters
        ----------
        names : Pseudonymizer
        raw_id : str
            ``PatientID`` as written; may be blank or a placeholder.
        issuer : str
        sex : str
            As in :class:`medembed.cases.Case`; only F and M can contradict each other.
        birth_date : date or None
        own : str
            Name of the study itself.
        """
        raw_id, issuer, own = raw_id.strip(), issuer.strip(), f"study {own}"
        placeholder = ""
        if is_placeholder(raw_id):
            placeholder = "number" if is_number_placeholder(raw_id) else "word"
        return cls(
            _row_of(names, raw_id, issuer, sex, birth_date) if raw_id else None,
            tuple(names.patient(raw_id, one) for one in (issuer, "")) if raw_id else (),
            names.patient(own, _NO_ID),
            names.shift_days(raw_id),
            names.shift_days(own, _NO_ID),
            placeholder,
            _neighbors(names, raw_id) if placeholder == "number" else (),
        )

    def among(self, ids: Container[bytes]) -> Claim:
        """Return the claim in context: a number is a real id if its neighbors are ids too.

        Parameters
        ----------
        ids : container of bytes
            ``row.bare`` of all claims of the source.
        """
        if any(one in ids for one in self.neighbors):
            return replace(self, placeholder="")
        return self

    @property
    def is_anonymous(self) -> bool:
        """Whether the id identifies nobody."""
        return self.row is None or bool(self.placeholder)

    @property
    def new_shift_days(self) -> int:
        """Date shift in days for a patient that no library knows."""
        return self.own_shift_days if self.is_anonymous else self.shift_days


@dataclass(frozen=True)
class ResolvedPatient:
    """The patient that a case belongs to.

    Parameters
    ----------
    patient_id : str
        Pseudonym.
    shift_days : int
        Shift of all dates of this patient, if the library shifts dates.
    """

    patient_id: str
    shift_days: int


def _row_of(
    names: Pseudonymizer, raw_id: str, issuer: str, sex: str, birth_date: date | None
) -> IdentityRow:
    """Hash the values. Equal values of two people have unrelated hashes."""
    person = names.patient(fold_id(raw_id))

    def keyed(purpose: str, value: str) -> bytes:
        return names.digest(purpose, person, value)[:16] if value else b""

    return IdentityRow(
        person,
        keyed("id", raw_id),
        keyed("issuer", issuer),
        keyed("sex", sex if sex in ("F", "M") else ""),
        keyed(
            "birth",
            birth_date.isoformat() if birth_date and _is_plausible_birth_date(birth_date) else "",
        ),
    )


def _neighbors(names: Pseudonymizer, raw_id: str) -> tuple[bytes, ...]:
    """Hash the ids before and after a number, keeping leading zeros."""
    if not re.fullmatch(r"\d+", raw_id, re.ASCII):
        return ()
    near = [n for n in (int(raw_id) - 1, int(raw_id) + 1) if n >= 0]
    rows = [_row_of(names, str(n).zfill(len(raw_id)), "", "", None) for n in near]
    return tuple(row.bare for row in rows)


def _is_plausible_birth_date(birth_date: date) -> bool:
    day = (birth_date.year, birth_date.month, birth_date.day)
    return birth_date.year >= _FIRST_BIRTH and day not in _NO_BIRTH_DATES


def merge_claims(claims: Sequence[Claim]) -> Claim | None:
    """Merge the claims of the files of one study.

    Parameters
    ----------
    claims : sequence of Claim
        At least one.

    Returns
    -------
    Claim or None
        None if the files contradict each other in id, issuer, sex or birth date.
    """
    stated = [claim for claim in claims if claim.row is not None]
    if not stated:
        return claims[0]
    rows = [claim.row for claim in stated if claim.row is not None]
    merged: list[bytes] = []
    for hashes in zip(*(row.hashes for row in rows), strict=True):
        values = set(hashes) - {b""}
        if len(values) > 1:
            return None
        merged.append(values.pop() if values else b"")
    named = next(c for c, row in zip(stated, rows, strict=True) if row.issuer == merged[1])
    bare, issuer, sex, birth = merged
    return replace(named, row=IdentityRow(rows[0].person, bare, issuer, sex, birth))


def choose_patient(row: IdentityRow, known: Iterable[IdentityRow]) -> str:
    """Choose the patient of a claim among those of a person; empty if it is ambiguous.

    Parameters
    ----------
    row : IdentityRow
        The claimed combination.
    known : iterable of IdentityRow
        Rows of the same person.
    """
    same_id = [one for one in known if one.bare == row.bare]
    for one in same_id:
        if one.hashes == row.hashes:
            return one.patient_id
    scores: dict[str, int] = {}
    for patient in dict.fromkeys(one.patient_id for one in same_id):
        score = 0
        # a birth date identifies better than an issuer, an issuer better than sex
        for name, weight in (("birth", 4), ("issuer", 2), ("sex", 1)):
            value = getattr(row, name)
            values = {getattr(one, name) for one in same_id if one.patient_id == patient} - {b""}
            if value and values and value not in values:
                break
            score += weight * (value in values)
        else:
            scores[patient] = score
    best = [patient for patient, score in scores.items() if score == max(scores.values())]
    return best[0] if len(best) == 1 else ""


def person_remarks(rows: Iterable[IdentityRow]) -> set[str]:
    """Return doubts about the patients of one person, for :func:`counted_line`."""
    rows = list(rows)
    found: set[str] = set()
    if len({row.bare for row in rows}) > 1:
        found.add(
            "[PatientID differs|PatientIDs differ] from another only in case, blanks or leading "
            "zeros; such ids are treated as separate patients in one split"
        )
    for bare in {row.bare for row in rows}:
        same = [row for row in rows if row.bare == bare]
        patients = {
            patient: [row for row in same if row.patient_id == patient]
            for patient in {row.patient_id for row in same}
        }
        if any(_several(own, name) for own in patients.values() for name in ("sex", "birth")):
            found.add(
                "[PatientID is|PatientIDs are] shared by people of different sex or birth date, "
                "whom an earlier version merged into one patient; rebuild the library to separate "
                "them"
            )
        elif len(patients) > 1 and (_several(same, "sex") or _several(same, "birth")):
            found.add(
                "[PatientID is|PatientIDs are] shared by people of different sex or birth date; "
                "they are treated as separate patients in one split"
            )
        issuers = {row.issuer for row in same}
        if b"" in issuers and len(issuers) > 2:
            found.add(
                "[PatientID comes|PatientIDs come] from several issuers and also without one; "
                "[its|their] patients are kept in one split"
            )
        elif b"" in issuers and len(issuers) == 2 and len(patients) == 1:
            found.add(
                "[PatientID comes|PatientIDs come] with and without [its|their] issuer; "
                "treated as one patient"
            )
    return found


def _several(rows: Sequence[IdentityRow], name: str) -> bool:
    return len({getattr(row, name) for row in rows} - {b""}) > 1
