"""The journal of a library: who searched, was shown, opened, revealed, exported, was refused."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from medembed.errors import InputError, InternalError, LibraryBusyError, LibraryError
from medembed.journal.action import ACTED, SYSTEM, Action, Outcome
from medembed.journal.archive import ArchivedPart, close_part, read_part, write_part
from medembed.journal.chain import Tail
from medembed.journal.checking import JournalCheck, check_journal
from medembed.journal.entry import Details, Entry, check_actor, check_details
from medembed.journal.head import HEAD_NAME, Head
from medembed.journal.journal_file import JOURNAL_NAME, read_options
from medembed.journal.links import case_lookup, case_numbers, forget_others
from medembed.journal.reading import EntryFilter, last_head, read_entries
from medembed.journal.writer import WAIT_SECONDS, JournalWriter
from medembed.machine_faults import connect, file_errors
from medembed.privacy import Pseudonymizer
from medembed.privacy.private_files import open_private

__all__ = ["Journal"]


class Journal:
    """The append-only, hash-chained journal of a library.

    Each entry has the digest of the one before, so that no entry can be changed, left out, put in
    or moved without breaking the chain, and a seal under the library's secret key, so that nobody
    without it can write an entry. The sealed head, in a file beside, says how long the chain is.

    Several threads and processes append at the same time; each waits for the others for less than a
    millisecond. When :meth:`record` returns, the entry survives the end of the process, ``kill -9``
    included. It is synced to the disk if the last sync was a second ago or more: a power cut loses
    at most the entries of a burst, and the next entry says that some were lost.

    Use :meth:`open`, or :attr:`CaseLibrary.journal`.

    Parameters
    ----------
    folder : Path
        The library's folder.
    names : Pseudonymizer
        Of the library: has its secret key.
    known : str
        Name of the journal as the library knows it; empty if it had none so far.
    """

    def __init__(self, folder: Path, names: Pseudonymizer, known: str = "") -> None:
        self.folder = folder
        self.path = folder / JOURNAL_NAME
        self._names = names
        self._writer = JournalWriter(folder, names, known)

    @classmethod
    def open(cls, library_folder: Path | str) -> Journal:
        """Open the journal of a library; it is started if there is none.

        Raises
        ------
        LibraryError
            If there is no library, or the journal is damaged.
        """
        from medembed.library.library import CaseLibrary  # above: it has the key

        with CaseLibrary.open(library_folder) as library:
            return library.journal

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Journal({self.folder.name!r})"

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be recorded here, for want of write permission."""
        return self._writer.is_read_only

    # writing

    def record(
        self,
        action: Action,
        *,
        actor: str,
        outcome: Outcome = Outcome.DONE,
        cases: Sequence[str] = (),
        details: Details = {},  # noqa: B006  never changed
    ) -> Entry:
        """Append an entry; when this returns, it survives the end of the process.

        Parameters
        ----------
        action : Action
            What somebody did; not one of the journal's own.
        actor : str
            Name of the user, ``LOCAL`` in single-user mode.
        outcome : Outcome
        cases : sequence of str
            Ids of the cases it was about. They are stored as random numbers that only the library's
            key leads back to.
        details : mapping
            Few, small and typed: see :func:`check_details`. Never words of a query, never a value
            of a patient.

        Returns
        -------
        Entry

        Raises
        ------
        LibraryError
            If it cannot be written: what should be recorded must not be done then.
        """
        if action not in ACTED:
            raise InternalError("this action is recorded by the journal itself")
        name, kept = check_actor(actor), check_details(details)
        with self._writer.appending() as tail:
            numbers = case_numbers(tail.db, self._names, cases)
            return tail.append(action, name, outcome, numbers, kept)

    def note(self, action: Action, details: Details) -> Entry:
        """Append an entry that the journal makes about itself."""
        with self._writer.appending() as tail:
            return tail.append(action, SYSTEM, Outcome.DONE, (), check_details(details))

    def begin(self) -> str:
        """Start the journal if there is none; return its name.

        If the library knows a journal of another name, this is recorded as a loss.
        """
        return self._writer.begin()

    # what happens to a library

    def forget(
        self,
        case_ids: Callable[[], Iterable[str]],
        receipts: Sequence[tuple[str, str, int]] = (),
        wait_seconds: float = 2.0,
    ) -> int:
        """Let no entry lead to a case that is not in the library any more, and record it.

        The file is written anew, so that no page keeps a deleted byte.

        Parameters
        ----------
        case_ids : callable
            Gives the ids of all cases of the library.
        receipts : sequence of (date, digest, number of patients)
            Of the library's erasures; those since the journal's first entry, and the last one, are
            recorded, each once.
        wait_seconds : float
            Longest wait for a reader of an older state.

        Returns
        -------
        int
            Cases that were forgotten.

        Raises
        ------
        LibraryBusyError
            If a reader keeps an older state, or another process writes for long; call it again.
        """
        with self._writer.appending() as tail:
            gone = forget_others(tail.db, self._names, case_ids())
            due = _due(receipts, tail)
            if gone and not due:
                due = [{"reason": "not_in_library"}]
            for i, details in enumerate(due):
                last = i == len(due) - 1
                tail.append(Action.ERASED, SYSTEM, Outcome.DONE, gone if last else (), details)
        self._writer.rewrite(wait_seconds)
        return len(gone)

    def archive(self, file: Path, before: str) -> ArchivedPart:
        """Move the entries before a time to a new file; the chain begins after them.

        The entries are removed when the file is complete and synced.

        Parameters
        ----------
        file : Path
            Must not exist, nor be inside the library.
        before : str
            UTC as entries have it (:func:`parse_time`).

        Raises
        ------
        InputError
            If the file exists or is inside the library, or no entry is older.
        LibraryError
            If the part is not whole.
        """
        if file.absolute().resolve().is_relative_to(self.folder.resolve()):
            raise InputError(
                "an archive inside the library would be lost with it",
                where=file.name,
                hint="choose a place outside",
            )
        with closing(self._reader()) as db, file_errors(file.name):
            part = write_part(db, self._names, file.absolute(), before)
        with self._writer.appending() as tail:
            close_part(tail, part)
        self._writer.rewrite(WAIT_SECONDS)
        return part

    def check_archive(self, file: Path) -> ArchivedPart:
        """Verify an archived part, and that the chain names it where it still can.

        Raises
        ------
        InputError
            At the first thing that is wrong.
        """
        part, _ = read_part(file, self._names)
        named = [
            entry.details
            for entry in self.entries(EntryFilter(action=Action.ARCHIVED))
            if entry.details.get("last") == part.last
        ]
        if named and named[-1].get("sha256") != part.sha256:
            raise InputError("the journal names another archive of this part", where=file.name)
        return part

    def copy_to(self, folder: Path) -> list[Path]:
        """Copy journal and head into a folder, as of one moment; an empty list if there is none."""
        if not self.path.exists():
            return []
        copies = []
        with suppress(FileNotFoundError):
            # first: a head that is older than the chain is no fault
            data = self._writer.head.path.read_bytes()
            copies.append(folder / HEAD_NAME)
            with os.fdopen(
                open_private(copies[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY), "wb"
            ) as f:
                f.write(data)
        copies.append(folder / JOURNAL_NAME)
        os.close(open_private(copies[-1], os.O_CREAT | os.O_EXCL | os.O_RDWR))
        with closing(connect(self.path, read_options(self.path), WAIT_SECONDS)) as db:
            db.execute("VACUUM INTO ?", (str(copies[-1]),))
        return copies

    # reading

    def entries(
        self, wanted: EntryFilter | None = None, last: int | None = None
    ) -> Iterator[Entry]:
        """Yield the entries in their order, each compared with its seal.

        Parameters
        ----------
        wanted : EntryFilter, optional
        last : int, optional
            Number of the last entry to read; others may be appending.

        Raises
        ------
        LibraryError
            At an entry that does not match its seal.
        """
        if not self.path.exists():
            return
        with closing(self._reader()) as db:
            for entry in read_entries(db, self._names, wanted or EntryFilter()):
                if last is not None and entry.number > last:
                    return
                yield entry

    def case_ids(self, case_ids: Iterable[str]) -> dict[str, str]:
        """Return which number stands for which of these cases, for those that have one."""
        if not self.path.exists():
            return {}
        with closing(self._reader()) as db:
            linked = dict(db.execute("SELECT lookup, number FROM links").fetchall())
        keys = ((case_lookup(self._names, case_id), case_id) for case_id in case_ids)
        return {bytes(linked[key]).hex(): case_id for key, case_id in keys if key in linked}

    def n_strays(self, case_ids: Iterable[str]) -> int:
        """Count the links to cases that are not among these."""
        if not self.path.exists():
            return 0
        with closing(self._reader()) as db:
            linked = {bytes(lookup) for (lookup,) in db.execute("SELECT lookup FROM links")}
        return len(linked - {case_lookup(self._names, case_id) for case_id in case_ids})

    def head(self) -> Head | None:
        """Return where the chain ends, None if there is no journal."""
        if not self.path.exists():
            return None
        with closing(self._reader()) as db:
            return last_head(db)

    def check(self, earlier: Head | None = None) -> JournalCheck:
        """Verify the whole chain: every seal, every link, the head.

        Parameters
        ----------
        earlier : Head, optional
            A head that was kept outside: the chain must contain it.
        """
        sealed = self._writer.head.read()  # first: the chain may grow meanwhile, and never shrinks
        if not self.path.exists():
            return check_journal(None, self._names, sealed, self._writer.known, earlier)
        try:
            with closing(self._reader()) as db:
                return check_journal(db, self._names, sealed, self._writer.known, earlier)
        except (LibraryBusyError, InternalError):
            raise
        except (sqlite3.Error, LibraryError, ValueError, TypeError):
            return JournalCheck.unreadable()

    def _reader(self) -> sqlite3.Connection:
        db = connect(self.path, read_options(self.path), WAIT_SECONDS)
        db.execute("PRAGMA query_only = 1")
        return db

    def __del__(self) -> None:
        if hasattr(self, "_writer"):
            self.close()

    def close(self) -> None:
        """Close the files of this process; the next call opens them again."""
        self._writer.close()


def _due(receipts: Sequence[tuple[str, str, int]], tail: Tail) -> list[Details]:
    """Return the details of the erasures that are not recorded yet.

    Two erasures of a second may have equal receipts, so that they are counted.
    """
    since = tail.first_time()
    due: list[Details] = []
    seen: Counter[str] = Counter()
    for date, digest, n_patients in receipts:
        if date >= since or digest == receipts[-1][1]:
            seen[digest] += 1
            if seen[digest] > tail.count(Action.ERASED, digest):
                due.append({"receipt": digest, "patients": n_patients})
    return due
