"""The verb ``erase``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, note, verb
from medembed.counted import counted
from medembed.errors import InputError, LibraryBusyError, LibraryError

if TYPE_CHECKING:
    from medembed.library import CaseLibrary
    from medembed.library.erasure import ErasureReceipt

__all__ = ["erase"]


@verb
def erase(
    library: LibraryPath,
    patient: Annotated[
        str | None,
        typer.Option(
            "--patient",
            metavar="ID",
            help="Pseudonym of the patient, as search shows it. Without it and without a file, "
            "the PatientID is asked for, so that it does not stand in the shell's history.",
        ),
    ] = None,
    patient_id_file: Annotated[
        Path | None,
        typer.Option(
            "--patient-id-file", help="File with the original PatientID; - reads it from stdin."
        ),
    ] = None,
    everyone: Annotated[
        bool,
        typer.Option(
            "--everyone-with-this-id", help="If several patients share the PatientID, erase all."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a patient from a library, and prove it.

    Removes the patient's cases, reports, words, vectors, index files, thumbnails, cached pixels
    and features, records of files, identities, free pages and log, and then searches every file
    of the library for the patient's bytes. Prints a receipt without identity, which names the
    models that were trained while the patient was in the library. If interrupted, or if another
    process is in the way, the next command on the library finishes it.

    Files of scans outside the library's folder stay: delete them at their source, or the next
    ingest adds the patient again. So do backups.

    Example: medembed erase demo-library --patient P-ABCDEFGHIJKLMNOPQRST
    """
    from medembed.library import CaseLibrary
    from medembed.library.erasure import erase_patients, find_patients

    with CaseLibrary.open(library) as opened:
        given = _given(patient, patient_id_file)
        if opened.database.read_only:
            raise LibraryError("the library is read-only here", where=opened.path.name)
        found = find_patients(opened, given)
        if not found:
            raise LibraryError(_unknown(opened), where=opened.path.name, hint=_HINT)
        if len(found) > 1 and not everyone:
            raise LibraryError(
                f"{counted(len(found), 'patient')} share this PatientID: {', '.join(found)}",
                where=opened.path.name,
                hint="give one with --patient, or all with --everyone-with-this-id",
            )
        _confirm(opened, found, yes)
        receipt = erase_patients(opened, found)
    emit(receipt.to_json(), as_json, lambda: _print(receipt))
    _report(receipt)


_HINT = "give the pseudonym with --patient, or the PatientID with --patient-id-file"


def _given(patient: str | None, file: Path | None) -> str:
    if patient is not None and file is not None:
        raise InputError("give --patient or --patient-id-file, not both")
    if patient is not None:
        return patient
    if file is not None:
        if str(file) == "-":
            return sys.stdin.readline().strip()
        try:
            return file.read_text("utf-8").strip()
        except UnicodeDecodeError:
            raise InputError("the file must be UTF-8 text", where="--patient-id-file") from None
    if not sys.stdin.isatty():
        raise InputError("no patient given", hint=_HINT)
    return str(typer.prompt("PatientID or pseudonym (not shown)", hide_input=True, err=True))


def _unknown(library: CaseLibrary) -> str:
    from medembed.library.erasing import erasures

    done = erasures(library.database.read())
    line = "no patient of this library has this id"
    return f"{line}; the last erasure was on {done[-1]['date'][:10]}" if done else line


def _confirm(library: CaseLibrary, patients: list[str], yes: bool) -> None:
    if yes or not sys.stdin.isatty():
        return
    n_cases = sum(patient in patients for patient in library.patients().values())
    what = f"{counted(n_cases, 'case')} of {counted(len(patients), 'patient')}"
    if not typer.confirm(f"Erase {what}? This cannot be undone", err=True):
        raise InputError("nothing was erased")


def _print(receipt: ErasureReceipt) -> None:
    lines = [
        f"Erased {counted(receipt.n_patients, 'patient')} on {receipt.date}",
        *(f"  {name}: {count}" for name, count in receipt.counts.items() if count),
    ]
    for model in receipt.models:
        lines.append(f"  model {model.name} {model.fingerprint[:12]}: {model.use.value}")
    if not receipt.models:
        lines.append("  no model was trained or selected with this patient")
    if proof := receipt.proof:
        left = sum(proof.found.values())
        lines.append(
            f"  searched {counted(proof.n_files, 'file')} ({proof.n_bytes / 2**20:.1f} MiB) for "
            f"{counted(proof.n_traces, 'trace')}: {left or 'none'} left"
            + (f"; {proof.n_shared} occur in other patients' data" if proof.n_shared else "")
        )
    lines.append(f"  receipt {receipt.digest}")
    sys.stdout.write("\n".join(lines) + "\n")


def _report(receipt: ErasureReceipt) -> None:
    """Say what is left: on stderr for files of other origin, as an error for our own."""
    if receipt.originals_left:
        note(
            f"{counted(receipt.originals_left, 'file')} of the patient's scans outside the library "
            "[is|are] not touched; delete at the source".replace(
                "[is|are]", "is" if receipt.originals_left == 1 else "are"
            )
        )
    if receipt.waiting:
        raise LibraryBusyError(
            f"the patient's cases are gone, but the erasure is not finished: "
            f"{'; '.join(receipt.waiting)}",
            hint="end what is in the way; the next command on this library finishes the erasure",
        )
    if receipt.proof and receipt.proof.in_sources:
        where = ", ".join(receipt.proof.in_sources)
        note(f"{where}: source files in the library's folder still name the patient; delete there")
    if receipt.proof and receipt.proof.found:
        where = ", ".join(receipt.proof.found)
        raise LibraryError(
            f"traces of the patient are still in: {where}",
            hint="delete what is derived there and run medembed verify LIBRARY",
        )
