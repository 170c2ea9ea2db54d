"""The latest audit of the library, as ``medembed audit --out`` wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apps.service.person import Caller
from apps.service.problems import Problem, ProblemKind

__all__ = ["latest_audit"]

_MOST_BYTES = 64 * 2**20
_NONE = "there is no audit here; run medembed audit LIBRARY --out LIBRARY/audit, or give --audit"


def latest_audit(library: Path, place: Path | None, caller: Caller) -> dict[str, Any]:
    """Return what an audit asked and found.

    Parameters
    ----------
    library : Path
        Folder of the library; its ``audit`` is looked into if no place is given.
    place : Path or None
        An ``audit.json``, or the folder that holds one.
    caller : Caller
        An audit counts all cases, so that it is not for somebody who may see only some.

    Raises
    ------
    Problem
        NOT_FOUND.
    """
    if caller.is_restricted:
        raise Problem(ProblemKind.NOT_FOUND, "no audit covers just the cases that you may see")
    file = place or library / "audit"
    if file.is_dir():
        file /= "audit.json"
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError
        held = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda _: None)
        outcomes = held["outcomes"]["table"]
        found = {"stamp": dict(held["stamp"]), "gate": dict(held["gate"]), "outcomes": outcomes}
        if not isinstance(outcomes, list):
            raise TypeError
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise Problem(ProblemKind.NOT_FOUND, _NONE) from None
    return found
