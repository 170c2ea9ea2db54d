"""The routes of reviews, audit, health and metrics, and the page that lists all routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse

from apps.service.answers import AuditAnswer, HealthAnswer, ReviewAnswer, ReviewList
from apps.service.asking import json_answer, permitted
from apps.service.audits import latest_audit
from apps.service.description import STYLE, docs_page, problems
from apps.service.journaling import Entry
from apps.service.metrics import METRICS_TYPE
from apps.service.person import Right
from apps.service.problems import Problem, ProblemKind
from apps.service.reviews import list_reviews, one_review
from apps.service.service import service_of
from medembed.errors import MedEmbedError

__all__ = ["router"]

router = APIRouter()


@router.get(
    "/v1/reviews",
    tags=["reviews"],
    summary="Review sessions",
    responses={200: {"model": ReviewList}, **problems(403, 503)},
)
async def reviews(request: Request) -> Response:
    """List the review sessions that you made or read in, the newest first."""
    service = service_of(request)
    caller = await permitted(request, service, Right.REVIEW)

    def read() -> dict[str, Any]:
        found = list_reviews(service.served.library, caller)
        service.served.journal.write(Entry.REVIEW, caller.name, details={"listed": len(found)})
        return {"reviews": found}

    return json_answer(await service.pictures.run(read))


@router.get(
    "/v1/reviews/{link}",
    tags=["reviews"],
    summary="One review session, its readings and measures",
    responses={200: {"model": ReviewAnswer}, **problems(403, 404, 422, 503)},
)
async def review(
    request: Request,
    link: Annotated[str, Path(description="The session's link.", max_length=100)],
) -> Response:
    """Return a review session: cases, readings, times, revisions and agreement.

    What others wrote about a case is shown to a reader of the session once the reader has finished
    that case, and the measures once all are finished.
    """
    service = service_of(request)
    caller = await permitted(request, service, Right.REVIEW)

    def read() -> dict[str, Any]:
        found = one_review(service.served.library, caller, link)
        cases = [case["case_id"] for case in found["review"]["cases"]]
        service.served.journal.write(Entry.REVIEW, caller.name, cases)
        return found

    return json_answer(await service.pictures.run(read))


@router.get(
    "/v1/audit",
    tags=["audit"],
    summary="The latest audit",
    responses={200: {"model": AuditAnswer}, **problems(403, 404, 503)},
)
async def audit(request: Request) -> Response:
    """Return the latest audit of this library: how its search treats each group of patients."""
    service = service_of(request)
    caller = await permitted(request, service, Right.AUDIT)

    def read() -> dict[str, Any]:
        found = latest_audit(service.served.library.path, service.settings.audit, caller)
        service.served.journal.write(Entry.AUDIT, caller.name)
        return found

    return json_answer(await service.pictures.run(read))


@router.get(
    "/healthz",
    tags=["service"],
    summary="Whether the process answers",
    responses={200: {"model": HealthAnswer}},
)
async def healthz() -> Response:
    """Answer, without a login and without a look at the library."""
    return json_answer({"status": "ok"})


@router.get(
    "/readyz",
    tags=["service"],
    summary="Whether a search would be answered now",
    responses={200: {"model": HealthAnswer}, **problems(503)},
)
async def readyz(request: Request) -> Response:
    """Say whether the library can be read and its model is loaded, without a login."""
    served = service_of(request).served
    if not served.is_warm:
        served.start()  # anew, if the library had no model before
        raise Problem(ProblemKind.NOT_READY, "the model is not loaded", retry_after=2)
    try:
        await run_in_threadpool(served.check)
    except MedEmbedError:  # its line could tell a stranger something of the library
        raise Problem(
            ProblemKind.NOT_READY, "the library cannot be searched", retry_after=10
        ) from None
    return json_answer({"status": "ready"})


@router.get(
    "/metrics",
    tags=["service"],
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "Of all workers together."},
        **problems(403),
    },
)
async def metrics(request: Request) -> Response:
    """Return counts and times of requests and searches by route, and the size of the library."""
    service = service_of(request)
    await permitted(request, service, Right.METRICS)
    text = await run_in_threadpool(service.metrics.text, service.served)
    return Response(text, headers={"content-type": METRICS_TYPE})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """Return a page with all routes; it loads nothing from elsewhere and runs no script."""
    return HTMLResponse(docs_page(request.app.openapi()))


@router.get("/docs/style.css", include_in_schema=False)
async def style() -> Response:
    """Return the page's style."""
    return Response(STYLE, media_type="text/css")
