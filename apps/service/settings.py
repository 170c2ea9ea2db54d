"""The noun :class:`ServiceSettings`: what one service serves, and its limits."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from medembed.errors import InputError

__all__ = ["ServiceSettings"]

_VARIABLE = "MEDEMBED_SERVICE"
_PATHS = ("library", "audit", "access", "run_folder")


@dataclass(frozen=True)
class ServiceSettings:
    """What one service serves, and its limits. Each limit is of one worker, the rate of all.

    Parameters
    ----------
    library : Path
        Folder of the library.
    host : str
        Address to listen on.
    port : int
    workers : int
        Processes that answer requests.
    audit : Path or None
        Folder or ``audit.json`` of the audit to serve; None is ``audit/`` in the library.
    access : Path or None
        File that says who may see what; None is that of the library's folder, and without one a
        single person on this machine, who may see all.
    no_login : bool
        Whether everybody who can reach the service may see all.
    accept_vectors : bool
        Whether a query may be a vector. Whoever may search by vectors of their own choice can work
        out those of the cases from the scores.
    rate : float
        Requests and batch lines a second for each client; 0 is no limit.
    searches : int
        Searches at a time.
    queue : int
        Searches that may wait for one to end.
    seconds : float
        Longest time of one search or picture, its wait included.
    max_k : int
        Most hits of one search.
    max_lines : int
        Most lines of one batch.
    max_query_bytes : int
        Largest JSON of one query, which is also the longest line of a batch.
    max_upload_bytes : int
        Largest upload, all its files together.
    max_files : int
        Most files of one upload.
    run_folder : Path or None
        Folder that the workers share for the rate and the metrics; None keeps both to one process.
    """

    library: Path
    host: str = "127.0.0.1"
    port: int = 8600
    workers: int = 1
    audit: Path | None = None
    access: Path | None = None
    no_login: bool = False
    accept_vectors: bool = False
    rate: float = 100.0
    searches: int = 4
    queue: int = 32
    seconds: float = 60.0
    max_k: int = 200
    max_lines: int = 10_000
    max_query_bytes: int = 2**20
    max_upload_bytes: int = 2**29
    max_files: int = 2_000
    run_folder: Path | None = None

    def __post_init__(self) -> None:
        whole = ("workers", "searches", "max_k", "max_lines", "max_query_bytes", "max_files")
        for name in whole:
            if getattr(self, name) < 1:
                raise InputError("must be at least 1", where=name)
        if self.queue < 0 or self.max_upload_bytes < 1:
            raise InputError("the queue or the size of an upload is negative", where="limits")
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise InputError("must be a number of requests a second, or 0", where="rate")
        if not 0 < self.seconds <= 3600:
            raise InputError("must be between 0 and an hour", where="seconds")

    def to_environment(self) -> dict[str, str]:
        """Return the variable from which a worker process reads the settings."""
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {_VARIABLE: json.dumps(plain)}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServiceSettings:
        """Read the settings that :meth:`to_environment` wrote.

        Raises
        ------
        InputError
            If this process was not started by ``medembed serve``.
        """
        try:
            given = json.loads(environment[_VARIABLE])
        except (KeyError, ValueError):
            raise InputError(
                "the service has no settings", hint="start it with medembed serve LIBRARY"
            ) from None
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in given.items() if name in known}
        for name in _PATHS:
            values[name] = None if values.get(name) is None else Path(values[name])
        return cls(**values)
