"""The verb ``journal``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, verb
from medembed.counted import counted
from medembed.errors import InputError, LibraryError

if TYPE_CHECKING:
    from medembed.journal import Entry, EntryFilter, Journal
    from medembed.library import CaseLibrary

__all__ = ["journal"]


class Form(Enum):
    """How entries are written."""

    TABLE = "table"
    LINES = "lines"
    FHIR = "fhir"
    BUNDLE = "fhir-bundle"
    ATNA = "atna"


@verb
def journal(
    library: LibraryPath,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            help="table: to read; lines: JSON with digests and seals; fhir: FHIR R4 AuditEvents; "
            "fhir-bundle: one Bundle of them; atna: audit messages of DICOM PS3.15 A.5. One entry "
            "a line.",
        ),
    ] = Form.TABLE,
    since: Annotated[
        str | None,
        typer.Option(help="Only entries from this date or time on; UTC without a zone."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Only entries before this date or time.")
    ] = None,
    case: Annotated[
        str | None, typer.Option(metavar="ID", help="Only entries about this case: who saw it.")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only this user's.")] = None,
    case_ids: Annotated[
        bool,
        typer.Option(
            "--case-ids",
            help="Write the ids of the cases, not the journal's random numbers for them. Erased "
            "cases have none.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to a new file, not to stdout.")
    ] = None,
    head: Annotated[
        bool,
        typer.Option(
            "--head", help="Print only where the chain ends: keep it outside to prove it later."
        ),
    ] = False,
    check_head: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Verify the chain, and that it contains the head in this file."
        ),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Move the entries before --before to a new file, and close it."
        ),
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="With --archive: entries before this date or time.")
    ] = None,
    check_archive: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Verify an archived part.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show or export who searched, saw, revealed and exported what, or anchor the journal outside.

    The journal has no words of queries and no value of a patient; it names cases by random numbers
    that lead back to them only in this library, and nowhere once a case is erased. Reading it is
    recorded in it. medembed verify proves that nothing in it was changed.

    Example: medembed journal demo-library --since 2026-11-01 --case C-ABCDEFGHIJKLMNOPQRST
    """
    from medembed.journal import EntryFilter, parse_time
    from medembed.library import CaseLibrary

    chosen = [
        option
        for option, given in (
            ("--head", head),
            ("--check-head", check_head),
            ("--archive", archive),
            ("--check-archive", check_archive),
        )
        if given
    ]
    if len(chosen) > 1:
        raise InputError(f"give one of {' and '.join(chosen)}")
    if (archive is None) != (before is None):
        raise InputError("--archive and --before belong together")
    wanted = EntryFilter(
        since=parse_time(since, "--since") if since else "",
        until=parse_time(until, "--until") if until else "",
        actor=actor or "",
        case_id=case or "",
    )
    with CaseLibrary.open(library) as opened:
        kept = opened.journal
        if head:
            _print_head(kept)
        elif check_head is not None:
            _check_head(kept, check_head, as_json)
        elif archive is not None:
            _archive(kept, archive, parse_time(before or "", "--before"), as_json)
        elif check_archive is not None:
            _check_archive(kept, check_archive, as_json)
        else:
            _show(opened, Form.LINES if as_json else form, wanted, case_ids, out, as_json)


# the head


def _print_head(kept: Journal) -> None:
    found = kept.head()
    if found is None:
        raise LibraryError("this library has no journal yet", where=kept.folder.name)
    sys.stdout.write(json.dumps(found.to_json()) + "\n")


def _check_head(kept: Journal, file: Path, as_json: bool) -> None:
    from medembed.journal import Head

    try:
        earlier = Head.from_json(file.read_bytes(), file.name)
    except FileNotFoundError:
        raise InputError("no such file", where=file.name) from None
    check = kept.check(earlier)
    payload = {"ok": check.is_whole, "count": check.last, "wrong": check.text or None}

    def human() -> None:
        if check.is_whole:
            sys.stdout.write(
                f"whole: {counted(earlier.count, 'entry', 'entries')} up to {earlier.time} as they "
                f"were, and {check.last - earlier.count} since\n"
            )

    emit(payload, as_json, human)
    if not check.is_whole:
        raise LibraryError(
            check.text,
            where=kept.path.name,
            hint="docs/guides/journal.md says what this can mean and what to do",
        )


# archives


def _archive(kept: Journal, file: Path, before: str, as_json: bool) -> None:
    part = kept.archive(file, before)

    def human() -> None:
        sys.stdout.write(
            f"{file.name}: entries {part.first} to {part.last}, SHA-256 {part.sha256}\n"
        )

    emit({"file": file.name, **part.to_json()}, as_json, human)


def _check_archive(kept: Journal, file: Path, as_json: bool) -> None:
    part = kept.check_archive(file)

    def human() -> None:
        sys.stdout.write(f"{file.name}: entries {part.first} to {part.last} are whole\n")

    emit({"file": file.name, "ok": True, **part.to_json()}, as_json, human)


# entries


def _show(
    opened: CaseLibrary,
    form: Form,
    wanted: EntryFilter,
    case_ids: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    from medembed.journal import LOCAL, Action

    kept = opened.journal
    found = kept.head()
    if kept.is_read_only:
        note(f"{opened.path.name}: read-only, so that this reading is not recorded")
    else:
        cases = [wanted.case_id] if wanted.case_id and wanted.case_id in opened else []
        kept.record(Action.READ, actor=LOCAL, cases=cases, details={"format": form.value})
    if found is None:
        raise LibraryError("this library has no journal yet", where=opened.path.name)
    names = kept.case_ids(opened.find()) if case_ids else {}
    entries = kept.entries(wanted, last=found.count)
    written = [entry_json(entry, names) for entry in entries] if as_json else []
    if as_json:
        payload = {"journal": found.journal, "count": len(written), "entries": written}
        emit(payload, as_json, lambda: None)
        return
    with _target(out) as target:
        for line in _lines(entries, form, found.journal, names):
            target.write(line + "\n")


@contextmanager
def _target(out: Path | None) -> Iterator[IO[str]]:
    if out is None:
        yield sys.stdout
        return
    import io

    from medembed.privacy.private_files import replace_private

    if out.exists():
        raise InputError("this file exists already", where=out.name, hint="choose another name")
    with replace_private(out.absolute()) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
        yield text
        text.detach()


def entry_json(entry: Entry, names: dict[str, str]) -> dict[str, Any]:
    """Return an entry as it is exported; with the cases' ids, if they are given."""
    found = entry.to_json()
    if names:
        found["case_ids"] = [names.get(number) for number in entry.cases]
    return found


def _lines(
    entries: Iterable[Entry], form: Form, journal_name: str, names: dict[str, str]
) -> Iterator[str]:
    from medembed.journal.atna import audit_message
    from medembed.journal.fhir import audit_event, event_bundle

    def called(number: str) -> str:
        return names.get(number, number)

    if form is Form.BUNDLE:
        events = (audit_event(entry, journal_name, called) for entry in entries)
        yield json.dumps(event_bundle(events))
        return
    writers: dict[Form, Callable[[Entry], str]] = {
        Form.TABLE: lambda entry: _row(entry, names),
        Form.LINES: lambda entry: json.dumps(entry_json(entry, names)),
        Form.FHIR: lambda entry: json.dumps(audit_event(entry, journal_name, called)),
        Form.ATNA: lambda entry: audit_message(entry, journal_name, called),
    }
    yield from map(writers[form], entries)


def _row(entry: Entry, names: dict[str, str]) -> str:
    details = " ".join(f"{name}={value}" for name, value in entry.details.items())
    cases = [names.get(number, f"({number[:8]})") for number in entry.cases]
    about = ", ".join(cases) if names else counted(len(cases), "case") if cases else ""
    columns = (
        f"{entry.number:>7}",
        entry.time[:19] + "Z",
        f"{entry.actor:<12}",
        f"{entry.action.value:<8}",
        f"{entry.outcome.value:<7}",
        about,
        details,
    )
    return "  ".join(column for column in columns if column)
