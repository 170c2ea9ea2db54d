"""Prove the journal of a library, for ``medembed verify``."""

from __future__ import annotations

from medembed.counted import counted
from medembed.library.library import CaseLibrary
from medembed.library.own_journal import open_journal
from medembed.library.verification import Check, CheckState

__all__ = ["verify_journal"]


def verify_journal(library: CaseLibrary) -> Check:
    """Prove that the journal is whole; nothing in it is ever repaired.

    Links to cases that are not in the library, of a page that was open while its patient was
    erased, are removed, which no entry is changed for.
    """
    what = "journal"
    journal = open_journal(library.database, start=False)
    check = journal.check()
    if check.fault is not None:
        return Check(what, CheckState.DAMAGED, check.text)
    if not check.has_journal:
        return Check(what, CheckState.OK, "none yet")
    entries = counted(check.n_entries, "entry", "entries")
    chain = f"{entries}, {check.first} to {check.last}, in one chain"
    strays = journal.n_strays(library.find())
    if strays and not journal.is_read_only:
        library.journal.forget(library.find)
        gone = counted(strays, "case")
        return Check(what, CheckState.REPAIRED, f"{chain}; forgot {gone} not in the library")
    return Check(what, CheckState.OK, chain)
