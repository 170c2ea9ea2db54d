"""Batch search: queries in as NDJSON, answers out in their order, as they are found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from apps.service.bodies import body_lines, too_large
from apps.service.problems import Problem, ProblemKind
from apps.service.settings import ServiceSettings

__all__ = ["NDJSON", "BatchResponse"]

NDJSON = "application/x-ndjson"
_AHEAD = 4
"""Queries of one batch that are searched at a time."""

_UNREAD_SECONDS = 60.0
"""How long a client may leave its answers unread; its queries are not read meanwhile."""

Answer = Callable[[bytes], Awaitable[dict[str, Any]]]


class BatchResponse(Response):
    """Answers each line of the request by a line of JSON: ``line`` and ``result`` or ``error``.

    Starlette's streaming response reads the request while it sends, to notice a client that is
    gone; here the body is still coming in, and would be lost to that.

    Parameters
    ----------
    request : Request
    settings : ServiceSettings
    answer : callable
        Searches for one line; raises :class:`Problem`.
    """

    media_type = NDJSON

    def __init__(self, request: Request, settings: ServiceSettings, answer: Answer) -> None:
        super().__init__(media_type=NDJSON)
        del self.headers["content-length"]
        self._request = request
        self._settings = settings
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answers."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        lines = self._lines()
        try:
            async for line in lines:
                body = json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
                async with asyncio.timeout(_UNREAD_SECONDS):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (ClientDisconnect, OSError):
            pass  # gone; TimeoutError is one, too: the server cuts an answer that is not finished
        finally:
            await lines.aclose()

    async def _lines(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the answers in order, a few searches ahead of the client."""
        ahead: asyncio.Queue[asyncio.Task[dict[str, Any]] | None] = asyncio.Queue(_AHEAD)
        tasks: set[asyncio.Task[Any]] = set()
        reading = asyncio.create_task(self._read(ahead, tasks))
        try:
            while (answering := await ahead.get()) is not None:
                yield await answering
                tasks.discard(answering)
            await reading
        finally:
            for task in (reading, *tasks):
                task.cancel()
            await asyncio.gather(reading, *tasks, return_exceptions=True)

    async def _read(
        self,
        ahead: asyncio.Queue[asyncio.Task[dict[str, Any]] | None],
        tasks: set[asyncio.Task[Any]],
    ) -> None:
        """Begin a search for each line, as long as there is room; then put None."""

        async def begin(answer: Coroutine[Any, Any, dict[str, Any]]) -> None:
            task = asyncio.create_task(answer)
            tasks.add(task)
            await ahead.put(task)

        number = 0
        try:
            async for line in body_lines(self._request, self._settings.max_query_bytes):
                number += 1
                if number > self._settings.max_lines:
                    most = self._settings.max_lines
                    raise Problem(ProblemKind.TOO_LARGE, f"the limit is {most} lines a batch")
                if line is None or line.strip():
                    await begin(self._one(number, line))
        except Problem as problem:  # of the body as a whole
            await begin(_refused(max(1, number), problem))
        except Exception:  # also a client that is gone; but a cancelled reader has no one to tell
            await ahead.put(None)
            raise
        await ahead.put(None)

    async def _one(self, number: int, line: bytes | None) -> dict[str, Any]:
        try:
            if line is None:
                raise too_large(self._settings.max_query_bytes)
            return {"line": number, "result": await self._answer(line)}
        except Problem as problem:
            return {"line": number, "error": problem.to_json()}


async def _refused(number: int, problem: Problem) -> dict[str, Any]:
    return {"line": number, "error": problem.to_json()}
