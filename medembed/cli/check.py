"""The verb ``check``."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medembed.cli.command import AsJson, LibraryPath, emit, progress_bar, verb
from medembed.counted import counted, counted_line
from medembed.errors import InputError

if TYPE_CHECKING:
    from medembed.pair_check import PairCheck, ReasonKind

__all__ = ["check"]

_WORDS = {
    "content": "content differs from that of other pairs",
    "side": "side differs between report and image",
    "view": "view differs between report and header",
    "modality": "modality differs between report and header",
}


@verb
def check(
    library: LibraryPath,
    top: Annotated[int, typer.Option("--top", min=1, help="Number of cases to list.")] = 20,
    reason: Annotated[
        Literal["content", "side", "view", "modality"] | None,
        typer.Option("--reason", help="List only cases with this reason, ranked by it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.csv", help="Write all checked cases to this table."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or folder of a model. Default: the active one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List reports that may belong to another image, the most suspicious first.

    Compares images and reports of different patients by the model's vectors, and what reports say
    about side, view and modality with image and header. The list is for a person to look through:
    nothing is changed, and a case that is not listed is not proven right.

    Example: medembed check demo-library --top 50 --out suspects.csv
    """
    from medembed.library import CaseLibrary
    from medembed.pair_check import ReasonKind, check_pairs

    kind = ReasonKind(reason) if reason else None
    if out is not None and not out.absolute().parent.is_dir():
        raise InputError("folder not found", where=f"--out {out.name}")
    with CaseLibrary.open(library) as opened, progress_bar("compare") as progress:
        found = check_pairs(opened, model, progress)
    if out is not None:
        from medembed.privacy.private_files import replace_private

        with replace_private(out) as file:
            file.write(_table(found).encode("utf-8", "replace"))
    emit(found.to_json(top, kind), as_json, lambda: _print(found, top, kind, str(library)))


def _table(found: PairCheck) -> str:
    """Write every checked case with the rarity of each reason, in bits."""
    from medembed.pair_check import ReasonKind

    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        ["rank", "case_id", "split", "score", *(kind.value for kind in ReasonKind), "why"]
    )
    for rank, one in enumerate(found.suspects, 1):
        bits = (f"{one.bits_of(kind):.2f}" for kind in ReasonKind)
        why = "; ".join(reason.text for reason in one.reasons)
        # a spreadsheet executes cells that start like a formula
        name = f"'{one.case_id}" if one.case_id[0] in "=+-@" else one.case_id
        rows.writerow([rank, name, one.split, f"{one.score:.3f}", *bits, why])
    return text.getvalue()


def _print(found: PairCheck, top: int, kind: ReasonKind | None, library: str) -> None:
    write = sys.stdout.write
    write(f"checked {counted(len(found), 'pair')}")
    trained = counted_line(found.n_trained_on, "[is|are] of the split train")
    write(
        f"; {trained}, from which a model learns wrong pairs too\n" if found.n_trained_on else "\n"
    )
    if found.by_heart:
        write(
            "the model has learned its training pairs by heart and hardly finds wrong ones among "
            "them;\n  train another with --config pair-check name=pair-check and give it with "
            "--model pair-check\n  (medembed use makes the present one active again)\n"
        )
    if found.not_checked:
        lacking = ", ".join(f"{count} with {why}" for why, count in found.not_checked.items())
        write(f"not checked: {lacking} (medembed embed {library})\n")
    for name, count in found.counts().items():
        write(f"  {count:>6,}  {_WORDS[name]}\n")
    listed = found.ranked(kind)
    for rank, one in enumerate(listed[:top], 1):
        write(f"{rank:>4}. {one.case_id} ({one.split}, {one.score:.1f} bits)\n")
        for reason in one.reasons:
            write(f"        {reason.kind.value}: {reason.text}\n")
    if len(listed) > top:
        write(f"{len(listed) - top:,} more; list them with --top, or write all with --out\n")
    if listed:
        write("look at each before you change anything: a rare finding is suspicious too\n")
