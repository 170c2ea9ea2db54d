"""A batch as a stream: queries go out in one thread while the answers are read in another."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from medembed.client.answers import Found, ServiceError
from medembed.client.exchange import Exchange, JsonBody, answer_of, broken, unreachable

__all__ = ["search_lines"]

_NDJSON = "application/x-ndjson"


def search_lines(
    exchange: Exchange, queries: Iterable[Mapping[str, Any]]
) -> Iterator[Found | ServiceError]:
    """Send queries, and yield each answer as it comes.

    The service takes queries no faster than its answers are read, so that both have to go on at the
    same time; a client that first sends everything would wait for ever.
    """
    connection = exchange.connect()
    try:
        try:
            connection.connect()
            connection.putrequest("POST", "/v1/search/batch")
            headers = exchange.headers(_NDJSON)
            headers |= {"Content-Type": _NDJSON, "Transfer-Encoding": "chunked"}
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
        except OSError as error:
            raise unreachable(error) from None
        sender = _Sender(connection, queries)
        sender.start()
        answered = 0
        try:
            for answer in _answers(connection):
                answered += 1
                yield answer
        finally:
            sender.stop()
        if sender.error is not None:
            raise sender.error
        if answered < sender.sent or not sender.is_finished:
            raise ServiceError(f"ended the batch after {answered} answers")
    finally:
        connection.close()


class _Sender(threading.Thread):
    """Sends the queries of a batch, one chunk each."""

    def __init__(
        self, connection: http.client.HTTPConnection, queries: Iterable[Mapping[str, Any]]
    ) -> None:
        super().__init__(name="medembed-batch", daemon=True)
        self._connection = connection
        self._queries = queries
        self._stopped = threading.Event()
        self.error: BaseException | None = None
        self.sent = 0
        self.is_finished = False

    def stop(self) -> None:
        """End the sending; whatever waits for the service fails with its connection."""
        self._stopped.set()
        sock = self._connection.sock
        if self.is_alive() and sock is not None:
            with suppress(OSError):  # closing alone does not wake a sender that waits in the kernel
                sock.shutdown(socket.SHUT_RDWR)
            self._connection.close()
        self.join(timeout=5)

    def run(self) -> None:
        """Send."""
        try:
            for query in self._queries:
                if self._stopped.is_set():
                    return
                self.sent += 1
                self._send(JsonBody(query).text + b"\n")
        except (OSError, http.client.HTTPException, AttributeError):
            return  # the service has ended the batch, which its answers tell
        except BaseException as error:  # noqa: BLE001  of the caller's own iterator
            self.error = error
        self._finish()

    def _send(self, line: bytes) -> None:
        self._connection.send(f"{len(line):x}\r\n".encode() + line + b"\r\n")

    def _finish(self) -> None:
        try:
            self._connection.send(b"0\r\n\r\n")
            self.is_finished = True
        except (OSError, http.client.HTTPException, AttributeError):
            return


def _answers(connection: http.client.HTTPConnection) -> Iterator[Found | ServiceError]:
    try:
        response = connection.getresponse()
        if response.status >= 400:
            answer_of(response)
        while line := response.readline():
            if not line.endswith(b"\n"):
                raise ServiceError("ended the batch in the middle of an answer")
            data = json.loads(line)
            if "error" in data:
                yield ServiceError.of(data["error"], int(data["error"]["status"]))
            else:
                yield Found.of(data["result"])
    except ValueError:
        raise ServiceError("what answers here is not this service") from None
    except (OSError, http.client.HTTPException) as error:
        raise broken(error) from None
