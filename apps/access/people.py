"""Who may do what: roles, their permissions, and the person behind a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from medembed.errors import InputError, InternalError

if TYPE_CHECKING:
    from apps.access.asgi import Message
    from medembed.library import Condition

__all__ = [
    "LOCAL_PERSON",
    "NOBODY",
    "NotAllowedError",
    "Permission",
    "Person",
    "Role",
    "person_of",
]

PERSON = "medembed.person"
"""Key of the person in an ASGI scope."""


class Permission(StrEnum):
    """What somebody may do. There is none for vectors: nobody gets them."""

    SEARCH = "search"
    VIEW = "view"
    REVIEW = "review"
    EXPORT = "export"
    AUDIT = "audit"
    METRICS = "metrics"
    ADMIN = "admin"


class Role(StrEnum):
    """What the access file gives to people and tokens; roles add up."""

    READER = "reader"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    MONITOR = "monitor"
    ADMIN = "admin"

    @property
    def permissions(self) -> frozenset[Permission]:
        """What this role may do."""
        return _PERMISSIONS[self]


_READS = frozenset({Permission.SEARCH, Permission.VIEW})
_PERMISSIONS = {
    Role.READER: _READS,
    Role.REVIEWER: _READS | {Permission.REVIEW, Permission.EXPORT},
    # audits and the journal need no look at a patient
    Role.AUDITOR: frozenset({Permission.AUDIT}),
    Role.MONITOR: frozenset({Permission.METRICS}),
    Role.ADMIN: frozenset(Permission),
}


class NotAllowedError(InputError):
    """The person lacks a permission."""


@dataclass(frozen=True, init=False)
class Person:
    """Somebody who uses the page or the service.

    Parameters
    ----------
    name : str
        As the journal and the reviews know this person: unique, and never a patient's.
    roles : iterable of Role
    where : iterable of Condition
        All must hold for each case that this person may see; empty for every case.
    shown : str
        Name on the page; :attr:`name` if empty.

    Examples
    --------
    >>> reader = Person("anna", [Role.READER])
    >>> reader.may(Permission.SEARCH), reader.may(Permission.AUDIT)
    (True, False)
    """

    name: str
    roles: frozenset[Role]
    where: tuple[Condition, ...]
    shown: str

    def __init__(
        self,
        name: str,
        roles: Iterable[Role] = (),
        where: Iterable[Condition] = (),
        shown: str = "",
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "roles", frozenset(roles))
        object.__setattr__(self, "where", tuple(where))
        object.__setattr__(self, "shown", shown or name)

    def may(self, permission: Permission) -> bool:
        """Whether one of the roles gives this permission."""
        return any(permission in role.permissions for role in self.roles)

    def require(self, permission: Permission) -> None:
        """Go on only with this permission.

        Raises
        ------
        NotAllowedError
            If no role gives it.
        """
        if not self.may(permission):
            raise NotAllowedError(
                f"your account lacks the permission {permission.value!r}",
                hint="ask whoever looks after the access file",
            )


LOCAL_PERSON = Person("local", Role)
"""The one user of a reading room or service without logins: may do everything."""

NOBODY = Person("nobody")
"""Whoever asks for a page that needs no login; may do nothing else."""


def person_of(scope: Message) -> Person:
    """Give the person behind a request.

    Parameters
    ----------
    scope : ASGI scope
        Of a request that passed the guard; in Starlette and FastAPI ``request.scope``.

    Raises
    ------
    InternalError
        If no guard stands in front of this route.
    """
    person = scope.get(PERSON)
    if not isinstance(person, Person):
        raise InternalError("a request came in without passing the guard")
    return person
