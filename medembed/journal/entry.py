"""One entry of the journal: its text, its digest, and what may stand in it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from medembed.errors import InternalError
from medembed.journal.action import Action, Outcome

__all__ = ["NO_DIGEST", "Details", "Entry", "check_actor", "check_details", "utc_now"]

Details: TypeAlias = Mapping[str, str | int | float]

NO_DIGEST = "0" * 64
"""What the first entry has as the digest of the one before."""

_MOST_DETAILS = 16
_LONGEST_ACTOR = 128
_KEY = re.compile(r"[a-z][a-z0-9_]{0,31}")
_WORD = re.compile(r"[A-Za-z0-9/][A-Za-z0-9._:+/,@{}*-]{0,127}|")
_PSEUDONYM = re.compile(r"[PCG]-[A-Z2-7]{20}")
_FIELDS = ("action", "actor", "cases", "details", "number", "outcome", "previous", "time")


@dataclass(frozen=True)
class Entry:
    """One entry.

    Parameters
    ----------
    number : int
        From 1, without gaps.
    time : str
        UTC, ISO 8601 with microseconds.
    actor : str
    action : Action
    outcome : Outcome
    cases : tuple of str
        Random numbers, 32 hexadecimal digits each, that stand for cases.
    details : mapping
    previous : str
        Digest of the entry before, 64 hexadecimal digits.
    seal : str
        Keyed digest of :attr:`digest`, 64 hexadecimal digits.

    Examples
    --------
    >>> entry = Entry(1, "2026-11-29T08:00:00.000000+00:00", "local", Action.QUERY, Outcome.DONE)
    >>> Entry.parse(entry.body.encode()) == entry
    True
    """

    number: int
    time: str
    actor: str
    action: Action
    outcome: Outcome
    cases: tuple[str, ...] = ()
    details: Details = field(default_factory=dict)
    previous: str = NO_DIGEST
    seal: str = field(default="", compare=False)

    @property
    def body(self) -> str:
        """The entry as it is stored and hashed: JSON in ASCII, keys sorted, without blanks."""
        return _canonical(self._fields())

    @property
    def digest(self) -> str:
        """SHA-256 of :attr:`body`, which anybody can compute from an exported entry."""
        return hashlib.sha256(self.body.encode("ascii")).hexdigest()

    def _fields(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "time": self.time,
            "actor": self.actor,
            "action": self.action.value,
            "outcome": self.outcome.value,
            "cases": list(self.cases),
            "details": dict(self.details),
            "previous": self.previous,
        }

    def to_json(self) -> dict[str, Any]:
        """Return all fields, the digest and the seal."""
        return {**self._fields(), "digest": self.digest, "seal": self.seal}

    @classmethod
    def parse(cls, body: bytes, seal: str = "") -> Entry:
        """Read an entry from its stored text.

        Raises
        ------
        ValueError
            If the text is not exactly what an entry writes.
        """
        try:
            found = json.loads(body.decode("ascii"))
            if not isinstance(found, dict) or tuple(sorted(found)) != _FIELDS:
                raise ValueError("other fields than an entry has")
            entry = cls(
                number=found["number"],
                time=found["time"],
                actor=found["actor"],
                action=Action(found["action"]),
                outcome=Outcome(found["outcome"]),
                cases=tuple(found["cases"]),
                details=found["details"],
                previous=found["previous"],
                seal=seal,
            )
            same = entry.body.encode("ascii") == body
        except (TypeError, RecursionError) as error:
            raise ValueError("not an entry") from error
        if not same or type(entry.number) is not int:
            raise ValueError("not the text of an entry")
        return entry


def _canonical(fields: Mapping[str, Any]) -> str:
    return json.dumps(
        fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def utc_now() -> str:
    """Return the time as entries have it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def check_actor(actor: str) -> str:
    """Return the name of a user if it can stand in an entry.

    Raises
    ------
    InternalError
        If it is empty, too long, or has characters that are not printed.
    """
    if not actor.strip() or len(actor) > _LONGEST_ACTOR or not actor.isprintable():
        raise InternalError("a user's name in the journal must be 1 to 128 printable characters")
    return actor


def check_details(details: Details) -> dict[str, str | int | float]:
    """Return details if they are small and typed: no sentences, no pseudonyms.

    A text is one word of letters, digits and ``._:+/,@{}*-``: a kind, a route, a format, a model's
    fingerprint, an address. Words of a query, names and values of a patient have no place here; a
    word cannot be told from them, so that each room passes counts and names of its own enums.

    Raises
    ------
    InternalError
        If there are too many, or one is not of this form.
    """
    if len(details) > _MOST_DETAILS:
        raise InternalError(f"an entry of the journal has more than {_MOST_DETAILS} details")
    for key, value in details.items():
        fine = bool(_KEY.fullmatch(key))
        if isinstance(value, str):
            fine = fine and bool(_WORD.fullmatch(value)) and not _PSEUDONYM.search(value)
        elif isinstance(value, float):
            fine = fine and math.isfinite(value)
        else:
            fine = fine and isinstance(value, int)
        if not fine:
            raise InternalError("a detail of the journal is not a number or one plain word")
    return dict(details)
