"""Close an old part of a journal: its entries go to a file, and the chain begins after them."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medembed.errors import InputError, LibraryError
from medembed.journal.action import SYSTEM, Action, Outcome
from medembed.journal.chain import Tail
from medembed.journal.entry import Details, Entry
from medembed.journal.journal_file import FORMAT, JOURNAL_NAME, entry_seal, start_seal
from medembed.journal.reading import sealed_entry
from medembed.privacy import Pseudonymizer
from medembed.privacy.private_files import replace_private

__all__ = ["ArchivedPart", "close_part", "read_part", "write_part"]

_HEAD = "medembed_journal"
_LONGEST_LINE = 16 << 20


@dataclass(frozen=True)
class ArchivedPart:
    """Entries that were written to a file.

    Parameters
    ----------
    journal : str
        Name of the journal.
    first, last : int
        Numbers of the entries.
    previous : str
        Digest of the entry before the first.
    digest : str
        Digest of the last entry.
    sha256 : str
        Of the file.
    """

    journal: str
    first: int
    last: int
    previous: str
    digest: str
    sha256: str

    @property
    def n_entries(self) -> int:
        """Number of entries."""
        return self.last - self.first + 1

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {**asdict(self), "n_entries": self.n_entries}


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def write_part(
    db: sqlite3.Connection, names: Pseudonymizer, file: Path, before: str
) -> ArchivedPart:
    """Write the entries before a time to a new file, each verified; nothing is removed.

    Raises
    ------
    InputError
        If the file exists, or no entry is older.
    LibraryError
        If an entry does not match its seal or does not follow from the one before.
    """
    if file.exists():
        raise InputError("this file exists already", where=file.name, hint="choose another name")
    if not file.parent.is_dir():
        raise InputError("its folder does not exist", where=file.name)
    journal, number, digest = db.execute("SELECT journal, number, digest FROM start").fetchone()
    first, previous, total = number + 1, digest, hashlib.sha256()
    rows = db.execute("SELECT number, CAST(body AS BLOB), seal FROM entries ORDER BY number")
    with replace_private(file) as target:

        def put(values: dict[str, Any]) -> None:
            line = _line(values)
            total.update(line)
            target.write(line)

        put({_HEAD: journal, "format": FORMAT, "first": first, "previous": previous})
        for row in rows:
            entry = sealed_entry(names, *row)
            if entry.number != number + 1 or entry.previous != digest:
                raise LibraryError(
                    f"entry {number + 1} is missing, or does not follow from the one before",
                    where=JOURNAL_NAME,
                    hint="run medembed verify LIBRARY",
                )
            if entry.time >= before:
                break
            put(entry.to_json())
            number, digest = entry.number, entry.digest
        if number < first:
            raise InputError("no entry is older", where="--before", hint="give a later date")
        put({"last": number, "digest": digest})
    return ArchivedPart(journal, first, number, previous, digest, total.hexdigest())


def close_part(tail: Tail, part: ArchivedPart) -> None:
    """Record that a part was archived and remove its entries, within one transaction."""
    start = tail.db.execute("SELECT number, digest FROM start").fetchone()
    if tuple(start) != (part.first - 1, part.previous):
        raise LibraryError("another process archived entries at the same time", where=JOURNAL_NAME)
    details: Details = {"first": part.first, "last": part.last, "digest": part.digest}
    tail.append(Action.ARCHIVED, SYSTEM, Outcome.DONE, (), {**details, "sha256": part.sha256})
    tail.db.execute("DELETE FROM entries WHERE number <= ?", (part.last,))
    tail.db.execute(
        "UPDATE start SET number = ?, digest = ?, seal = ?",
        (part.last, part.digest, start_seal(tail.names, part.journal, part.last, part.digest)),
    )


def read_part(file: Path, names: Pseudonymizer) -> tuple[ArchivedPart, list[Entry]]:
    """Read an archived part and verify every entry of it.

    Raises
    ------
    InputError
        At the first thing that is wrong.
    """
    total, entries = hashlib.sha256(), list[Entry]()
    head: dict[str, Any] = {}
    foot: dict[str, Any] = {}
    try:
        with file.open("rb") as source:
            for line in iter(lambda: source.readline(_LONGEST_LINE), b""):
                total.update(line)
                values = dict(json.loads(line))
                if _line(values) != line or foot:
                    raise ValueError("not a line that was written")
                if not head:
                    head = values
                    number, digest = int(head["first"]) - 1, str(head["previous"])
                elif "last" in values:
                    foot = values
                else:
                    entry = _entry(values, names, number + 1, digest)
                    entries.append(entry)
                    number, digest = entry.number, entry.digest
        part = ArchivedPart(
            str(head[_HEAD]), int(head["first"]), number, str(head["previous"]), digest,
            total.hexdigest(),
        )  # fmt: skip
        whole = foot == {"last": number, "digest": digest} and bool(entries)
    except FileNotFoundError:
        raise InputError("no such file", where=file.name) from None
    except (ValueError, TypeError, KeyError, UnboundLocalError):
        at = f"entry {entries[-1].number + 1}" if entries else "its beginning"
        raise InputError(
            f"{at} is not as it was written; the archive is damaged or of another library",
            where=file.name,
        ) from None
    if not whole:
        raise InputError(
            f"it ends after entry {number} and was cut off; the archive is damaged",
            where=file.name,
        )
    return part, entries


def _entry(values: dict[str, Any], names: Pseudonymizer, number: int, previous: str) -> Entry:
    seal, digest = str(values.pop("seal")), str(values.pop("digest"))
    body = json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii")
    entry = Entry.parse(body, seal)
    found = (entry.number, entry.previous, entry.digest)
    if found != (number, previous, digest) or not hmac.compare_digest(
        entry_seal(names, digest).hex(), seal
    ):
        raise ValueError("not this entry")
    return entry
