"""Who asks, and what they may do: the one place where the service meets :mod:`apps.access`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from apps.access import Permission, person_of
from medembed.library import Condition

__all__ = ["LOCAL", "Caller", "Right", "caller_of"]


class Right(StrEnum):
    """What the service lets a person do; each value names a permission of the access room."""

    SEARCH = "search"
    VIEW = "view"
    REVIEW = "review"
    AUDIT = "audit"
    METRICS = "metrics"


@dataclass(frozen=True)
class Caller:
    """The person or program that sent a request.

    Parameters
    ----------
    name : str
        For the journal and the rate; never in an answer.
    where : tuple of Condition
        Conditions that a case must meet to be seen at all.
    may : callable
        Whether this right is held.
    """

    name: str
    where: tuple[Condition, ...] = ()
    may: Callable[[Right], bool] = lambda _: True

    @property
    def is_restricted(self) -> bool:
        """Whether some cases may not be seen."""
        return bool(self.where)


LOCAL = Caller("local")
"""The one person of a service that only its own machine can reach."""


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Return who sent the request of an ASGI scope."""
    person = person_of(dict(scope))
    return Caller(
        person.name,
        tuple(person.where),
        lambda right: person.may(Permission(right.value)),
    )
