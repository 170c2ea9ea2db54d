"""The bodies of requests: bounded in size and time, whole or line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from apps.service.problems import Problem, ProblemKind

__all__ = ["body_lines", "media_type", "whole_body"]

_IDLE_SECONDS = 30.0
"""Longest pause within a body; a client that sends a byte now and then does not hold a worker."""

_SHOWN = 20


def media_type(request: Request) -> str:
    """Return the media type of the body in lower case, without parameters.

    Raises
    ------
    Problem
        WRONG_TYPE if the body is compressed: a few bytes could become gigabytes.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(ProblemKind.WRONG_TYPE, "send the body without Content-Encoding")
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def too_large(most: int) -> Problem:
    """Return the problem of a body that is larger than allowed."""
    size = f"{most / 2**20:g} MiB" if most >= 2**20 else f"{most} bytes"
    return Problem(ProblemKind.TOO_LARGE, f"the limit is {size}")


def check_length(request: Request, most: int) -> None:
    """Refuse a body that says itself that it is too large, before any of it is read."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > _SHOWN or int(length) > most):
        raise too_large(most)


async def chunks(request: Request, most: int, seconds: float) -> AsyncIterator[bytes]:
    """Yield the body as it comes.

    Parameters
    ----------
    request : Request
    most : int
        Bytes.
    seconds : float
        For the whole body; infinite to bound the pauses alone.

    Raises
    ------
    Problem
        TOO_LARGE or TOO_SLOW.
    """
    check_length(request, most)
    loop = asyncio.get_running_loop()
    end, total = loop.time() + seconds, 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout_at(min(end, loop.time() + _IDLE_SECONDS)):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise Problem(ProblemKind.TOO_SLOW, "send the body without long pauses") from None
        if chunk is None:
            return
        total += len(chunk)
        if total > most:
            raise too_large(most)
        if chunk:
            yield chunk


async def whole_body(request: Request, most: int, seconds: float) -> bytes:
    """Return the whole body.

    Raises
    ------
    Problem
        TOO_LARGE or TOO_SLOW.
    """
    return b"".join([chunk async for chunk in chunks(request, most, seconds)])


async def body_lines(request: Request, longest: int) -> AsyncIterator[bytes | None]:
    """Yield the lines of a body as they come, without their ends; None for one that is too long.

    A line that is too long is read to its end and not kept. No more is read from the client than
    is asked for here.
    """
    left, skipping = bytearray(), False
    async for chunk in chunks(request, 2**63, float("inf")):
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            left += b"" if skipping else chunk[start:end]
            yield None if skipping or len(left) > longest else bytes(left).rstrip(b"\r")
            left.clear()
            skipping, start = False, end + 1
        if not skipping:
            left += chunk[start:]
        if len(left) > longest:
            left.clear()
            skipping = True
    if skipping or left:
        yield None if skipping else bytes(left).rstrip(b"\r")
