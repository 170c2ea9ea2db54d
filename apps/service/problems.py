"""Errors as RFC 9457 problem details: one plain line, no patient's value, no path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from medembed.errors import (
    FingerprintError,
    IndexServerError,
    InputError,
    LibraryError,
    MedEmbedError,
    ModelError,
    ScanError,
)

__all__ = [
    "PROBLEM_TYPE",
    "Problem",
    "ProblemKind",
    "invalid",
    "problem_of",
    "problem_response",
]

PROBLEM_TYPE = "application/problem+json"
_LONGEST_NAME = 60


class ProblemKind(Enum):
    """What went wrong: name for programs, HTTP status, title for people."""

    BAD_REQUEST = ("bad-request", 400, "The request cannot be read")
    NO_LOGIN = ("no-login", 401, "Log in first")
    FORBIDDEN = ("forbidden", 403, "You may not do this")
    NOT_FOUND = ("not-found", 404, "Not found")
    NOT_ALLOWED = ("method-not-allowed", 405, "This address does not take this method")
    NOT_ACCEPTABLE = ("not-acceptable", 406, "No such format")
    TOO_SLOW = ("upload-too-slow", 408, "The request took too long to arrive")
    TOO_LARGE = ("too-large", 413, "The request is too large")
    WRONG_TYPE = ("unsupported-type", 415, "This content type is not supported")
    INVALID = ("invalid", 422, "The query is not valid")
    TOO_MANY = ("too-many-requests", 429, "Too many requests")
    FAULT = ("internal-error", 500, "Internal error")
    BUSY = ("busy", 503, "Too many searches at a time")
    LATE = ("too-late", 503, "The search took too long")
    NOT_READY = ("not-ready", 503, "The library cannot be searched now")

    def __init__(self, tag: str, status: int, title: str) -> None:
        self.tag = tag
        self.status = status
        self.title = title

    @property
    def type(self) -> str:
        """The problem's ``type``: names the kind, and leads nowhere."""
        return f"urn:medembed:problem:{self.tag}"


class Problem(Exception):  # noqa: N818  an answer, not a fault
    """A request that cannot be answered.

    Parameters
    ----------
    kind : ProblemKind
    detail : str
        One plain line: what, and what to do.
    retry_after : int, optional
        Seconds after which the same request may succeed.
    headers : mapping, optional
        More headers of the answer.
    """

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = " ".join(detail.split())
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, retry_after))

    def to_json(self, request_id: str = "") -> dict[str, Any]:
        """Return the members of RFC 9457, and the id of the request."""
        data: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        return {**data, "request_id": request_id} if request_id else data


def problem_response(problem: Problem, request_id: str) -> Response:
    """Return the answer for a problem."""
    body = json.dumps(problem.to_json(request_id), ensure_ascii=False)
    return Response(body, problem.kind.status, problem.headers, PROBLEM_TYPE)


def problem_of(error: MedEmbedError) -> Problem:
    """Return the problem for an error of the library; paths stay out of it."""
    if isinstance(error, ScanError):  # its place is a path, which may name a patient
        line = f"{error.what}; {error.hint}" if error.hint else error.what
        kind = ProblemKind.TOO_LARGE if error.reason == "too-large" else ProblemKind.INVALID
        return Problem(kind, line)
    if isinstance(error, ModelError | FingerprintError | LibraryError | IndexServerError):
        return Problem(ProblemKind.NOT_READY, _without_place(error), retry_after=30)
    if isinstance(error, InputError):
        return Problem(ProblemKind.INVALID, str(error))
    return Problem(ProblemKind.FAULT, "an internal error; the log of the service names its place")


def _without_place(error: MedEmbedError) -> str:
    return f"{error.what}; {error.hint}" if error.hint else error.what


def invalid(error: ValidationError) -> Problem:
    """Return the problem for JSON that does not fit: its first fault, without the value given."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind = ProblemKind.BAD_REQUEST if first["type"] == "json_invalid" else ProblemKind.INVALID
    what = str(first["msg"])
    place = _place(first["loc"])
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more and kind is ProblemKind.INVALID else ""
    return Problem(kind, f"{place}: {what}{tail}" if place else f"{what}{tail}")


def _place(loc: Sequence[int | str]) -> str:
    """Name a field: its own name, and the number of an entry; not the branches of a union."""
    if not loc:
        return ""
    named = [str(loc[0]), *(str(part) for part in loc[1:] if isinstance(part, int))]
    plain = "".join(c if c.isprintable() else "?" for c in ".".join(named))
    return plain if len(plain) <= _LONGEST_NAME else plain[: _LONGEST_NAME - 1] + "…"
