"""The verb ``verify``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from medembed.cli.command import AsJson, LibraryPath, emit, note, verb
from medembed.errors import LibraryError

if TYPE_CHECKING:
    from medembed.library.verification import Check

__all__ = ["verify"]


@verb
def verify(library: LibraryPath, as_json: AsJson = False) -> None:
    """Check everything in a library, repair what is derived, and say what was done.

    Checks the file's structure, schema, references and every checksum, the vectors (finite, of
    length 1), the full-text index, index files, thumbnails, permissions and leftovers. Derived
    data are built again or dropped; an interrupted erasure is finished. Cached pixels and features
    have checksums of their own, which are checked when they are used.

    Proves the journal: every entry matches its seal and follows from the one before, and none is
    missing at the end. The first wrong entry is named, and nothing of the journal is repaired.

    Exit 2 if the record itself is damaged: the cases are named, and a backup must be restored; and
    if the journal is not whole.

    Example: medembed verify demo-library
    """
    from medembed.columns.columns_check import verify_columns
    from medembed.index.index_check import verify_indexes
    from medembed.library.journal_check import verify_journal
    from medembed.library.verification import (
        CheckState,
        open_unchecked,
        verify_files,
        verify_store,
    )

    checks: list[Check] = []
    with open_unchecked(library) as opened:
        for check in verify_store(opened):
            checks.append(check)
        is_damaged = any(check.state is CheckState.DAMAGED for check in checks)
        if not is_damaged:  # what is derived from a damaged record would be damaged, too
            checks += [*verify_files(opened), *verify_indexes(opened), *verify_columns(opened)]
        journal = verify_journal(opened)
        checks.append(journal)
        if opened.database.read_only:
            note(f"{opened.path.name}: read-only, so that nothing is repaired")
        name = opened.path.name

    def human() -> None:
        for check in checks:
            named = f" ({', '.join(check.case_ids)})" if check.case_ids else ""
            sys.stdout.write(f"{check.what}: {check.state.value}, {check.detail}{named}\n")

    is_whole = journal.state is not CheckState.DAMAGED
    payload = {"ok": not is_damaged and is_whole, "checks": [check.to_json() for check in checks]}
    emit(payload, as_json, human)
    if is_damaged:
        which = ", ".join(check.what for check in checks if check.state is CheckState.DAMAGED)
        raise LibraryError(
            f"damaged: {which}",
            where=name,
            hint="restore a backup with medembed restore, or ingest the sources into a new library",
        )
    if not is_whole:
        raise LibraryError(
            f"the journal is not whole: {journal.detail}",
            where=name,
            hint="keep its files as they are; docs/guides/journal.md says what to do",
        )
