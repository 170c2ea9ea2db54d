"""One request and its answer: connections, retries, errors."""

from __future__ import annotations

import http.client
import json
import math
import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from medembed.client.answers import ServiceError

__all__ = ["Answer", "Body", "Exchange", "JsonBody", "answer_of", "read_json"]

_FRESH_SECONDS = 3.0
"""A connection unused for longer may have been closed by the service, which drops them after 5."""

_LONGEST_WAIT = 30.0
_REFUSED = (429, 503)
"""The service has not begun, and names when it may."""


class Body(Protocol):
    """What a request sends; sent anew by each try."""

    @property
    def content_type(self) -> str:
        """Media type."""

    @property
    def length(self) -> int:
        """Size in bytes."""

    def pieces(self) -> Iterable[bytes]:
        """Give the bytes."""


@dataclass(frozen=True)
class JsonBody:
    """A value in JSON."""

    value: Any
    content_type: str = "application/json"
    text: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            text = json.dumps(self.value, allow_nan=False).encode()
        except (TypeError, ValueError):
            raise ServiceError("the query has a value that JSON cannot hold") from None
        object.__setattr__(self, "text", text)

    @property
    def length(self) -> int:
        """Size in bytes."""
        return len(self.text)

    def pieces(self) -> Iterable[bytes]:
        """Give the bytes."""
        return (self.text,)


@dataclass(frozen=True)
class Answer:
    """An answer without an error."""

    status: int
    content_type: str
    body: bytes = field(repr=False)


class Exchange:
    """Sends requests to one service.

    Parameters
    ----------
    url : str
    token : str
    timeout : float
    retries : int
    """

    def __init__(self, url: str, token: str, timeout: float, retries: int) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.path not in ("", "/")
        ):
            raise ServiceError("the address must be http://host:port or https://host:port")
        if not (math.isfinite(timeout) and timeout > 0) or retries < 0:
            raise ServiceError("the timeout must be positive, and the retries not negative")
        if any(ord(c) < 33 or ord(c) > 126 for c in token):
            raise ServiceError("the token has a blank or a character that no token has")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._host, self._port = parts.hostname, port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._token = token
        self._timeout = timeout
        self._retries = retries
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that wait for a request."""
        with self._lock:
            waiting = [connection for connection, _ in self._idle]
            self._idle.clear()
        for connection in waiting:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """Make a connection, which is opened with the first request."""
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._tls
        )

    def headers(self, accept: str) -> dict[str, str]:
        """Return the headers that every request has."""
        headers = {"Accept": accept, "User-Agent": "medembed-client"}
        return headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {})

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        accept: str = "*/*",
        is_safe: bool = True,
        retries: int | None = None,
    ) -> Answer:
        """Send a request and return its answer.

        Parameters
        ----------
        method, path : str
        body : Body, optional
        accept : str
        is_safe : bool
            Whether it may be sent again although it may have been begun.
        retries : int, optional
            Instead of the client's.

        Raises
        ------
        ServiceError
        """
        left = self._retries if retries is None else retries
        pause = 0.2
        while True:
            try:
                return self._once(method, path, body, accept)
            except ServiceError as error:
                again = error.status in _REFUSED or (error.status == 0 and is_safe)
                again |= error.kind == "not-reached"
                wait = pause if error.retry_after is None else error.retry_after
                if not again or left <= 0 or wait > _LONGEST_WAIT:
                    raise
            left -= 1
            pause *= 2
            time.sleep(wait)

    def _once(self, method: str, path: str, body: Body | None, accept: str) -> Answer:
        connection = self._connection()
        headers = self.headers(accept)
        if body is not None:
            headers |= {"Content-Type": body.content_type, "Content-Length": str(body.length)}
        response: http.client.HTTPResponse | None = None
        try:
            if connection.sock is None:
                try:
                    connection.connect()
                except OSError as error:
                    raise unreachable(error) from None
            # an answer may lie here already if the request was refused before all of it was sent
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, None if body is None else body.pieces(), headers)
            response = connection.getresponse()
            return answer_of(response)
        except (OSError, http.client.HTTPException) as error:
            raise broken(error) from None
        finally:
            if response is not None and response.isclosed() and not response.will_close:
                with self._lock:
                    self._idle.append((connection, time.monotonic()))
            else:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        """Return the connection that was used last, if the service still has it; else a new one."""
        with self._lock:
            connection, used = self._idle.pop() if self._idle else (self.connect(), 0.0)
        if time.monotonic() - used > _FRESH_SECONDS:
            connection.close()  # it is opened again
        return connection


def unreachable(error: OSError) -> ServiceError:
    """Return the error of a service to which no connection could be made."""
    why = (error.strerror or type(error).__name__).lower()
    return ServiceError(f"cannot be reached ({why})", kind="not-reached")


def broken(error: Exception) -> ServiceError:
    """Return the error of a connection that broke."""
    if isinstance(error, TimeoutError):
        return ServiceError("did not answer in time")
    return ServiceError("ended the connection without an answer")


def answer_of(response: http.client.HTTPResponse) -> Answer:
    """Read an answer to its end.

    Raises
    ------
    ServiceError
        If it is an error.
    """
    body = response.read()
    kind = response.headers.get_content_type()
    if response.status < 400:
        return Answer(response.status, kind, body)
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"status {response.status} ({response.reason})"}
    try:
        wait = max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:
        wait = None
    raise ServiceError.of(problem, response.status, wait)


def read_json(answer: Answer) -> Any:
    """Return the JSON of an answer.

    Raises
    ------
    ServiceError
        If it is none: something else answers at this address.
    """
    try:
        return json.loads(answer.body)
    except ValueError:
        raise ServiceError("what answers here is not this service") from None
