"""Addresses for the images that visitors drop on the page; they die with the upload."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import ref

from apps.case_lookup.held_queries import HELD
from medembed.scans import Scan

__all__ = ["QUERY_IMAGES", "QueryImages"]

IsHeld = Callable[[str, Sequence[str]], bool]


@dataclass(frozen=True)
class _Offer:
    session_id: str
    uploads: tuple[str, ...]
    person: str
    scan: ref[Scan]


def _held_by_session(session_id: str, images: Sequence[str]) -> bool:
    """Whether the session still has these images: not closed, not cleared, not expired."""
    return all(HELD.has(token, session_id) for token in images)


class QueryImages:
    """Decoded uploads by an unguessable token.

    A token is valid while the session that made it still has the image, and for the person who
    dropped it. The pixels are not kept alive by it: they belong to the session.

    Parameters
    ----------
    is_held : callable
        Whether a session still has some images, by session and their tokens in the page's address.
    """

    def __init__(self, is_held: IsHeld = _held_by_session) -> None:
        self._is_held = is_held
        self._offers: dict[str, _Offer] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count the tokens, of which some may have died unnoticed."""
        return len(self._offers)

    def offer(
        self, scan: Scan, session_id: str, uploads: Sequence[str], person: str = "local"
    ) -> str:
        """Give the token of an image: the same for the same image in the same session.

        Parameters
        ----------
        scan : Scan
        session_id : str
            Streamlit's.
        uploads : sequence of str
            Tokens of the images that the scan was read from (``SearchRequest.dropped``).
        person : str
            Who dropped it.
        """
        with self._lock:
            self._remove_dead()
            for token, known in self._offers.items():
                if known.session_id == session_id and known.scan() is scan:
                    return token
            token = secrets.token_urlsafe(32)
            self._offers[token] = _Offer(session_id, tuple(uploads), person, ref(scan))
            return token

    def get(self, token: str, person: str = "local") -> Scan | None:
        """Give the image of a token, or None if it has none (any more) for this person."""
        with self._lock:
            known = self._offers.get(token)
            if known is None or known.person != person:
                return None
            if not self._is_held(known.session_id, known.uploads):
                del self._offers[token]
                return None
            return known.scan()

    def _remove_dead(self) -> None:
        dead = [
            token
            for token, known in self._offers.items()
            if known.scan() is None or not self._is_held(known.session_id, known.uploads)
        ]
        for token in dead:
            del self._offers[token]


QUERY_IMAGES = QueryImages()
"""Those of this process: the page offers them, the routes hand them out."""
