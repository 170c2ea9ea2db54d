"""Who is signed in: sessions kept on the server, with an idle and an absolute limit.

The cookie holds a random id and nothing else, so a session ends for good when it ends here: after
a sign-out or a limit, a copied cookie opens nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from apps.access.people import Person

__all__ = ["Ended", "Session", "Sessions"]

_MOST = 10_000
_ID_BYTES = 32


class Ended(StrEnum):
    """Why a session ended."""

    SIGNED_OUT = "signed-out"
    IDLE = "idle"
    ABSOLUTE = "absolute"
    REPLACED = "replaced"
    CLOSED = "closed"


@dataclass(eq=False)
class Session:
    """One sign-in.

    Parameters
    ----------
    person : Person
    started, seen : float
        In seconds of the clock of :class:`Sessions`.
    id_token : str
        The provider's, for signing out there too.

    Attributes
    ----------
    handle : str
        Names the session inside this process; useless as a cookie.
    ended : Ended or None
    end : asyncio.Event
        Set when it ends, so that its open sockets close.
    """

    person: Person
    started: float
    seen: float
    id_token: str = field(default="", repr=False)
    handle: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    ended: Ended | None = None
    end: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


def _boot_time() -> float:
    """Give seconds that nobody can set back and that go on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Sessions:
    """All sessions of a server.

    Parameters
    ----------
    idle_seconds : float
        Without a request or a message of a page for so long, a session ends.
    absolute_seconds : float
        A session never lasts longer.
    clock : callable
    ended : callable
        Called with each session that ends.
    """

    def __init__(
        self,
        idle_seconds: float,
        absolute_seconds: float,
        clock: Callable[[], float] = _boot_time,
        ended: Callable[[Session], None] = lambda _: None,
    ) -> None:
        self._idle = idle_seconds
        self._absolute = absolute_seconds
        self._clock = clock
        self._ended = ended
        self._by_id: dict[str, Session] = {}
        self._by_handle: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def start(self, person: Person, id_token: str = "") -> tuple[str, Session]:
        """Start a session under an id that nobody has seen before.

        Returns
        -------
        id : str
            For the cookie.
        session : Session
        """
        self.sweep()
        while len(self._by_id) >= _MOST:
            self.finish(min(self._by_id.values(), key=lambda s: s.seen), Ended.REPLACED)
        now = self._clock()
        session = Session(person, now, now, id_token)
        identity = secrets.token_urlsafe(_ID_BYTES)
        self._by_id[_digest(identity)] = session
        self._by_handle[session.handle] = session
        return identity, session

    def find(self, identity: str) -> Session | None:
        """Give the live session of a cookie; None if there is none or it is over."""
        session = self._by_id.get(_digest(identity)) if identity else None
        return session if session is not None and self.is_live(session) else None

    def of_handle(self, handle: str) -> Session | None:
        """Give the live session of a handle; may be called from any thread."""
        session = self._by_handle.get(handle)
        return session if session is not None and session.ended is None else None

    def is_live(self, session: Session) -> bool:
        """Whether a session goes on; ends it if a limit has passed."""
        if session.ended is None and self.seconds_left(session) <= 0:
            is_old = self._clock() - session.started >= self._absolute
            self.finish(session, Ended.ABSOLUTE if is_old else Ended.IDLE)
        return session.ended is None

    def touch(self, session: Session) -> None:
        """Note that somebody is active."""
        session.seen = self._clock()

    def seconds_left(self, session: Session) -> float:
        """Give the seconds until the nearer limit."""
        until = min(session.started + self._absolute, session.seen + self._idle)
        return until - self._clock()

    def finish(self, session: Session, why: Ended) -> None:
        """End a session; its sockets close. Must be called on the server's event loop."""
        if session.ended is not None:
            return
        session.ended = why
        session.id_token = ""
        self._by_handle.pop(session.handle, None)
        for key in [key for key, held in self._by_id.items() if held is session]:
            del self._by_id[key]
        session.end.set()
        self._ended(session)

    def close(self) -> None:
        """End every session: the server stops."""
        for session in list(self._by_id.values()):
            self.finish(session, Ended.CLOSED)

    def sweep(self) -> None:
        """End every session whose limit has passed."""
        for session in list(self._by_id.values()):
            self.is_live(session)


def _digest(identity: str) -> str:
    """Index by a digest: how long a look-up takes then tells nothing about an id."""
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
