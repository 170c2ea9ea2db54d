"""The verb ``ingest``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, progress_bar, verb
from medembed.counted import counted

if TYPE_CHECKING:
    from medembed.library import CaseLibrary, IngestReport

__all__ = ["ingest"]

_SHOWN = 20


@verb
def ingest(
    library: LibraryPath,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...", help="Tables, folders of DICOM files, or single files."
        ),
    ],
    format: Annotated[
        str, typer.Option("--format", help="auto, or a source listed by: medembed show sources.")
    ] = "auto",
    notes: Annotated[
        Path | None,
        typer.Option(
            "--notes",
            metavar="TABLE",
            help="Table of reports for DICOM files, by accession or study_uid.",
        ),
    ] = None,
    keep_columns: Annotated[
        str,
        typer.Option(
            "--keep-columns", metavar="A,B", help="Additional columns to keep for --where."
        ),
    ] = "",
    shift_dates: Annotated[
        bool,
        typer.Option(
            "--shift-dates",
            help="Shift each patient's dates by a secret offset, different for each patient.",
        ),
    ] = False,
    vocabulary: Annotated[
        str,
        typer.Option(
            "--vocabulary",
            metavar="FILE",
            help="Vocabulary for reading reports: en (default), de, or a YAML file. Stored in the "
            "library.",
        ),
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite cases whose content changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add cases to a library, creating it if needed.

    Unreadable files are refused individually, each with a reason. Re-running adds no duplicates;
    an interrupted run resumes.

    Example: medembed ingest my-library scans/ --notes reports.csv
    """
    from medembed.library import CaseLibrary, IngestReport
    from medembed.library.ingestion import ingest as take
    from medembed.library.ingestion import write_refusals
    from medembed.notes import load_vocabulary
    from medembed.sources import open_source

    keep = tuple(name.strip() for name in keep_columns.split(",") if name.strip())
    words = load_vocabulary(vocabulary) if vocabulary else None
    opened = [open_source(path, format, notes=notes, keep_columns=keep) for path in sources]
    report = IngestReport()
    with CaseLibrary.open(library, create=True) as target:
        for path, source in zip(sources, opened, strict=True):
            with progress_bar(f"reading {path.name or path}") as progress:
                report += take(
                    target,
                    source,
                    replace=replace,
                    shift_dates=shift_dates,
                    progress=progress,
                    vocabulary=words,
                )
        written = write_refusals(target, report.refusals)
        payload = _payload(target, report)

    def human() -> None:
        _print(payload, written)

    emit(payload, as_json, human)


def _payload(library: CaseLibrary, report: IngestReport) -> dict[str, Any]:
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "replaced": report.replaced,
        "refused": len(report.refusals),
        "refused_by_code": report.refused_by_code,
        "refusals": [
            {"where": r.where, "code": r.code, "reason": r.reason} for r in report.refusals
        ],
        "remarks": list(report.remarks),
        "cases": len(library),
        "splits": library.value_counts("split"),
    }


def _print(payload: dict[str, Any], written: Path | None) -> None:
    counts = ", ".join(
        f"{payload[name]} {name}"
        for name in ("added", "unchanged", "replaced", "refused")
        if payload[name] or name != "replaced"
    )
    lines = [f"{counts}; {counted(payload['cases'], 'case')} in the library"]
    lines += [f"  {count} refused: {code}" for code, count in payload["refused_by_code"].items()]
    refusals = payload["refusals"]
    lines += [f"    {r['where']}: {r['reason']}" for r in refusals[:_SHOWN]]
    if written:
        more = len(refusals) - _SHOWN
        lines.append(f"    {f'{more} more; ' if more > 0 else ''}full list: {written.name}")
    lines += [f"  note: {remark}" for remark in payload["remarks"]]
    sys.stdout.write("\n".join(lines) + "\n")
