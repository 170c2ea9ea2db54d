"""Headers as they are remembered: without a patient's name, id or UID in clear."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

from medembed.privacy import Claim, Pseudonymiser, is_placeholder, name_keys, name_tokens
from medembed.privacy.identity import IdentityRow
from medembed.scans import ScanHeader
from medembed.scans.worker_protocol import header_from_json, header_to_json

__all__ = ["FileHeader", "accession_key", "study_key"]

_VERSION = 1
_NOT_KEPT = ("birth_date", "patient_id", "issuer", "names", "frame_digests", "pixel_sha256",
             "file_sha256")  # fmt: skip


def study_key(names: Pseudonymiser, uid: str) -> str:
    """What stands for a ``StudyInstanceUID``: its pseudonym, which is the case's id too."""
    return names.study(uid) if uid.strip() else ""


def accession_key(names: Pseudonymiser, number: str) -> str:
    """What stands for an ``AccessionNumber``."""
    return names.digest("accession", number.strip()).hex()[:32] if number.strip() else ""


@dataclass(frozen=True)
class FileHeader:
    """What is kept of the header of one file.

    Parameters
    ----------
    header : ScanHeader
        UIDs and accession number as keyed hashes, equal where they are equal; names and ids blank.
    claim : Claim
        Whose it is.
    names : tuple of str
        Keys of the words of names and ids (:func:`medembed.privacy.name_keys`).
    """

    header: ScanHeader
    claim: Claim
    names: tuple[str, ...]

    @classmethod
    def of(cls, header: ScanHeader, names: Pseudonymiser) -> FileHeader:
        """Take from a header what may be kept."""

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
        # a path called "test" or "0" names nobody, whatever a header has for a name
        telling = (token for token in name_tokens(*header.names) if not is_placeholder(token))
        return cls(kept, claim, name_keys(names, telling))

    def to_json(self) -> str:
        """Write as JSON what differs from an empty header."""
        values = header_to_json(self.header)
        empty = {f.name: f.default for f in fields(ScanHeader)}
        said = {
            name: value
            for name, value in values.items()
            if name not in _NOT_KEPT and value != empty[name] and value != ()
        }
        claim, row = self.claim, self.claim.row
        whose = [
            None if row is None else [row.person, *(part.hex() for part in row.said)],
            list(claim.usual),
            claim.own_patient,
            claim.shift_days,
            claim.own_shift_days,
            claim.placeholder,
            [one.hex() for one in claim.neighbours],
        ]
        kept = {"v": _VERSION, "header": said, "claim": whose, "names": list(self.names)}
        return json.dumps(kept, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> FileHeader | None:
        """Read what :meth:`to_json` wrote; None where there is nothing, or of another version."""
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
