"""The routes ``/pixels/…``: header, slices and a still picture of a scan."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from apps.case_lookup.faults import error_line
from apps.case_lookup.rendering import DisplaySettings, n_slices, presets, render
from apps.pixels.frames import frame_bytes, pixel_header
from apps.pixels.guard import Guard
from apps.pixels.query_images import QUERY_IMAGES, QueryImages
from medembed.cases import Case
from medembed.errors import LibraryError, MedEmbedError
from medembed.scans import Scan

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["ScanSource", "address_of_case", "address_of_query", "pixel_routes"]

# Patients' images stay out of the browser's cache on disk: the viewer keeps them in memory, which
# ends with the page. So there is no ETag either; a reload asks the guard again.
_PRIVATE = {"Cache-Control": "no-store", "Vary": "Cookie"}
_STILL_PX = 1000


class _Cases(Protocol):
    def case(self, case_id: str) -> Case:
        """Give a case."""


class ScanSource(Protocol):
    """What the routes need of an open library; a ``LibrarySession`` is one."""

    @property
    def library(self) -> _Cases:
        """The cases."""

    def scan(self, case: Case, position: int = 0) -> Scan:
        """Read one scan of a case."""


def address_of_case(case_id: str, position: int) -> str:
    """Give the address of a scan of the library, relative to the page.

    Examples
    --------
    >>> address_of_case("C-1/2", 0)
    'pixels/case/C-1%2F2/image/0'
    """
    return f"pixels/case/{quote(case_id, safe='')}/image/{position}"


def address_of_query(token: str) -> str:
    """Give the address of a dropped image, relative to the page."""
    return f"pixels/query/{token}"


def pixel_routes(
    source: Callable[[], ScanSource],
    guard: Guard | None = None,
    query_images: QueryImages = QUERY_IMAGES,
) -> list[Route]:
    """Give the routes of the pixels.

    Behind the address of a scan follow ``/header`` (JSON), ``/slice/N`` (bytes, N from 0) and
    ``/still`` (a PNG of the middle slice). A case that does not exist and one that the sender may
    not see are answered alike: 404.

    Parameters
    ----------
    source : callable
        Gives the open library.
    guard : Guard, optional
        Decides who may see what; by default, everyone whom the server lets in.
    query_images : QueryImages
    """
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route

    guards = guard or Guard()
    not_found = "There is no such image."

    def of_case(request: Request) -> Scan | None:
        case_id = request.path_params["case_id"]
        position = request.path_params["position"]
        if not guards.may_see(request.scope, case_id):
            return None
        opened = source()
        try:
            case = opened.library.case(case_id)
        except LibraryError:
            return None
        if position >= len(case.scans):
            return None
        scan = opened.scan(case, position)
        guards.handed_out(request.scope, case_id)
        return scan

    def of_query(request: Request) -> Scan | None:
        return query_images.get(request.path_params["token"], guards.person_of(request.scope))

    def answering(
        find: Callable[[Request], Scan | None],
        answer: Callable[[Request, Scan], tuple[bytes, str]],
    ) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                scan = find(request)
            except MedEmbedError as error:
                return PlainTextResponse(error_line(error), 422, headers=_PRIVATE)
            if scan is None:
                return PlainTextResponse(not_found, 404, headers=_PRIVATE)
            try:
                body, kind = answer(request, scan)
            except IndexError:
                return PlainTextResponse(not_found, 404, headers=_PRIVATE)
            return Response(body, media_type=kind, headers=_PRIVATE)

        return endpoint

    finders = {
        "/pixels/case/{case_id:path}/image/{position:int}": of_case,
        "/pixels/query/{token}": of_query,
    }
    answers = {"/header": _header, "/slice/{index:int}": _slice, "/still": _still}
    return [
        Route(address + what, answering(find, answer), methods=["GET"])
        for address, find in finders.items()
        for what, answer in answers.items()
    ]


def _header(_: Request, scan: Scan) -> tuple[bytes, str]:
    return pixel_header(scan), "application/json"


def _slice(request: Request, scan: Scan) -> tuple[bytes, str]:
    return frame_bytes(scan, request.path_params["index"]), "application/octet-stream"


def _still(_: Request, scan: Scan) -> tuple[bytes, str]:
    """Draw the middle slice in the first window: what the page shows without the viewer."""
    window = next(iter(presets(scan).values()))
    image = render(scan, DisplaySettings(window, n_slices(scan) // 2), _STILL_PX)
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), "image/png"
