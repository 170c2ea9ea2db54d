"""What the routes share: who may do this, and an answer in JSON."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from apps.service.journaling import Entry
from apps.service.person import Caller, Right, caller_of
from apps.service.problems import Problem, ProblemKind
from apps.service.service import Service

__all__ = ["json_answer", "permitted"]


async def permitted(request: Request, service: Service, right: Right) -> Caller:
    """Return who asks, if they may do this; else write down that they were refused.

    Raises
    ------
    Problem
        FORBIDDEN.
    """
    caller = caller_of(request.scope)
    if caller.may(right):
        return caller
    service.metrics.refused("right")
    await run_in_threadpool(
        service.served.journal.write,
        Entry.REFUSED,
        caller.name,
        details={"right": right.value},
        refused=True,
    )
    raise Problem(ProblemKind.FORBIDDEN, f"your account lacks the permission '{right.value}'")


def json_answer(data: Any) -> Response:
    """Return an answer in JSON, written as the command line writes it."""
    body = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return Response(body, media_type="application/json")
