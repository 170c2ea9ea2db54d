"""The routes of searching: one query, or many as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from apps.service.answers import SearchAnswer
from apps.service.asking import json_answer, permitted
from apps.service.batch import NDJSON, BatchResponse
from apps.service.bodies import media_type, whole_body
from apps.service.description import BATCH_BODY, QUERY_BODY, problems
from apps.service.envelope import client_of
from apps.service.person import Caller, Right
from apps.service.problems import Problem, ProblemKind, problem_of
from apps.service.query import SearchQuery, read_query
from apps.service.service import Service, service_of
from apps.service.uploads import Upload
from medembed.errors import MedEmbedError

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["search"])

_BODY_SECONDS = 30.0


@router.post(
    "/search",
    summary="Find the most similar past cases",
    responses={200: {"model": SearchAnswer}, **problems(400, 403, 404, 408, 413, 415, 422, 503)},
    openapi_extra=QUERY_BODY,
)
async def search(request: Request) -> Response:
    """Search by text, case, image, or a combination: as `medembed search --json`.

    An image is uploaded as `multipart/form-data` with parts `image` (DICOM, PNG, JPEG or NIfTI;
    several DICOM files are one series) and, if there is more to say, one part `query` with the
    JSON. Uploads are decoded in a process that can open nothing else, and removed with the request.
    Cases of the query's own patient are never among the hits.
    """
    service = service_of(request)
    caller = await permitted(request, service, Right.SEARCH)
    settings = service.settings
    kind = media_type(request)
    if kind == "application/json":
        raw = await whole_body(request, settings.max_query_bytes, _BODY_SECONDS)
        return json_answer(await _answer(service, caller, read_query(raw, settings)))
    if kind == "multipart/form-data":
        async with Upload(request, settings) as upload:
            asked = read_query(upload.query, settings)
            return json_answer(await _answer(service, caller, asked, upload.files))
    raise Problem(
        ProblemKind.WRONG_TYPE, "send application/json, or multipart/form-data with an image"
    )


@router.post(
    "/search/batch",
    summary="Search for many queries, as a stream",
    responses={
        200: {"description": "One line of JSON for each query, in order.", "content": {NDJSON: {}}},
        **problems(403, 415),
    },
    openapi_extra=BATCH_BODY,
)
async def search_batch(request: Request) -> Response:
    """Search for each line of the body, and send each answer as soon as it is found.

    A line is the JSON of one search. Its answer is a line `{"line": 1, "result": …}`, or
    `{"line": 1, "error": …}` with a problem, and the rest goes on. Read the answers while you
    send: queries are taken no faster than answers are read.
    """
    service = service_of(request)
    caller = await permitted(request, service, Right.SEARCH)
    if media_type(request) not in (NDJSON, "application/jsonl", "application/ndjson"):
        raise Problem(ProblemKind.WRONG_TYPE, f"send {NDJSON}: one query a line")

    async def answer(line: bytes) -> dict[str, Any]:
        while wait := service.buckets.take(client_of(request.scope)):
            await asyncio.sleep(wait)
        try:
            return await _answer(service, caller, read_query(line, service.settings), patient=True)
        except MedEmbedError as error:
            raise problem_of(error) from None

    return BatchResponse(request, service.settings, answer)


async def _answer(
    service: Service,
    caller: Caller,
    asked: SearchQuery,
    files: Sequence[Path] = (),
    *,
    patient: bool = False,
) -> dict[str, Any]:
    try:
        with service.metrics.search(asked.kind(len(files))):
            return await service.searches.run(
                lambda: service.served.search(asked, caller, files), patient=patient
            )
    except Problem as problem:
        if problem.kind in (ProblemKind.BUSY, ProblemKind.LATE):
            service.metrics.refused(problem.kind.tag)
        raise
