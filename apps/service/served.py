"""The noun :class:`ServedLibrary`: one open library with its lookup, as a worker serves it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.service.journaling import Entry, JournalWriter
from apps.service.metrics import Metrics
from apps.service.person import Caller
from apps.service.query import SearchQuery
from apps.service.rows import require_visible, seen_by
from apps.service.scans import ServedScans
from medembed.errors import MedEmbedError
from medembed.library import CaseLibrary
from medembed.notes import read_note

if TYPE_CHECKING:
    from medembed.lookup import ActiveLookup

__all__ = ["ServedLibrary"]

_LOG = logging.getLogger("medembed.service")


class ServedLibrary:
    """One open library with its lookup, scans and journal. Can be used from several threads.

    The lookup follows the library: cases that are added are found by the next search, and a change
    of model takes effect as soon as the other model is loaded.

    Parameters
    ----------
    path : Path
        Folder of the library.
    metrics : Metrics

    Raises
    ------
    LibraryError
        If there is none, or it was not made by MedEmbed.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self.library = CaseLibrary.open(path)
        self.scans = ServedScans(self.library, counted=metrics.scan_read)
        self.journal = JournalWriter(self.library.path)
        self._lookup: ActiveLookup | None = None
        self._lock = threading.Lock()
        self._warm = threading.Event()
        self._warming: threading.Thread | None = None

    def start(self) -> None:
        """Load the model and the index in the background, unless that is done or under way."""
        with self._lock:
            running = self._warming is not None and self._warming.is_alive()
            if not running and not self.is_warm:
                self._warming = threading.Thread(target=self._load, name="model", daemon=True)
                self._warming.start()

    def close(self) -> None:
        """Stop the worker processes and close the library."""
        if self._warming is not None:
            self._warming.join()
        self.scans.close()
        if self._lookup is not None:
            self._lookup.close()
        self.journal.close()
        self.library.close()

    @property
    def is_warm(self) -> bool:
        """Whether the model and the index are loaded."""
        return self._warm.is_set()

    @property
    def lookup(self) -> ActiveLookup:
        """The lookup, with the model that is active.

        Raises
        ------
        ModelError
            If the library has no active model.
        """
        with self._lock:
            if self._lookup is None:
                from medembed.lookup import ActiveLookup

                self._lookup = ActiveLookup(self.library)
            return self._lookup

    def check(self) -> None:
        """Check that a search could be answered now.

        Raises
        ------
        MedEmbedError
            If the library cannot be read, or has no model or no vectors.
        """
        _ = "" in self.library
        _ = self.lookup.current.index

    def _load(self) -> None:
        try:
            from medembed.model.resolve import choose_model

            lookup = self.lookup.current
            _ = lookup.index
            if choose_model(self.library).folder is not None:  # else vectors came without a model
                lookup.model.encode_notes(["chest"])
                read_note("no rib")  # loads what tells languages apart
                lookup.model.warm_up()
            self._warm.set()
        except MedEmbedError as error:  # each search tries again, and answers why it fails
            _LOG.warning("the library cannot be searched yet: %s", type(error).__name__)

    def search(
        self, asked: SearchQuery, caller: Caller, files: Sequence[Path] = ()
    ) -> dict[str, Any]:
        """Search, write it down, and return the answer as ``medembed search --json`` prints it.

        Parameters
        ----------
        asked : SearchQuery
        caller : Caller
            Whose conditions every hit meets.
        files : sequence of Path
            Files of the query's images.

        Raises
        ------
        Problem
            If it names a case that is not there.
        MedEmbedError
            If the query is not valid, or the library cannot be searched now.
        """
        require_visible(self.library, caller, asked.named_cases)
        lookup = self.lookup
        result = lookup.search(
            image=list(files) or None, **asked.arguments(), where=(*asked.where, *caller.where)
        )
        data = seen_by(caller, self.library, result)
        images = len(result.asked.of_kind("image")) if result.asked is not None else 0
        # where the upload lay for a moment says nothing
        data["query"]["image"] = [None, "scan"][images] if images < 2 else ["scan"] * images
        if asked.why is not None:
            explained = lookup.why(result, asked.why)
            data["explained"] = {"rank": asked.why, **explained.to_json()}
        self._write_down(asked, caller, images, data)
        return data

    def _write_down(
        self, asked: SearchQuery, caller: Caller, images: int, data: dict[str, Any]
    ) -> None:
        details: dict[str, str | int | float] = {
            "parts": asked.kind(images),
            "conditions": len(asked.where),
            "k": asked.k,
            "model": str(data["model"])[:16],
        }
        self.journal.write(Entry.QUERY, caller.name, asked.named_cases, details)
        shown = [hit["case_id"] for hit in data["hits"]]
        for patient in data["patients"]:
            shown += [*patient["others"], *(prior["case_id"] for prior in patient["priors"])]
        shown += [name for hit in data["hits"] for name in hit["same_image"]]
        cases = list(dict.fromkeys([*shown, *data["own_cases"]]))
        self.journal.write(Entry.SHOWN, caller.name, cases, {"hits": len(data["hits"])})
