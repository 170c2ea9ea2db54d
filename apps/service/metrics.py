"""Metrics for Prometheus, of one process or of all workers together.

Labels are routes, methods, statuses and kinds of queries: nothing that a client chooses.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from medembed.errors import MedEmbedError

if TYPE_CHECKING:
    from apps.service.served import ServedLibrary

__all__ = ["METRICS_TYPE", "SHARED_FOLDER", "Metrics"]

METRICS_TYPE = CONTENT_TYPE_LATEST
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the folder of all workers; read by prometheus_client at its import."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"})


class Metrics:
    """The metrics of one worker, in a registry of its own."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self._requests = Counter(
            "medembed_requests", "Requests answered.", ("method", "route", "status"), registry=own
        )
        self._request_seconds = Histogram(
            "medembed_request_seconds", "Time to answer a request.", ("route",),
            registry=own, buckets=_SECONDS,
        )  # fmt: skip
        self._searches = Counter(
            "medembed_searches", "Searches by the parts of the query.", ("parts", "outcome"),
            registry=own,
        )  # fmt: skip
        self._search_seconds = Histogram(
            "medembed_search_seconds", "Time of a search, its wait included.",
            registry=own, buckets=_SECONDS,
        )  # fmt: skip
        self._refused = Counter(
            "medembed_refused", "Requests and batch lines refused by a limit.", ("limit",),
            registry=own,
        )  # fmt: skip
        self._scans = Counter(
            "medembed_scans_read", "Scans of cases, from memory or decoded.", ("source",),
            registry=own,
        )  # fmt: skip
        self._open = Gauge(
            "medembed_requests_open", "Requests that are being answered.",
            registry=own, multiprocess_mode="livesum",
        )  # fmt: skip

    @contextmanager
    def open_request(self) -> Iterator[None]:
        """Count a request as open."""
        self._open.inc()
        try:
            yield
        finally:
            self._open.dec()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    @contextmanager
    def search(self, parts: str) -> Iterator[None]:
        """Time a search and count how it ended."""
        began, outcome = perf_counter(), "failed"
        try:
            yield
            outcome = "answered"
        finally:
            self._searches.labels(parts, outcome).inc()
            self._search_seconds.observe(perf_counter() - began)

    def refused(self, limit: str) -> None:
        """Count a request that a limit refused."""
        self._refused.labels(limit).inc()

    def scan_read(self, from_memory: bool) -> None:
        """Count a scan that was asked for."""
        self._scans.labels("memory" if from_memory else "file").inc()

    def text(self, served: ServedLibrary) -> bytes:
        """Return all metrics in Prometheus' text format."""
        folder = os.environ.get(SHARED_FOLDER)
        if not folder:
            library = CollectorRegistry()
            library.register(_LibrarySize(served))
            return generate_latest(self._registry) + generate_latest(library)
        for pid in _gone(Path(folder)):
            mark_process_dead(pid)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        registry.register(_LibrarySize(served))
        return generate_latest(registry)


class _LibrarySize(Collector):
    """How large the library is at the time of asking."""

    def __init__(self, served: ServedLibrary) -> None:
        self._served = served

    def collect(self) -> Iterable[Any]:
        """Yield the number of cases, and which model searches them."""
        cases = GaugeMetricFamily("medembed_library_cases", "Cases in the library.")
        cases.add_metric([], len(self._served.library))
        yield cases
        try:
            lookup = self._served.lookup.current
            n_vectors = len(lookup.index.index)
        except MedEmbedError:  # no model yet: nothing to report
            return
        vectors = GaugeMetricFamily("medembed_index_cases", "Cases that a search can find.")
        vectors.add_metric([], n_vectors)
        yield vectors
        model = InfoMetricFamily("medembed_model", "Model that answers.")
        model.add_metric([], {"fingerprint": lookup.fingerprint[:16]})
        yield model


def _gone(folder: Path) -> set[int]:
    """Return the processes that have left a live gauge and are no more."""
    left = (re.fullmatch(r"gauge_live\w+_(\d+)\.db", file.name) for file in folder.glob("*.db"))
    return {int(found[1]) for found in left if found and not _is_alive(int(found[1]))}


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
