"""The noun :class:`ActiveLookup`: a lookup that changes over when the library does."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from medembed.errors import MedEmbedError
from medembed.lookup.case_lookup import CaseLookup
from medembed.model.resolve import choose_model

if TYPE_CHECKING:
    from medembed.attribution.why import HitWhy
    from medembed.library import CaseLibrary
    from medembed.lookup.result import Result
    from medembed.scans import Limits

__all__ = ["ActiveLookup"]

_LOG = logging.getLogger("medembed")
_RETRY_SECONDS = 30.0

T = TypeVar("T")


class ActiveLookup:
    """Searches a library with the model that is active at that time, for as long as it is open.

    A :class:`CaseLookup` keeps the model it was made with, and so compares a query with vectors of
    that model only. This one holds such a lookup. When the library has changed over to another
    model, a second one is made ready beside it (model and index loaded) while searches go on with
    the first, and then takes its place. So every answer is wholly of one model, which
    :attr:`Result.fingerprint` names, and no search waits for a model to load. Safe to use from
    several threads.

    Parameters
    ----------
    library : CaseLibrary
    limits : Limits, optional
        Resource limits of the worker that reads image files.

    Raises
    ------
    ModelError
        If the library has no active model.
    """

    def __init__(self, library: CaseLibrary, *, limits: Limits | None = None) -> None:
        self.library = library
        self._limits = limits
        self._held = CaseLookup(library, limits=limits)
        self._in_use: Counter[CaseLookup] = Counter()
        self._lock = threading.Lock()
        self._changing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failed: tuple[str, float] = ("", 0.0)
        self._closed = False

    def close(self) -> None:
        """Wait for a change in progress and stop the workers that read image files."""
        self._closed = True
        thread = self._thread
        if thread is not None:
            thread.join()
        self._held.close()

    def __enter__(self) -> ActiveLookup:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ActiveLookup({self._held!r})"

    @property
    def current(self) -> CaseLookup:
        """The lookup in use now."""
        return self._held

    def search(self, *args: Any, **named: Any) -> Result:
        """Search as :meth:`CaseLookup.search` does, with the same parameters and errors.

        A search that fails because its model has gone is answered by the active one.
        """
        return self._ask(lambda lookup: lookup.search(*args, **named))

    def why(self, result: Result, rank: int = 1) -> HitWhy:
        """Explain a hit as :meth:`CaseLookup.why` does, by the model that found it.

        Raises
        ------
        ModelError
            If that model is no longer in the library.
        """
        with self._using() as held:
            if held.fingerprint == result.fingerprint:
                return held.why(result, rank)
        with CaseLookup(self.library, result.fingerprint, limits=self._limits) as other:
            return other.why(result, rank)

    def refresh(self) -> None:
        """Change over now if the library has, and wait until it is done.

        Raises
        ------
        MedEmbedError
            If the active model or its index cannot be loaded; the present one stays in use.
        """
        with self._changing:
            choice = choose_model(self.library)
            if choice.fingerprint == self._held.fingerprint:
                return
            made = CaseLookup(self.library, limits=self._limits)
            try:
                _ = made.index
                if choice.folder is not None:
                    made.model.warm_up()
            except BaseException:
                made.close()
                raise
            with self._lock:
                before, self._held = self._held, made
                unused = not self._in_use[before]
            if unused:
                before.close()

    def _ask(self, call: Callable[[CaseLookup], T]) -> T:
        self._follow()
        with self._using() as held:
            try:
                return call(held)
            except MedEmbedError:
                if not self._is_behind(held):
                    raise
        self.refresh()
        with self._using() as held:
            return call(held)

    @contextmanager
    def _using(self) -> Iterator[CaseLookup]:
        """Hold the present lookup; one that was replaced meanwhile is closed by its last user."""
        with self._lock:
            held = self._held
            self._in_use[held] += 1
        try:
            yield held
        finally:
            with self._lock:
                self._in_use[held] -= 1
                over = not self._in_use[held]
                if over:
                    del self._in_use[held]
                over = over and held is not self._held
            if over:
                held.close()

    def _is_behind(self, held: CaseLookup) -> bool:
        with suppress(MedEmbedError):
            return choose_model(self.library).fingerprint != held.fingerprint
        return False

    def _follow(self) -> None:
        """Start to change over in the background if the library has."""
        with suppress(MedEmbedError):  # no active model now: the present one stays in use
            wanted = choose_model(self.library).fingerprint
            failed, when = self._failed
            if wanted == self._held.fingerprint or self._closed:
                return
            if wanted == failed and time.monotonic() - when < _RETRY_SECONDS:
                return
            with self._lock:
                if self._thread is not None and self._thread.is_alive():
                    return
                self._thread = threading.Thread(target=self._change, name="model", daemon=True)
                self._thread.start()

    def _change(self) -> None:
        try:
            self.refresh()
            self._failed = ("", 0.0)
        except MedEmbedError as error:
            with suppress(MedEmbedError):
                self._failed = (choose_model(self.library).fingerprint, time.monotonic())
            _LOG.warning("the active model cannot be loaded, the one before serves on: %s", error)
