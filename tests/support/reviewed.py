"""Review sessions for tests: a clock that is set by hand, and readings from start to end."""

from __future__ import annotations

from medembed.library import CaseLibrary
from medembed.reviews import Impression, Reading, ReviewCase, ReviewSession, ReviewStore


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def session_of(
    store: ReviewStore, library: CaseLibrary, n: int, name: str = "Board"
) -> ReviewSession:
    return store.create(name, "creator", [ReviewCase(i) for i in library.find()[:n]])


def stay_open(
    store: ReviewStore, clock: Clock, link: str, case_id: str, reader: str, seconds: float
) -> None:
    """Keep a case open as the page does: seen every ten seconds."""
    store.open_case(link, case_id, reader)
    while seconds > 0:
        step = min(10.0, seconds)
        clock.wait(step)
        store.open_case(link, case_id, reader)
        seconds -= step


def read_case(
    store: ReviewStore,
    clock: Clock,
    link: str,
    case_id: str,
    reader: str,
    first: Impression,
    final: Impression | None = None,
    seconds: tuple[float, float] = (40, 30),
) -> Reading:
    """Read one case to its end."""
    stay_open(store, clock, link, case_id, reader, seconds[0])
    store.write_impression(link, case_id, reader, first)
    store.reveal(link, case_id, reader)
    stay_open(store, clock, link, case_id, reader, seconds[1])
    if final is not None:
        store.revise(link, case_id, reader, final)
    return store.finish(link, case_id, reader)
