"""What the service answers, as frozen dataclasses; ``data`` holds the whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medembed.errors import MedEmbedError

__all__ = ["CaseRecord", "Found", "FoundCase", "ScanRecord", "ServiceError"]


class ServiceError(MedEmbedError):
    """The service refused, failed, or could not be reached.

    Parameters
    ----------
    what : str
        The service's own line, or why it could not be reached.
    status : int
        HTTP status; 0 if there was no answer.
    kind : str
        Tag of the problem, such as ``"busy"``; empty if there was no answer.
    request_id : str
        By which the log of the service can be searched.
    retry_after : float or None
        Seconds after which the service may answer.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        status: int = 0,
        kind: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, where="service")
        self.status = status
        self.kind = kind
        self.request_id = request_id
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        values = (self.what, self.status, self.kind, self.request_id, self.retry_after)
        return (_rebuild, values)

    @classmethod
    def of(
        cls, problem: Mapping[str, Any], status: int, retry_after: float | None = None
    ) -> ServiceError:
        """Read problem details."""
        return cls(
            str(problem.get("detail") or f"status {status}"),
            status=status,
            kind=str(problem.get("type", "")).rpartition(":")[2],
            request_id=str(problem.get("request_id", "")),
            retry_after=retry_after,
        )


def _rebuild(
    what: str, status: int, kind: str, request_id: str, retry_after: float | None
) -> ServiceError:
    return ServiceError(
        what, status=status, kind=kind, request_id=request_id, retry_after=retry_after
    )


@dataclass(frozen=True)
class FoundCase:
    """One case that a search found.

    Parameters
    ----------
    rank : int
        From 1.
    case_id, patient_id : str
        The patient's id is a pseudonym.
    score : float
    percentile : float or None
    modality, sex : str
    age : float or None
    study_date : str or None
        Shifted.
    findings : tuple of str
    note : str or None
    data : dict
        The hit as the service gives it.
    """

    rank: int
    case_id: str
    patient_id: str
    score: float
    percentile: float | None
    modality: str
    sex: str
    age: float | None
    study_date: str | None
    findings: tuple[str, ...]
    note: str | None = field(repr=False)
    data: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> FoundCase:
        """Read a hit."""
        return cls(
            int(data["rank"]),
            str(data["case_id"]),
            str(data["patient_id"]),
            float(data["score"]),
            data["percentile"],
            str(data["modality"]),
            str(data["sex"]),
            data["age"],
            data["study_date"],
            tuple(data["findings"]),
            data["note"],
            data,
        )


@dataclass(frozen=True)
class Found:
    """The answer to a search.

    Parameters
    ----------
    hits : tuple of FoundCase
        Best first.
    model : str
        Fingerprint of the model.
    novelty : str
        ``"unlike"``, ``"like"`` or ``"cannot tell"``.
    notes : tuple of str
        What a reader should know besides the hits.
    own_cases : tuple of str
        Cases that are the query itself.
    data : dict
        The whole answer, as ``medembed search --json`` prints it.
    """

    hits: tuple[FoundCase, ...]
    model: str
    novelty: str
    notes: tuple[str, ...]
    own_cases: tuple[str, ...]
    data: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Found:
        """Read an answer."""
        return cls(
            tuple(FoundCase.of(hit) for hit in data["hits"]),
            str(data["model"]),
            str(data["novelty"]["state"]),
            tuple(data["plan"]["notes"]),
            tuple(data["own_cases"]),
            data,
        )


@dataclass(frozen=True)
class ScanRecord:
    """A scan of a case.

    Parameters
    ----------
    number : int
        From 1.
    modality, view, kind : str
    """

    number: int
    modality: str
    view: str
    kind: str


@dataclass(frozen=True)
class CaseRecord:
    """One case.

    Parameters
    ----------
    case_id, patient_id : str
        The patient's id is a pseudonym.
    study_date : str or None
        Shifted.
    modality, view, sex : str
    age : float or None
    findings : tuple of str
    note : str or None
        Text of the report.
    scans : tuple of ScanRecord
    data : dict
        The case as the service gives it.
    """

    case_id: str
    patient_id: str
    study_date: str | None
    modality: str
    view: str
    sex: str
    age: float | None
    findings: tuple[str, ...]
    note: str | None = field(repr=False)
    scans: tuple[ScanRecord, ...]
    data: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> CaseRecord:
        """Read a case."""
        note = data["note"]
        return cls(
            str(data["case_id"]),
            str(data["patient_id"]),
            data["study_date"],
            str(data["modality"]),
            str(data["view"]),
            str(data["sex"]),
            data["age"],
            tuple(data["findings"]),
            None if note is None else str(note["text"]),
            tuple(
                ScanRecord(int(s["scan"]), str(s["modality"]), str(s["view"]), str(s["kind"]))
                for s in data["scans"]
            ),
            data,
        )
