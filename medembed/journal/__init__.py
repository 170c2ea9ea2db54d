"""Who looked at which case, and when: append-only, chained by digests, sealed with a key."""

from medembed.journal.action import ACTED, LOCAL, SYSTEM, Action, Outcome
from medembed.journal.checking import Fault, JournalCheck
from medembed.journal.entry import Entry
from medembed.journal.head import HEAD_NAME, Head
from medembed.journal.journal import Journal
from medembed.journal.journal_file import JOURNAL_NAME
from medembed.journal.reading import EntryFilter, parse_time

__all__ = [
    "ACTED",
    "HEAD_NAME",
    "JOURNAL_NAME",
    "LOCAL",
    "SYSTEM",
    "Action",
    "Entry",
    "EntryFilter",
    "Fault",
    "Head",
    "Journal",
    "JournalCheck",
    "Outcome",
    "parse_time",
]
