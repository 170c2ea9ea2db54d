"""What an entry of the journal can say: who did what, and how it ended."""

from __future__ import annotations

from enum import Enum

__all__ = ["ACTED", "LOCAL", "SYSTEM", "Action", "Outcome"]

LOCAL = "local"
"""The actor of single-user mode and of the command line, where nobody logs in."""

SYSTEM = "medembed"
"""The actor of entries that the journal makes about itself."""


class Action(Enum):
    """What was done. The values are stored and never change."""

    LOGIN = "login"
    LOGOUT = "logout"
    QUERY = "query"
    SHOWN = "shown"
    OPENED = "opened"
    PIXELS = "pixels"
    REVEAL = "reveal"
    REVIEW = "review"
    EXPORT = "export"
    AUDIT = "audit"
    REFUSED = "refused"

    # of the journal itself
    STARTED = "started"
    READ = "read"
    ERASED = "erased"
    ARCHIVED = "archived"
    RESTORED = "restored"
    LOST = "lost"

    @property
    def text(self) -> str:
        """What it means, in one clause."""
        return _TEXTS[self]


class Outcome(Enum):
    """How it ended. The values are stored and never change."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


ACTED = frozenset(
    {
        *(Action.LOGIN, Action.LOGOUT, Action.QUERY, Action.SHOWN, Action.OPENED, Action.PIXELS),
        *(Action.REVEAL, Action.REVIEW, Action.EXPORT, Action.AUDIT, Action.REFUSED, Action.READ),
    }
)
"""Actions of people, which :meth:`Journal.record` takes; the others are the journal's own."""

_TEXTS = {
    Action.LOGIN: "logged in, or tried to",
    Action.LOGOUT: "logged out, or the session timed out",
    Action.QUERY: "searched",
    Action.SHOWN: "was shown these cases as hits",
    Action.OPENED: "opened a case",
    Action.PIXELS: "got the pixels of a scan",
    Action.REVEAL: "had report, findings and diagnosis revealed",
    Action.REVIEW: "created or changed a review",
    Action.EXPORT: "took data out",
    Action.AUDIT: "read a fairness audit",
    Action.REFUSED: "was refused",
    Action.STARTED: "the journal was started",
    Action.READ: "read or exported the journal",
    Action.ERASED: "a patient was erased; these numbers lead to no case any more",
    Action.ARCHIVED: "older entries were moved to an archive",
    Action.RESTORED: "the library was restored from a backup",
    Action.LOST: "earlier entries or the sealed head were missing when this was written",
}
