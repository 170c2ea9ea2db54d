"""The command ``medembed reviews``."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps.review.exports import Exported, ExportKind, export
from apps.review.journaling import ReviewAction, record
from medembed.cli.command import AsJson, LibraryPath, emit, note, verb
from medembed.counted import counted
from medembed.errors import InputError, ReviewError

if TYPE_CHECKING:
    from apps.review.document import ReviewDocument
    from medembed.library import CaseLibrary
    from medembed.reviews import ReviewSession, ReviewStore

__all__ = ["reviews"]


@verb
def reviews(
    library: LibraryPath,
    session: Annotated[
        str | None, typer.Argument(metavar="[SESSION]", help="Link or name of a session.")
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Export as PDF, one case a page.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Export as CSV for spreadsheets.")] = False,
    sr: Annotated[bool, typer.Option("--sr", help="Export readings as DICOM SR.")] = False,
    ko: Annotated[
        bool, typer.Option("--ko", help="Export marked cases as DICOM key object selections.")
    ] = False,
    teaching: Annotated[
        bool, typer.Option("--teaching", help="Export the teaching file as one HTML page.")
    ] = False,
    with_reports: Annotated[
        bool,
        typer.Option("--with-reports", help="Also the reports, unchanged: they may name patients."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="New folder for the exported files.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the review sessions of a library, or show the measures of one and export it.

    Readers read in the reading room (medembed app). For each reader: the share of revised readings
    with its 95% interval, and the times to the first impression and to the end, apart. For each two
    readers: Cohen's kappa for every finding, and the cases on which they disagree.

    Exports carry pseudonyms only; DICOM objects name no date and no UID of the hospital.

    Example: medembed reviews demo-library "Tumor board" --pdf --csv --out board
    """
    from medembed.library import CaseLibrary

    flags = dict(zip(ExportKind, (pdf, csv, sr, ko, teaching), strict=True))
    wanted = [kind for kind, given in flags.items() if given]
    _check_options(session, wanted, out, with_reports)
    with CaseLibrary.open(library) as opened:
        if session is None:
            _list(opened, as_json)
        else:
            _show(opened, session, wanted, out, with_reports, as_json)


def _check_options(
    session: str | None, wanted: list[ExportKind], out: Path | None, with_reports: bool
) -> None:
    if session is None and (wanted or out is not None):
        raise InputError("which session?", hint="give its link or name after the library")
    if bool(wanted) != (out is not None):
        hint = (
            "give a new folder with --out"
            if wanted
            else "add --pdf, --csv, --sr, --ko or --teaching"
        )
        raise InputError("an export needs a folder and at least one format", hint=hint)
    if with_reports and not wanted:
        raise InputError(
            "--with-reports belongs to an export", hint="add --pdf, --csv or --teaching"
        )
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "the folder exists and is not empty", where=out.name, hint="choose a new folder"
        )


def _list(library: CaseLibrary, as_json: bool) -> None:
    from medembed.reviews import ReviewStore

    store = ReviewStore(library)
    found = store.sessions()
    finished = {
        one.link: sum(reading.is_finished for reading in store.readings(one.link)) for one in found
    }
    payload = {
        "sessions": [
            {
                **{k: v for k, v in one.to_json().items() if k != "cases"},
                "n_cases": len(one.cases),
                "n_finished": finished[one.link],
            }
            for one in found
        ]
    }

    def human() -> None:
        if not found:
            sys.stdout.write("No review session. Start one in the reading room: medembed app\n")
        for one in found:
            sys.stdout.write(
                f"{one.link}  {one.name}: {counted(len(one.cases), 'case')}, "
                f"{counted(len(one.readers), 'reader')}, "
                f"{counted(finished[one.link], 'finished reading')}, {one.state.value}, "
                f"by {one.creator}, {one.created[:10]}\n"
            )

    emit(payload, as_json, human)


def _show(
    library: CaseLibrary,
    session: str,
    wanted: list[ExportKind],
    out: Path | None,
    with_reports: bool,
    as_json: bool,
) -> None:
    from apps.review.document import gather
    from medembed.reviews import ReviewStore

    store = ReviewStore(library)
    found = _find(store, session)
    document = gather(library, found.link, with_reports=with_reports)
    done: list[Exported] = []
    if out is not None:
        done = _write(library, document, wanted, out)
    payload = {
        "session": found.to_json(),
        "readings": [reading.to_json() for reading in store.readings(found.link)],
        "measures": document.measures.to_json(),
        "files": [name for one in done for name in sorted(one.files)],
        "left_out": sorted({case_id for one in done for case_id in one.left_out}),
    }
    emit(payload, as_json, lambda: _print(document, done, out))
    if with_reports:
        note("the reports were copied unchanged; they may name patients, physicians and places")


def _find(store: ReviewStore, session: str) -> ReviewSession:
    found = [one for one in store.sessions() if session in (one.link, one.name)]
    if not found:
        raise ReviewError(
            "there is no such review session", hint="list them with medembed reviews LIBRARY"
        )
    if len(found) > 1:
        raise ReviewError(
            f"{len(found)} review sessions have this name", hint="give the link instead"
        )
    return found[0]


def _write(
    library: CaseLibrary, document: ReviewDocument, wanted: list[ExportKind], out: Path
) -> list[Exported]:
    """Write the files; a folder appears only once all of them are there."""
    from apps.review.pictures import pictures_of
    from medembed.library.faults import file_errors
    from medembed.privacy.private_files import draft_folder, private_folder, replace_private
    from medembed.scans import ScanReader

    record(
        library,
        ReviewAction.EXPORT,
        actor=_actor(),
        cases=[entry.case.case_id for entry in document.entries],
        details={"as": ",".join(kind.value for kind in wanted)},
    )
    target = out.absolute()
    with ScanReader() as reader:
        picture = pictures_of(library, reader)
        done = [export(library, document, kind, picture, reader) for kind in wanted]
    with file_errors(target.name):
        private_folder(target.parent)
        with draft_folder(target) as draft:
            inner = private_folder(draft / "files")
            for one in done:
                for name, content in one.files.items():
                    with replace_private(inner / name) as file:
                        file.write(content)
            if target.exists():
                target.rmdir()
            inner.rename(target)
    return done


def _actor() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no account of this number
        return "local"


def _print(document: ReviewDocument, done: list[Exported], out: Path | None) -> None:
    from apps.review.texts import STAGES, findings_text, kappa_text, measure_lines

    session, measures = document.session, document.measures
    write = sys.stdout.write
    write(f"{session.name} ({session.link}): {counted(len(session.cases), 'case')}\n")
    for reader in (measures.everyone, *measures.readers):
        write(f"{reader.reader or 'All readers'}\n")
        for line in measure_lines(reader):
            write(f"  {line}\n")
    for one in measures.agreements:
        write(f"{one.first} and {one.second}, {STAGES[one.stage]}, ")
        write(f"{counted(one.n_cases, 'case')} read by both\n")
        write(f"  all findings: {kappa_text(one.overall)}\n")
        for label, kappa in one.by_finding.items():
            write(f"  {label}: {kappa_text(kappa)}\n")
        for d in one.disagreements:
            write(f"  disagreement, case {d.case_id}: {findings_text(d.first) or 'none'} / ")
            write(f"{findings_text(d.second) or 'none'}\n")
    for exported in done:
        n_files = counted(len(exported.files), "file")
        write(f"{exported.kind.value}: {n_files} in {'' if out is None else out.name}\n")
        if exported.left_out:
            write(f"  left out: {counted(len(exported.left_out), 'case')} without a DICOM image\n")
