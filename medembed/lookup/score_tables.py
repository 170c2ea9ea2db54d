"""The measured scores of a library's own queries, kept for each model beside its index."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from medembed.errors import InputError
from medembed.index.library_index import WORTH_FOLDER
from medembed.index.sealed_files import read_sealed, write_sealed
from medembed.library.locks import writer_lock
from medembed.lookup.score_curve import Percentiles, ShareCurve

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.library import CaseLibrary

__all__ = ["KindScores", "QueryKind", "ScoreTables", "tables_folder"]

_FORMAT = 1
_PATIENCE_SECONDS = 60.0


class QueryKind(StrEnum):
    """Kinds of query whose scores are measured, each by itself: their heights differ."""

    IMAGE = "image"
    CASE = "case"
    REPORT = "report"
    WORDS = "words"
    """A few words, all of which name findings."""
    SENTENCE = "sentence"
    """Names findings in words that are also looked up in the notes."""
    IMAGE_AND_REPORT = "image+report"
    IMAGE_AND_WORDS = "image+words"
    IMAGE_AND_SENTENCE = "image+sentence"


@dataclass(frozen=True, eq=False)
class KindScores:
    """Scores of the queries of one kind.

    Parameters
    ----------
    percentiles : Percentiles
        Of the scores of all queries with cases of other patients.
    curve : ShareCurve
        Of the hits of the queries that state a finding; empty if these are too few.
    any_case : float or None
        Share of all cases that share a finding with such a query: what chance gives.
    n_queries : int
        Queries in the percentiles, one a patient.
    n_with_finding : int
        Queries in the curve, one a patient.
    """

    percentiles: Percentiles = field(default_factory=Percentiles)
    curve: ShareCurve = field(default_factory=ShareCurve)
    any_case: float | None = None
    n_queries: int = 0
    n_with_finding: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "percentiles": self.percentiles.to_json(),
            "curve": self.curve.to_json(),
            "any_case": None if self.any_case is None else round(self.any_case, 6),
            "n_queries": self.n_queries,
            "n_with_finding": self.n_with_finding,
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> KindScores:
        """Read what :meth:`to_json` gave."""
        any_case = data["any_case"]
        return cls(
            Percentiles(**_arrays(data["percentiles"])),
            ShareCurve(**_arrays(data["curve"])),
            None if any_case is None else float(any_case),
            int(data["n_queries"]),
            int(data["n_with_finding"]),
        )


@dataclass(frozen=True, eq=False)
class ScoreTables:
    """What the last evaluation says about scores.

    Parameters
    ----------
    kinds : mapping of QueryKind to KindScores
    day : str
        ISO date of the evaluation; empty if there was none.
    n_cases : int
        Cases with an image vector at that time.
    revision : str
        Of the library's vectors at that time.
    """

    kinds: Mapping[QueryKind, KindScores] = field(default_factory=dict)
    day: str = ""
    n_cases: int = 0
    revision: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the number of queries by kind, those with a finding, and what chance gives."""
        return {
            "day": self.day or None,
            "kinds": {
                str(kind): {
                    "n_queries": each.n_queries,
                    "n_with_finding": each.n_with_finding,
                    "any_case": None if each.any_case is None else round(each.any_case, 4),
                    "curve": each.curve.to_json(),
                }
                for kind, each in self.kinds.items()
            },
        }

    def save(self, library: CaseLibrary, fingerprint: str) -> None:
        """Write them into the library's folder, signed with its key."""
        folder = tables_folder(library, fingerprint)
        head = {
            "format": _FORMAT,
            "fingerprint": fingerprint,
            "kinds": {str(kind): each.to_json() for kind, each in self.kinds.items()},
            "day": self.day,
            "n_cases": self.n_cases,
            "revision": self.revision,
        }
        folder.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
        lock = folder.parent.with_name(f".{WORTH_FOLDER}.lock")
        with writer_lock(lock, "measuring scores", _PATIENCE_SECONDS):
            write_sealed(folder, head, {}, library.key)

    @classmethod
    def load(cls, library: CaseLibrary, fingerprint: str) -> ScoreTables:
        """Read the last tables of a model; empty ones if there are none or they are damaged."""
        try:
            head, _ = read_sealed(tables_folder(library, fingerprint), library.key)
            if head["format"] != _FORMAT or head["fingerprint"] != fingerprint:
                return cls()
            kinds = {QueryKind(k): KindScores.of_json(each) for k, each in head["kinds"].items()}
            return cls(kinds, str(head["day"]), int(head["n_cases"]), str(head["revision"]))
        except (InputError, OSError, KeyError, TypeError, ValueError):
            return cls()


def tables_folder(library: CaseLibrary, fingerprint: str) -> Path:
    """Return where the tables of a model are kept."""
    safe = re.fullmatch(r"[0-9A-Za-z][\w-]{0,100}", fingerprint, re.ASCII)
    name = fingerprint if safe else hashlib.sha256(fingerprint.encode()).hexdigest()
    return library.path / "index" / WORTH_FOLDER / name


def _arrays(data: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): np.array(values, dtype=np.float64) for name, values in data.items()}
