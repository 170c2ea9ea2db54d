"""The person behind a run of the page's script, which has no ASGI scope."""

from __future__ import annotations

from apps.access.door import Door
from apps.access.people import LOCAL_PERSON, NOBODY, Person

__all__ = ["HANDLE_NAME", "has_logins", "person_of_handle", "set_door"]

HANDLE_NAME = "X-Medembed-Session"
"""Header that the guard sets for the script; it removes a client's own of this name."""

_doors: list[Door | None] = [None]


def set_door(door: Door | None) -> None:
    """Say which door the page of this process stands behind; None for single-user mode."""
    _doors[0] = door


def has_logins() -> bool:
    """Whether people sign in to the page."""
    return _doors[0] is not None


def person_of_handle(handle: str | None) -> Person:
    """Give whom a run of the script belongs to.

    Parameters
    ----------
    handle : str or None
        Value of :data:`HANDLE_NAME`.

    Returns
    -------
    Person
        The local person in single-user mode; behind a door the person of the live session, and
        somebody who may do nothing if there is none.
    """
    door = _doors[0]
    if door is None:
        return LOCAL_PERSON
    session = door.sessions.of_handle(handle or "")
    return session.person if session is not None else NOBODY
