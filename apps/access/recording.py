"""What the journal learns of sign-ins and refusals."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

from medembed.journal import Action, Journal, Outcome

__all__ = ["Event", "Recorder", "no_record", "recorder_of"]

_LOG = logging.getLogger("medembed.access")
_SAME_SECONDS = 60.0
_MOST = 10_000


class Event(StrEnum):
    """What happens at the door."""

    LOGIN = "LOGIN"
    LOGIN_FAILED = "LOGIN_FAILED"
    LOGOUT = "LOGOUT"
    REFUSED = "REFUSED"


Write = Callable[[Event, str, Mapping[str, str | int | float]], None]


def no_record(_: Event, __: str, ___: Mapping[str, str | int | float]) -> None:
    """Record nothing: single-user mode has no logins."""


class Recorder:
    """Writes events to the journal; of equal refusals one a minute, with their number.

    Without that limit, whoever cannot get in could fill the disk.

    Parameters
    ----------
    write : callable
        Takes the event, the actor and details.
    clock : callable
    """

    def __init__(self, write: Write = no_record, clock: Callable[[], float] = time.monotonic):
        self._write = write
        self._clock = clock
        # in a thread of its own: the journal waits for the disk, the server must not
        self._worker = ThreadPoolExecutor(1, "access-journal")
        self._refusals: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    async def login(self, actor: str) -> None:
        """Record a sign-in; an error of the journal is raised, so that nobody gets in unseen."""
        await asyncio.wrap_future(self._worker.submit(self._write, Event.LOGIN, actor, {}))

    def logout(self, actor: str, why: str) -> None:
        """Record the end of a session."""
        self._quietly(Event.LOGOUT, actor, {"reason": why})

    def failed_login(self, actor: str, reason: str) -> None:
        """Record that somebody did not get in; ``reason`` is a code."""
        self.refusal(actor, reason, Event.LOGIN_FAILED)

    def refusal(self, actor: str, reason: str, event: Event = Event.REFUSED) -> None:
        """Record that something was refused.

        Parameters
        ----------
        actor : str
            Who asked, as far as that is known.
        reason : str
            A code, such as ``"token"``; never an address or a value of the request.
        event : Event
        """
        key, now = (actor, reason), self._clock()
        since, count = self._refusals.get(key, (float("-inf"), 0))
        if now - since < _SAME_SECONDS:
            self._refusals[key] = (since, count + 1)
            return
        self._refusals[key] = (now, 0)
        self._refusals.move_to_end(key)
        while len(self._refusals) > _MOST:
            self._refusals.popitem(last=False)
        self._quietly(event, actor, {"reason": reason, "more_before": count})

    def _quietly(self, event: Event, actor: str, details: Mapping[str, str | int | float]) -> None:
        """Record what happens anyway; a full disk must not keep anybody from signing out."""

        def write() -> None:
            try:
                self._write(event, actor, details)
            except Exception as error:  # noqa: BLE001  whatever the journal raises
                _LOG.error("the journal cannot be written (%s)", type(error).__name__)

        self._worker.submit(write)

    def close(self) -> None:
        """Wait until everything is written."""
        self._worker.shutdown()


def recorder_of(library: Path) -> Recorder:
    """Give the recorder of a library's journal."""
    journal = Journal.open(library)
    known = {
        Event.LOGIN: (Action.LOGIN, Outcome.DONE),
        Event.LOGIN_FAILED: (Action.LOGIN, Outcome.REFUSED),
        Event.LOGOUT: (Action.LOGOUT, Outcome.DONE),
        Event.REFUSED: (Action.REFUSED, Outcome.REFUSED),
    }

    def write(event: Event, actor: str, details: Mapping[str, str | int | float]) -> None:
        action, outcome = known[event]
        journal.record(action, actor=actor, outcome=outcome, details=dict(details))

    return Recorder(write)
