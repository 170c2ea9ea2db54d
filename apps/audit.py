"""The verb ``audit``: how the search of a library treats each group of patients."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import EXIT_GATE, AsJson, LibraryPath, emit, note, progress_bar, verb
from medembed.errors import InputError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from evaluation.library_audit import TextSide
    from medembed.library import CaseLibrary

__all__ = ["audit"]

_LINE = 160


@verb
def audit(
    library: LibraryPath,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that the report is written to.")
    ],
    protocol: Annotated[
        str,
        typer.Option("--protocol", metavar="FILE", help="Declared protocol: a file or a name."),
    ] = "audit",
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="A,B,…", help="Attributes instead of the protocol's."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name or folder of a model; the active one without it."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Whose cases ask: test, val, train or all."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="MODEL", help="Another model, asked the same."),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option("--before", metavar="AUDIT", help="An earlier audit.json, or its folder."),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Exit with code 3 unless every primary question is shown to be within its margin.",
        ),
    ] = False,
    undated: Annotated[
        bool, typer.Option("--undated", help="Leave the day out: a rerun is the same to the bit.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all that is drawn.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a fairness report of the search: HTML for a board, JSON, CSV and a model card.

    What is asked is declared beforehand in a protocol, which is stamped into the report. Nothing
    is shown of groups of 1 to 10 patients. --against compares the model with another one of the
    library on the same queries; --before lists the verdicts that turned since an earlier audit.
    With --gate the exit code is 0 where the gate passes and 3 where it does not; no other verb
    exits with 3.

    Example: medembed audit demo-library --out audit --by sex,age_band
    """
    from evaluation.library_audit import audit_library, load_protocol
    from evaluation.report import write_report
    from evaluation.retrieval.library import find_fingerprint
    from medembed.library import CaseLibrary

    declared = load_protocol(protocol)
    if by is not None:
        declared = declared.by([name.strip() for name in by.split(",") if name.strip()])
    if split is not None:
        declared = declared.with_split(split)
    earlier = None if before is None else _earlier(before)
    with CaseLibrary.open(library) as opened:
        fingerprint = find_fingerprint(opened, model)
        with progress_bar("auditing") as progress:
            report = audit_library(
                opened,
                declared,
                fingerprint=fingerprint,
                text_side=_text_side(opened, model),
                against=None if against is None else find_fingerprint(opened, against),
                earlier=earlier,
                day=None if undated else datetime.now(UTC).date(),
                seed=seed,
                progress=progress,
            )
    written = write_report(report, out)
    found = {
        "gate": report["gate"],
        "files": {name: str(path) for name, path in written.items()},
        "stamp": report["stamp"],
        "outcomes": report["outcomes"]["table"],
        "mitigation": report["mitigation"],
        "comparison": report["comparison"],
        "drift": report["drift"],
    }
    emit(found, as_json, lambda: _tell(report, written))
    if gate and not report["gate"]["passed"]:
        note(
            f"medembed: gate: {report['gate']['answer']}: "
            + "; ".join(report["gate"]["reasons"][:3])
        )
        raise SystemExit(EXIT_GATE)


def _earlier(path: Path) -> dict[str, Any]:
    """Read the JSON of an earlier audit."""
    import json

    file = path / "audit.json" if path.is_dir() else path
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        held = None
    if not isinstance(held, dict):
        raise InputError(
            "not an audit's JSON", where=f"--before {path.name}", hint="give its audit.json"
        )
    return held


def _text_side(library: CaseLibrary, name: str | None) -> TextSide | None:
    """Words to vectors by the model of the vectors, loaded when first asked; None without it."""
    from evaluation.library_audit import TextSide
    from medembed.model import DualEncoder, find_model
    from medembed.model.report_text import note_text

    try:
        folder = find_model(library, name)
    except ModelError:
        return None
    loaded: list[DualEncoder] = []

    def encode(texts: list[str]) -> NDArray[np.float32]:
        if not loaded:
            loaded.append(DualEncoder.load(folder))
        return loaded[0].encode_notes(texts)

    return TextSide(note_text, encode)


def _tell(report: dict[str, Any], written: dict[str, Path]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    rows = [row for row in report["outcomes"]["table"] if row["comparison"] == "rest"]
    stamp = report["stamp"]
    console.print(
        f"{_size(stamp)}, split {stamp['split']}, "
        f"protocol {stamp['protocol_name']} ({stamp['protocol_sha256'][:12]})"
    )
    console.print("Comparisons of a group with the rest: " + _counted(rows, "verdict"))
    shown = [row for row in rows if row["primary"] or row["verdict"] in ("exceeds", "differs")]
    if shown:
        table = Table(box=None, pad_edge=False)
        for name in ("attribute", "group", "outcome", "patients", "gap [95%]", "p", "verdict"):
            table.add_column(name)
        for row in shown:
            table.add_row(
                row["attribute"],
                Text(row["group"]),
                row["outcome"],
                "–" if row["n_patients"] is None else str(row["n_patients"]),
                _interval(row),
                "–" if row["p_adjusted"] is None else f"{row['p_adjusted']:.3f}",
                row["verdict"].replace("_", " "),
            )
        console.print(table)
    _tell_changes(report, lambda line: console.print(Text(line)))
    console.print(Text(f"Gate: {report['gate']['answer']}"))
    for name, path in written.items():
        console.print(Text(f"{name}: {path}"))


def _size(stamp: dict[str, Any]) -> str:
    """How much was audited; a number that would tell a small group's size is withheld."""
    if stamp["n_patients"] is None:
        return "Number of patients withheld (a small group could be told from it)"
    cases = "cases" if stamp["n_cases"] is None else f"{stamp['n_cases']} cases"
    return f"{cases} of {stamp['n_patients']} patients"


def _tell_changes(report: dict[str, Any], say: Callable[[str], None]) -> None:
    """Say what was tried, what changed, and from what to what."""
    tried, compared, drift = (report[name] for name in ("mitigation", "comparison", "drift"))
    for one in tried["summary"] if tried is not None else []:
        advice = "recommended" if one["recommended"] else "not recommended"
        say(f"Tried: {one['name']}: {advice} ({_shortened(one['reasons'])})")
    if compared is not None:
        models = compared["models"]
        say(
            f"Change from model {models['before'][:12]} (before) to {models['after'][:12]} (after):"
        )
        say("  " + (_counted(compared["rows"], "verdict") or compared["notes"][0]))
        for row in compared["rows"]:
            if row["primary"] or row["verdict"] in ("improved", "worse"):
                whole = row["attribute"] == "all"
                who = "all patients" if whole else f"{row['attribute']} {row['group']}"
                say(
                    f"  {who}, {row['outcome']}: "
                    f"{_interval(row, 'change', 'ci')}, {row['verdict'].replace('_', ' ')}"
                )
    if drift is not None:
        turned = [row for row in drift["rows"] if row["turn"] != "same"]
        said = _counted(turned, "turn") or "none"
        say(f"Verdicts that turned since the earlier audit (listed, not tested): {said}")


def _shortened(reasons: list[str]) -> str:
    first = reasons[0] if len(reasons[0]) <= _LINE else f"{reasons[0][:_LINE]}…"
    return first if len(reasons) == 1 else f"{first}, and more in the report"


def _counted(rows: list[dict[str, Any]], key: str) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row[key]] = counts.get(row[key], 0) + 1
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in sorted(counts.items()))


def _interval(row: dict[str, Any], name: str = "gap", ends: str = "gap_ci") -> str:
    low, high = row[f"{ends}_low"], row[f"{ends}_high"]
    if row[name] is None or low is None:
        return "–"
    return f"{row[name]:+.3f} [{low:+.3f}, {high:+.3f}]"
