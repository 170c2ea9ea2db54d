"""Who asks for pixels, whether they may see the case, and what the journal learns of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Guard", "Visitor"]

Scope = Mapping[str, Any]

_AGAIN_SECONDS = 600.0
_MOST_REMEMBERED = 10_000


def _local(_: Scope) -> str:
    return "local"


def _every_case(_: Scope, case_id: str) -> bool:
    return bool(case_id)


def _nowhere(actor: str, case_id: str) -> None:
    """Record nothing: there is no journal."""


def _unrecorded(case_id: str) -> None:
    """Record nothing: there is no journal."""


@dataclass(frozen=True)
class Guard:
    """Asked before any pixel leaves the server.

    The default is the single user of this machine, who sees every case: the requests of others
    were refused before (:mod:`apps.case_lookup.middleware`).

    Parameters
    ----------
    person_of : callable
        Name of the person who sends a request, from its ASGI scope.
    may_see : callable
        Whether the sender of a request may see a case, from scope and case id.
    record : callable
        Writes to the journal that a person was given the pixels of a case. It is called once in
        ten minutes for the same person and case, and not for each slice.
    """

    person_of: Callable[[Scope], str] = _local
    may_see: Callable[[Scope, str], bool] = _every_case
    record: Callable[[str, str], None] = _nowhere
    _recorded: OrderedDict[tuple[str, str], float] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )
    _lock: threading.Lock = field(
        default_factory=threading.Lock, init=False, repr=False, compare=False
    )

    def handed_out(self, scope: Scope, case_id: str) -> None:
        """Record that the sender of this request gets pixels of a case.

        It is recorded before the pixels are sent: if the journal cannot be written, nothing is.
        """
        key = self.person_of(scope), case_id
        now = time.monotonic()
        with self._lock:
            if now - self._recorded.get(key, float("-inf")) < _AGAIN_SECONDS:
                return
            self.record(*key)
            self._recorded[key] = now
            self._recorded.move_to_end(key)
            while len(self._recorded) > _MOST_REMEMBERED:
                self._recorded.popitem(last=False)


@dataclass(frozen=True)
class Visitor:
    """The person in front of a page, for the script that draws it.

    The default is the single user of this machine.

    Parameters
    ----------
    name : str
        As :attr:`Guard.person_of` names the sender of the page's requests.
    may_see : callable
        Whether this person may see a case, by its id.
    opened : callable
        Writes to the journal that this person has opened a case.
    """

    name: str = "local"
    may_see: Callable[[str], bool] = bool
    opened: Callable[[str], None] = _unrecorded
