"""The patients known so far, and the assignment of new studies to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from medembed.counted import counted_line
from medembed.privacy.identity import (
    Claim,
    IdentityRow,
    choose_patient,
    person_remarks,
)
from medembed.privacy.pseudonyms import Pseudonymizer

__all__ = ["KnownPatient", "People", "count_remarks"]

KnownPatient = Callable[[str], Sequence[str] | None]
"""Returns the sexes of a patient's cases by pseudonym; None if the patient is unknown."""


class People:
    """Assigns patients to claims and records the assignments.

    Parameters
    ----------
    names : Pseudonymizer
    rows : iterable of IdentityRow, optional
        Known rows of the persons that will be claimed.
    known_patient : callable, optional
        Finds patients stored without a row by an earlier version.
    """

    def __init__(
        self,
        names: Pseudonymizer,
        rows: Iterable[IdentityRow] = (),
        known_patient: KnownPatient = lambda patient: None,
    ) -> None:
        self._names = names
        self._known_patient = known_patient
        self._rows: dict[str, list[IdentityRow]] = {}
        for row in rows:
            self._rows.setdefault(row.person, []).append(row)
        self.new: list[IdentityRow] = []

    def resolve(self, claim: Claim, stored: str = "", keep_together: bool = False) -> str:
        """Return the patient of a claim.

        Parameters
        ----------
        claim : Claim
        stored : str
            Stored patient of the case, if any; kept unless the claim contradicts it.
        keep_together : bool
            Whether placeholder numbers (0, 1234) may be real ids, so that their patients stay in
            one split.
        """
        row = claim.row
        if row is None or claim.is_anonymous:
            patient = stored if stored in claim.usual else claim.own_patient
            if row is not None and keep_together and claim.placeholder == "number":
                apart = self._names.digest("own", patient)[:16]
                self._add(replace(row, issuer=apart, sex=b"", birth=b"", patient_id=patient))
            return patient
        self._adopt(row, claim.usual)
        rows = self._rows.get(row.person, [])
        if stored and stored in {*claim.usual, *(one.patient_id for one in rows)}:
            patient = stored
        else:
            patient = choose_patient(row, rows) or self._new_name(claim.usual[0], row, rows)
        self._add(replace(row, patient_id=patient))
        return patient

    def remarks(self) -> list[str]:
        """Report doubtful ids, each kind with its count."""
        return count_remarks(self._rows.values())

    def _add(self, row: IdentityRow) -> None:
        rows = self._rows.setdefault(row.person, [])
        if all(one.hashes != row.hashes for one in rows):
            rows.append(row)
            self.new.append(row)

    def _adopt(self, row: IdentityRow, usual: Sequence[str]) -> None:
        """Add a patient of this id that an earlier version stored under its usual pseudonym."""
        known = {one.patient_id for one in self._rows.get(row.person, ())}
        for patient in dict.fromkeys(usual):
            sexes = None if patient in known else self._known_patient(patient)
            if sexes is None:
                continue
            issuer = row.issuer if patient == usual[0] else b""
            for sex in sexes or ("",):
                hashed = self._names.digest("sex", row.person, sex)[:16] if sex else b""
                self._add(replace(row, issuer=issuer, sex=hashed, birth=b"", patient_id=patient))

    def _new_name(self, usual: str, row: IdentityRow, rows: Sequence[IdentityRow]) -> str:
        if usual not in {one.patient_id for one in rows}:
            return usual
        return self._names.patient_apart(row.bare, row.issuer, row.sex, row.birth)


def count_remarks(persons: Iterable[Sequence[IdentityRow]]) -> list[str]:
    """Report doubts about persons, each kind with the number of ids."""
    counts: Counter[str] = Counter()
    for rows in persons:
        counts.update(person_remarks(rows))
    return [counted_line(count, words) for words, count in sorted(counts.items())]
