"""The noun :class:`Client`: one service, asked over HTTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from medembed.client.answers import CaseRecord, Found, ServiceError
from medembed.client.exchange import Exchange, JsonBody, read_json
from medembed.client.form import FormBody
from medembed.client.stream import search_lines

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Client"]

Texts = str | Sequence[str] | None


class Client:
    """Asks one service. Safe to use from several threads.

    A call that only reads is tried again if the connection breaks, or the service says that it is
    busy. A search is tried again only if the service has not begun it.

    Parameters
    ----------
    url : str
        ``http://host:port``, as ``medembed serve`` prints it.
    token : str
        Of a service that asks for one.
    timeout : float
        Seconds without a byte after which a call fails.
    retries : int
        How often a call is tried again.

    Examples
    --------
    >>> with Client("http://127.0.0.1:8600") as service:  # doctest: +SKIP
    ...     found = service.search("right pleural effusion", where=["age>=60"])
    ...     service.thumbnail(found.hits[0].case_id)
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8600",
        *,
        token: str = "",
        timeout: float = 60.0,
        retries: int = 2,
    ) -> None:
        self._exchange = Exchange(url, token, timeout, retries)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._exchange.url!r})"

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._exchange.close()

    # searching

    def search(
        self,
        text: Texts = None,
        *,
        image: str | Path | Sequence[str | Path] | None = None,
        case: Texts = None,
        where: Sequence[str] = (),
        k: int = 10,
        **options: Any,
    ) -> Found:
        """Find the most similar cases: give a text, an image, a case, or several of them.

        Parameters
        ----------
        text : str or sequence of str, optional
        image : path or sequence of paths, optional
            DICOM, PNG, JPEG or NIfTI; several DICOM files are one series. Their names are not sent.
        case : str or sequence of str, optional
            Id of a case of the library.
        where : sequence of str
            Conditions that all hold: ``["sex=F", "age>=60"]``.
        k : int
        **options
            The others of :class:`medembed.lookup.CaseLookup.search`, under their names: weights,
            against, region, like, unlike, literal, per_patient, diversity, bm25, ignore, rerank,
            vector; and why, the rank of the hit to explain.

        Raises
        ------
        ServiceError
            If the service refuses the query or cannot be reached.
        """
        query = as_query(text=text, case=case, where=where, k=k, **options)
        if image is None:
            body: JsonBody | FormBody = JsonBody(query)
        else:
            files = [image] if isinstance(image, str | Path) else list(image)
            body = FormBody(query, [Path(file) for file in files])
        answer = self._exchange.ask("POST", "/v1/search", body=body, is_safe=False)
        return Found.of(read_json(answer))

    def search_many(
        self, queries: Iterable[str | Mapping[str, Any]]
    ) -> Iterator[Found | ServiceError]:
        """Search for many queries as a stream; yields the answers in their order.

        Parameters
        ----------
        queries : iterable of str or mapping
            A text, or the arguments of :meth:`search` but image. Taken as the service needs them,
            in a thread of its own.

        Yields
        ------
        Found or ServiceError
            One for each query: one that is refused does not end the others.

        Raises
        ------
        ServiceError
            If the service cannot be reached, or stops in between.
        """
        asked = (as_query(**({"text": q} if isinstance(q, str) else q)) for q in queries)
        return search_lines(self._exchange, asked)

    # cases

    def case(self, case_id: str) -> CaseRecord:
        """Return one case.

        Raises
        ------
        ServiceError
            With status 404 if there is none, or it may not be seen.
        """
        return CaseRecord.of(read_json(self._exchange.ask("GET", _case(case_id))))

    def thumbnail(self, case_id: str) -> bytes:
        """Return a PNG of a case, at most 360 pixels a side."""
        return self._exchange.ask("GET", f"{_case(case_id)}/thumbnail").body

    def frame(
        self,
        case_id: str,
        scan: int = 1,
        frame: int = 1,
        *,
        window: str = "",
        size: int = 1400,
        invert: bool = False,
        jpeg: bool = False,
    ) -> bytes:
        """Return one frame as PNG or JPEG.

        Parameters
        ----------
        case_id : str
        scan, frame : int
            From 1.
        window : str
            ``"center,width"``, or a preset such as ``"lung"``; empty for the scan's own.
        size : int
            Most pixels a side.
        invert : bool
        jpeg : bool
        """
        query = urlencode({"window": window, "size": size, "invert": str(invert).lower()})
        kind = "image/jpeg" if jpeg else "image/png"
        path = f"{_frame(case_id, scan, frame)}?{query}"
        return self._exchange.ask("GET", path, accept=kind).body

    def values(self, case_id: str, scan: int = 1, frame: int = 1) -> npt.NDArray[np.float32]:
        """Return the values of one frame, ``(h, w)``, in Hounsfield units or as stored."""
        import numpy as np

        about = self.metadata(case_id, scan)
        rows, columns = (about[tag]["Value"][0] for tag in ("00280010", "00280011"))
        raw = self._exchange.ask(
            "GET", _frame(case_id, scan, frame), accept="application/octet-stream"
        ).body
        return np.frombuffer(raw, "<f4").reshape(rows, columns)

    def metadata(self, case_id: str, scan: int = 1) -> dict[str, Any]:
        """Return what is known of a scan, as one data set of the DICOM JSON model."""
        found: list[dict[str, Any]] = read_json(
            self._exchange.ask("GET", f"{_case(case_id)}/scans/{scan}/metadata")
        )
        return found[0]

    # the rest

    def reviews(self) -> list[dict[str, Any]]:
        """List the review sessions that one made or reads in."""
        found: list[dict[str, Any]] = read_json(self._exchange.ask("GET", "/v1/reviews"))["reviews"]
        return found

    def review(self, link: str) -> dict[str, Any]:
        """Return a review session with its readings and measures."""
        path = f"/v1/reviews/{quote(link, safe='')}"
        found: dict[str, Any] = read_json(self._exchange.ask("GET", path))
        return found

    def audit(self) -> dict[str, Any]:
        """Return the latest audit: its stamp, gate and outcomes."""
        found: dict[str, Any] = read_json(self._exchange.ask("GET", "/v1/audit"))
        return found

    def is_ready(self) -> bool:
        """Whether a search would be answered now; False also if the service cannot be reached."""
        try:
            self._exchange.ask("GET", "/readyz", retries=0)
        except ServiceError:
            return False
        return True


def as_query(**arguments: Any) -> dict[str, Any]:
    """Return the JSON of a query from the arguments of :meth:`Client.search`."""
    query = {name: value for name, value in arguments.items() if value is not None}
    for name in ("where", "like", "unlike", "ignore"):
        if isinstance(query.get(name), str):
            query[name] = [query[name]]
    return {k: list(v) if isinstance(v, tuple | set | frozenset) else v for k, v in query.items()}


def _case(case_id: str) -> str:
    return f"/v1/cases/{quote(case_id, safe='')}"


def _frame(case_id: str, scan: int, frame: int) -> str:
    return f"{_case(case_id)}/scans/{scan:d}/frames/{frame:d}"
