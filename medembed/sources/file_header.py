"""Headers as stored in the file cache: no patient name, id or UID in clear text."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

from medembed.privacy import Claim, Pseudonymizer, is_placeholder, name_keys, name_tokens
from medembed.privacy.identity import IdentityRow
from medembed.scans import ScanHeader
from medembed.scans.worker_protocol import header_from_json, header_to_json

__all__ = ["FileHeader", "accession_key", "study_key"]

_VERSION = 1
_NOT_KEPT = ("birth_date", "patient_id", "issuer", "names", "frame_digests", "pixel_sha256",
             "file_sha256")  # fmt: skip


def study_key(names: Pseudonymizer, uid: str) -> str:
    """Return the pseudonym of a ``StudyInstanceUID``, which is also the case id."""
    return names.study(uid) if uid.strip() else ""


def accession_key(names: Pseudonymizer, number: str) -> str:
    """Return the keyed hash of an ``AccessionNumber``."""
    return names.digest("accession", number.strip()).hex()[:32] if number.strip() else ""


@dataclass(frozen=True)
class FileHeader:
    """The stored part of a file's header.

    Parameters
    ----------
    header : ScanHeader
        UIDs and accession number as keyed hashes; names and ids are blank.
    claim : Claim
        Whose study it is.
    names : tuple of str
        Keyed words of names and ids (:func:`medembed.privacy.name_keys`).
    """

    header: ScanHeader
    claim: Claim
    names: tuple[str, ...]

    @classmethod
    def of(cls, header: ScanHeader, names: Pseudonymizer) -> FileHeader:
        """Extract the part of a header that may be stored."""

        def keyed(uid: str) -> str:
            return names.digest("uid", uid).hex()[:32] if uid else ""

        claim = Claim.of(
            names,
            header.patient_id,
            header.issuer,
            header.sex,
            header.birth_date,
            own=header.study_uid or keyed(header.instance_uid) or "alone",
        )
        kept = replace(
            header,
            study_uid=study_key(names, header.study_uid),
            series_uid=keyed(header.series_uid),
            instance_uid=keyed(header.instance_uid),
            frame_uid=keyed(header.frame_uid),
            accession=accession_key(names, header.accession),
            patient_id="",
            issuer="",
            names=(),
            birth_date=None,
        )
        # a path named "test" or "0" identifies nobody, even if a header has it as a name
        telling = (token for token in name_tokens(*header.names) if not is_placeholder(token))
        return cls(kept, claim, name_keys(names, telling))

    def to_json(self) -> str:
        """Write the values that differ from an empty header as JSON."""
        values = header_to_json(self.header)
        empty = {f.name: f.default for f in fields(ScanHeader)}
        stated = {
            name: value
            for name, value in values.items()
            if name not in _NOT_KEPT and value != empty[name] and value != ()
        }
        claim, row = self.claim, self.claim.row
        whose = [
            None if row is None else [row.person, *(part.hex() for part in row.hashes)],
            list(claim.usual),
            claim.own_patient,
            claim.shift_days,
            claim.own_shift_days,
            claim.placeholder,
            [one.hex() for one in claim.neighbors],
        ]
        kept = {"v": _VERSION, "header": stated, "claim": whose, "names": list(self.names)}
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> FileHeader | None:
        """Read the output of :meth:`to_json`; None if it is empty or of another version."""
        kept = json.loads(text) if text else {}
        if kept.get("v") != _VERSION:
            return None
        row, usual, own, shift, own_shift, placeholder, near = kept["claim"]
        claim = Claim(
            _row(row),
            tuple(usual),
            own,
            shift,
            own_shift,
            placeholder,
            tuple(map(bytes.fromhex, near)),
        )
        return cls(header_from_json(kept["header"]), claim, tuple(kept["names"]))


def _row(kept: list[str] | None) -> IdentityRow | None:
    if kept is None:
        return None
    person, bare, issuer, sex, birth = kept
    return IdentityRow(
        person,
        bytes.fromhex(bare),
        bytes.fromhex(issuer),
        bytes.fromhex(sex),
        bytes.fromhex(birth),
    )
