"""The guard of the service: tokens, and nothing of a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from apps.access.asgi import Asgi
from apps.access.door import open_door
from apps.access.guard import Guard, Kind, Need
from apps.access.needs import SERVICE_NEEDS, need_by_path
from apps.access.origin import SameOrigin
from apps.access.people import Permission
from apps.access.recording import Recorder, recorder_of

__all__ = ["guarded_service"]


def guarded_service(
    app: Asgi,
    access: Path | None,
    *,
    library: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8600,
    no_login: bool = False,
    needs: Mapping[str, Need] = SERVICE_NEEDS,
) -> Asgi:
    """Put the guard before a service.

    Parameters
    ----------
    app : ASGI application
        Its routes find who asks by :func:`apps.access.person_of`.
    access : Path or None
        An access file; without one, that of the library's folder, and without that single-user
        mode, which only this machine may reach.
    library : Path, optional
        For its access file and its journal.
    host : str
        Address that the service listens on.
    port : int
    no_login : bool
        Let everybody in who can reach the service.
    needs : mapping of str to Need
        What each path needs; any other needs an admin.

    Raises
    ------
    InputError
        If others can reach the service and nothing says who may see what, or the access file is
        not valid.
    """
    door = open_door(
        library if library is not None else (access or Path()).parent,
        host,
        access,
        no_login,
        with_login=False,
        recorder=recorder_of if library is not None else lambda _: Recorder(),
    )
    guard = Guard(app, door, Kind.SERVICE, need_by_path(needs, Permission.ADMIN))
    if door is not None:  # a page of another site has no token
        return guard
    return SameOrigin(guard, host, port, programs=True, openings=(), unchecked=("/healthz",))
