"""The routes of one case: its report and findings, its scans and frames, its thumbnail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response

from apps.service.answers import CaseAnswer
from apps.service.asking import json_answer, permitted
from apps.service.description import problems
from apps.service.journaling import Entry
from apps.service.person import Caller, Right
from apps.service.pictures import (
    JPEG,
    PNG,
    RAW,
    FrameStyle,
    choose_type,
    dicom_json,
    frame_bytes,
)
from apps.service.rows import visible_case
from apps.service.service import Service, service_of
from medembed.cases import Case

__all__ = ["case_json", "router"]

router = APIRouter(prefix="/v1/cases", tags=["cases"])
# an id may hold a slash, so that the address of the case alone comes last

CaseId = Annotated[str, Path(description="Id of a case, as a search gives it.", max_length=200)]
ScanNumber = Annotated[int, Path(description="Scan of the case, from 1.", ge=1, le=10_000)]
FrameNumber = Annotated[int, Path(description="Frame of the scan, from 1.", ge=1, le=100_000)]
_DICOM_JSON = "application/dicom+json"
_PICTURE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

T = TypeVar("T")


@router.get(
    "/{case_id:path}/thumbnail",
    summary="A small picture of a case",
    response_class=Response,
    responses={
        200: {"content": {PNG: _PICTURE}, "description": "PNG, at most 360 pixels a side."},
        **problems(403, 404, 422, 503),
    },
)
async def thumbnail(request: Request, case_id: CaseId) -> Response:
    """Return a small picture of the case's first scan."""
    service = service_of(request)
    caller = await permitted(request, service, Right.VIEW)
    picture = await _shown(service, caller, case_id, service.served.scans.thumbnail, size="small")
    return Response(picture, media_type=PNG)


@router.get(
    "/{case_id:path}/scans/{scan}/metadata",
    summary="What is known of a scan",
    responses={
        200: {
            "content": {_DICOM_JSON: {"schema": {"type": "array", "items": {"type": "object"}}}},
            "description": "One data set in the DICOM JSON model, without UIDs.",
        },
        **problems(403, 404, 422, 503),
    },
)
async def metadata(request: Request, case_id: CaseId, scan: ScanNumber) -> Response:
    """Return size, spacing, units, windows and modality of a scan as DICOM JSON.

    Patient and date are the library's: a pseudonym and a shifted date.
    """
    service = service_of(request)
    caller = await permitted(request, service, Right.VIEW)
    kind = choose_type(request.headers.get("accept", ""), (_DICOM_JSON, "application/json"))

    def read(case: Case) -> list[dict[str, Any]]:
        return dicom_json(case, scan, service.served.scans.scan(case, scan))

    answer = json_answer(await _shown(service, caller, case_id, read, scan=scan))
    answer.headers["content-type"] = kind
    return answer


@router.get(
    "/{case_id:path}/scans/{scan}/frames/{frame}",
    summary="One frame, rendered or as values",
    response_class=Response,
    responses={
        200: {
            "content": {PNG: _PICTURE, JPEG: _PICTURE, RAW: _PICTURE},
            "description": "The format that Accept asks for; PNG if it does not matter.",
        },
        **problems(403, 404, 406, 422, 503),
    },
)
async def frame(
    request: Request,
    case_id: CaseId,
    scan: ScanNumber,
    frame: FrameNumber,
    window: Annotated[
        str,
        Query(
            description="`center,width`, `center,width,linear|linear-exact|sigmoid`, or a preset "
            "for Hounsfield units: lung, mediastinum, bone, soft, liver, brain, angio. "
            "Default: the scan's own.",
            max_length=80,
        ),
    ] = "",
    size: Annotated[int, Query(ge=16, le=4096, description="Most pixels a side.")] = 1400,
    invert: Annotated[bool, Query(description="Dense tissue dark.")] = False,
    quality: Annotated[int, Query(ge=1, le=100, description="Of a JPEG.")] = 90,
) -> Response:
    """Return one frame as `image/png`, `image/jpeg`, or `application/octet-stream`.

    The last one holds the values themselves, little-endian float32 in rows from the top, in the
    units that the metadata names; window, size, inversion and quality do not apply to it.
    """
    service = service_of(request)
    caller = await permitted(request, service, Right.VIEW)
    kind = choose_type(request.headers.get("accept", ""), (PNG, JPEG, RAW))
    style = FrameStyle(window, size, invert, quality)

    def read(case: Case) -> bytes:
        return frame_bytes(service.served.scans.scan(case, scan), frame, kind, style)

    picture = await _shown(service, caller, case_id, read, scan=scan, frame=frame)
    return Response(picture, media_type=kind, headers={"Vary": "Accept"})


@router.get(
    "/{case_id:path}",
    summary="One case",
    responses={200: {"model": CaseAnswer}, **problems(403, 404, 406, 422, 503)},
)
async def one_case(request: Request, case_id: CaseId) -> Response:
    """Return a case with its report, findings and attributes, and what scans it has."""
    service = service_of(request)
    caller = await permitted(request, service, Right.VIEW)

    def read() -> dict[str, Any]:
        case = visible_case(service.served.library, caller, case_id)
        service.served.journal.write(Entry.OPENED, caller.name, [case_id])
        return case_json(case)

    return json_answer(await service.pictures.run(read))


async def _shown(
    service: Service,
    caller: Caller,
    case_id: str,
    read: Callable[[Case], T],
    **details: str | int,
) -> T:
    """Read something of a case's pixels, if it may be seen, and write that down."""

    def run() -> T:
        case = visible_case(service.served.library, caller, case_id)
        found = read(case)
        service.served.journal.write(Entry.PIXELS, caller.name, [case_id], details)
        return found

    return await service.pictures.run(run)


def case_json(case: Case) -> dict[str, Any]:
    """Return a case as plain data: no path, no hash, no vector, and not by how much dates shift."""
    note = case.note
    return {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "study_date": case.study_date.isoformat() if case.study_date else None,
        "modality": case.modality,
        "view": case.view,
        "kind": case.kind,
        "sex": case.sex,
        "age": case.age_years,
        "race": case.race,
        "site": case.site,
        "scanner": case.scanner,
        "findings": [str(finding) for finding in case.findings],
        "attributes": dict(sorted(case.attributes.items())),
        "note": None
        if note is None
        else {
            "text": note.text,
            "sections": [{"name": s.name, "start": s.start, "end": s.end} for s in note.sections],
            "assertions": [
                {
                    "label": a.label, "status": a.status, "side": a.side,
                    "start": a.start, "end": a.end, "historical": a.historical,
                }
                for a in note.assertions
            ],
        },
        "scans": [
            {
                "scan": number,
                "modality": scan.modality,
                "view": scan.view,
                "kind": scan.kind,
                "files": len(scan.files),
            }
            for number, scan in enumerate(case.scans, 1)
        ],
    }  # fmt: skip
