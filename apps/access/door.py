"""Everything that one server needs to know who asks: settings, sessions, tokens, sign-in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from apps.access.access_file import (
    LOOPBACK_HOSTS,
    AccessFile,
    find_access_file,
    read_access_file,
)
from apps.access.limits import FailureLimit
from apps.access.people import Person
from apps.access.recording import Recorder, recorder_of
from apps.access.sessions import Session, Sessions
from apps.access.sign_in import SignIn
from apps.access.tokens import TokenFile, token_id
from medembed.errors import InputError

__all__ = ["Door", "TooManyAttempts", "open_door"]


class TooManyAttempts(Exception):  # noqa: N818  an answer to give, no fault
    """A source failed too often.

    Parameters
    ----------
    seconds : float
        Until it may try again.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__()


class Door:
    """Who may come in, by an access file.

    Parameters
    ----------
    settings : AccessFile
    tokens : TokenFile
    recorder : Recorder
    sessions : Sessions, optional
    limit : FailureLimit, optional
    with_login : bool
        Whether people sign in here; a service knows tokens only.
    """

    def __init__(
        self,
        settings: AccessFile,
        tokens: TokenFile,
        recorder: Recorder | None = None,
        sessions: Sessions | None = None,
        limit: FailureLimit | None = None,
        with_login: bool = True,
    ) -> None:
        self.settings = settings
        self.tokens = tokens
        self.recorder = recorder or Recorder()
        times = settings.sessions
        self.sessions = sessions or Sessions(
            times.idle_minutes * 60.0, times.absolute_hours * 3600.0, ended=self.record_end
        )
        self._limit = limit or FailureLimit()
        has_login = with_login and settings.login is not None
        self.sign_in = SignIn(settings, self.sessions, self.recorder) if has_login else None

    def record_end(self, session: Session) -> None:
        """Tell the journal that a session ended, and why."""
        if session.ended is not None:
            self.recorder.logout(session.person.name, session.ended.value)

    def close(self) -> None:
        """End every session, and wait until the journal has everything."""
        self.sessions.close()
        self.recorder.close()

    def person_of_token(self, token: str, client: str) -> Person | None:
        """Give whom a token stands for; None if it is not valid.

        Failures count for a client's address and the id of the token together: a program with an
        outdated token does not lock out others behind the same address.

        Raises
        ------
        TooManyAttempts
            Before the token is looked at.
        ConfigError
            If the file of tokens is not valid.
        """
        source = (client, token_id(token))
        seconds = self._limit.seconds_left(*source)
        if seconds > 0:
            raise TooManyAttempts(seconds)
        person = self.tokens.person(token)
        if person is None:
            self._limit.add(*source)
        return person


def open_door(
    library: Path,
    host: str,
    access: Path | None = None,
    no_login: bool = False,
    *,
    with_login: bool = True,
    recorder: Callable[[Path], Recorder] = recorder_of,
) -> Door | None:
    """Open the door of a server, or leave it open if only this machine can reach it.

    Parameters
    ----------
    library : Path
        Its folder may hold an ``access.yaml``.
    host : str
        Address that the server listens on.
    access : Path, optional
        An access file, or a folder with one.
    no_login : bool
        Let everybody in who can reach the server.
    with_login : bool
        Whether people sign in here; a service knows tokens only.

    Returns
    -------
    Door or None
        None for single-user mode.

    Raises
    ------
    InputError
        If others can reach the server and nothing says who may do what.
    ConfigError
        If the access file is not valid.
    """
    if no_login:
        if access is not None:
            raise InputError("--access and --no-login exclude each other")
        return None
    file = find_access_file(access, library)
    if file is None:
        if host not in LOOPBACK_HOSTS:
            raise InputError(
                "others can reach this address, and nothing says who may see what",
                where="--host",
                hint="give --access FILE, or --no-login to show every case to everybody",
            )
        return None
    settings = read_access_file(file)
    if with_login and settings.login is None:
        raise InputError(
            "the access file has no section 'login', so nobody could sign in",
            where=file.name,
            hint="add it, or give --no-login",
        )
    tokens = TokenFile(file.parent / settings.tokens)
    tokens.records()  # a file that is not valid shows at the start
    return Door(settings, tokens, recorder(library), with_login=with_login)


def trust_proxies(door: Door | None) -> None:
    """Let the server believe forwarded addresses of the configured proxies, and of nobody else.

    By itself uvicorn believes every process of this machine.
    """
    proxies = door.settings.proxies if door is not None else []
    os.environ["FORWARDED_ALLOW_IPS"] = ",".join(proxies)
