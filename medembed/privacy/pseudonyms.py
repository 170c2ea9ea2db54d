"""Keyed pseudonyms: an identifier has one pseudonym per library, unrelated to other libraries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass, field

from medembed.errors import InputError

__all__ = ["Pseudonymizer", "new_key"]

KEY_BYTES = 32
_LETTERS = 20  # 100 bits: 10^7 patients collide with a chance below 10^-16
_SHIFT_REACH_DAYS = 182


def new_key() -> bytes:
    """Draw a key of 32 random bytes from the operating system."""
    return secrets.token_bytes(KEY_BYTES)


@dataclass(frozen=True)
class Pseudonymizer:
    """Pseudonyms by HMAC-SHA256 under one key, in base32.

    Parameters
    ----------
    key : bytes
        32 secret bytes: whoever has them can test whether a pseudonym belongs to an identifier.

    Raises
    ------
    InputError
        If the key has another length, or an identifier is blank.

    References
    ----------
    RFC 2104 (HMAC); DICOM PS3.15 annex E.1.1 (consistent replacement of identifiers).

    Examples
    --------
    >>> names = Pseudonymizer(bytes(32))
    >>> names.patient("4711") == names.patient(" 4711 "), names.patient("4711", issuer="A")[:2]
    (True, 'P-')
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise InputError(f"a pseudonym key must have {KEY_BYTES} bytes")

    def digest(self, purpose: str, *parts: str) -> bytes:
        """Return the 32-byte HMAC of ``parts``; each ``purpose`` gives unrelated values."""
        message = b""
        for part in (purpose, *parts):
            raw = unicodedata.normalize("NFC", part).encode("utf-8", "surrogatepass")
            message += (
                len(raw).to_bytes(8, "big") + raw
            )  # lengths make the encoding of parts unique
        return hmac.new(self.key, message, hashlib.sha256).digest()

    def _name(self, letter: str, purpose: str, *parts: str) -> str:
        if not parts[-1]:
            raise InputError(f"a blank {purpose} identifier has no pseudonym")
        text = base64.b32encode(self.digest(purpose, *parts)).decode("ascii")
        return f"{letter}-{text[:_LETTERS]}"

    def patient(self, raw_id: str, issuer: str = "") -> str:
        """Return the pseudonym ``P-…`` of a ``PatientID``; the issuer makes a difference."""
        return self._name("P", "patient", issuer.strip(), raw_id.strip())

    def patient_apart(self, *hashes: bytes) -> str:
        """Return the pseudonym of a further patient with the same id, from its other hashes."""
        return self._name("P", "patient apart", *(part.hex() for part in hashes), "of this id")

    def study(self, uid: str) -> str:
        """Return the case id ``C-…`` of a ``StudyInstanceUID``."""
        return self._name("C", "study", uid.strip())

    def group(self, raw_id: str) -> str:
        """Return the pseudonym ``G-…`` of a group of cases."""
        return self._name("G", "group", raw_id.strip())

    def shift_days(self, raw_id: str, issuer: str = "") -> int:
        """Return the date shift of a patient in days, −182 to +182."""
        value = int.from_bytes(self.digest("date shift", issuer.strip(), raw_id.strip())[:8], "big")
        return value % (2 * _SHIFT_REACH_DAYS + 1) - _SHIFT_REACH_DAYS

    def fraction(self, purpose: str, text: str) -> float:
        """Return a pseudorandom number in [0, 1) that is fixed for ``text``."""
        return int.from_bytes(self.digest(purpose, text)[:6], "big") / 2**48
