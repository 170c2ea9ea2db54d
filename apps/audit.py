"""The verb ``audit``: how a search treats each group of patients, from a library or a table."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import EXIT_GATE, AsJson, emit, note, progress_bar, verb
from medembed.counted import counted
from medembed.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from evaluation.library_audit import TextSide
    from medembed.model.resolve import ModelChoice

__all__ = ["audit"]

_LINE = 160


@verb
def audit(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="LIBRARY|TABLE",
            help="Folder of a case library, or a csv or parquet file with one row per query.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to write the report to.")
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="FILE",
            help="Protocol: a file or a name (a library's default: audit). A table needs a file.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="A,B,…", help="Audit these attributes instead of the protocol's."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Name, folder or fingerprint of a model; default: active."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Cases to use as queries: test, val, train or all."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="MODEL", help="Compare with another model on the same queries."
        ),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(
            "--before",
            metavar="AUDIT",
            help="List the verdicts that changed since an earlier audit: its audit.json or its "
            "folder.",
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Exit with code 3 unless the release check passes: every primary question shown "
            "to be within its margin, alike in all strata, and no other gap found.",
        ),
    ] = False,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Audit the cases that have vectors even if others of the split have none.",
        ),
    ] = False,
    undated: Annotated[
        bool, typer.Option("--undated", help="Omit the date (byte-identical reruns).")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all random draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a fairness report of a search: HTML for a board, JSON, CSV and a model card.

    Audits the search of a LIBRARY, or a TABLE of any system's per-query outcomes. The questions
    are declared beforehand in a protocol, whose digest is stamped into the report. Groups of 1 to
    10 patients are merged, or shown without numbers. --against compares the model with another
    one of the library on the same queries; --before lists the verdicts that changed since an
    earlier audit. The main figures of a library's audit are also kept in its folder
    (audit/latest.json), where the reading room finds them. With --gate the exit code is 0 if the
    release check passes and 3 if it does not; no other verb exits with 3.

    Example: medembed audit demo-library --out audit --by sex,age_band

    Example: medembed audit outcomes.csv --protocol our-table.yaml --out audit
    """
    from evaluation.latest_audit import keep_latest
    from evaluation.report import write_report

    earlier = None if before is None else _earlier(before)
    day = None if undated else datetime.now(UTC).date()
    if source.is_dir():
        report = _of_library(
            source, protocol, by, model, split, against, earlier, day, seed, allow_partial
        )
    elif source.is_file():
        options = {
            "--by": by, "--model": model, "--split": split, "--against": against,
            "--allow-partial": allow_partial or None,
        }  # fmt: skip
        for option, value in options.items():
            if value is not None:
                raise InputError("needs a LIBRARY, not a table", where=option)
        report = _of_table(source, protocol, earlier, day, seed)
    else:
        raise InputError(
            "neither a library nor a table",
            where=source.name,
            hint="give the folder of a library, or a csv or parquet file",
        )
    written = write_report(report, out)
    if source.is_dir():
        keep_latest(source, report)  # the reading room states it beside its hits
    found = {
        "gate": report["gate"],
        "files": {name: str(path) for name, path in written.items()},
        "stamp": report["stamp"],
        "outcomes": report["outcomes"]["table"],
        "mitigation": report["mitigation"],
        "comparison": report["comparison"],
        "drift": report["drift"],
    }
    emit(found, as_json, lambda: _show(report, written))
    if gate and not report["gate"]["passed"]:
        note(
            f"medembed: release check: {report['gate']['answer']}: "
            + "; ".join(report["gate"]["reasons"][:3])
        )
        raise SystemExit(EXIT_GATE)


def _of_table(
    table: Path,
    protocol: str | None,
    earlier: dict[str, Any] | None,
    day: date | None,
    seed: int,
) -> dict[str, Any]:
    from evaluation.table_audit import audit_table, load_table_protocol

    if protocol is None:
        raise InputError(
            "the audit of a table needs --protocol FILE",
            where=table.name,
            hint="it names the columns: docs/guides/audit.md",
        )
    declared = load_table_protocol(protocol)
    with progress_bar("auditing") as progress:
        return audit_table(table, declared, earlier=earlier, day=day, seed=seed, progress=progress)


def _of_library(
    library: Path,
    protocol: str | None,
    by: str | None,
    model: str | None,
    split: str | None,
    against: str | None,
    earlier: dict[str, Any] | None,
    day: date | None,
    seed: int,
    partial: bool,
) -> dict[str, Any]:
    from evaluation.library_audit import audit_library, load_protocol
    from medembed.library import CaseLibrary
    from medembed.model.resolve import choose_model

    declared = load_protocol(protocol or "audit")
    if by is not None:
        declared = declared.by([name.strip() for name in by.split(",") if name.strip()])
    if split is not None:
        declared = declared.with_split(split)
    with CaseLibrary.open(library) as opened:
        choice = choose_model(opened, model)
        other = None if against is None else choose_model(opened, against).fingerprint
        with progress_bar("auditing") as progress:
            return audit_library(
                opened,
                declared,
                fingerprint=choice.fingerprint,
                text_side=_text_side(choice),
                against=other,
                earlier=earlier,
                allow_partial=partial,
                day=day,
                seed=seed,
                progress=progress,
            )


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


def _text_side(choice: ModelChoice) -> TextSide | None:
    """Text to vectors by the audited model, loaded when first needed; None without its folder."""
    from evaluation.library_audit import TextSide
    from medembed.model import DualEncoder
    from medembed.model.report_text import note_text

    if choice.folder is None:
        return None
    loaded: list[DualEncoder] = []

    def encode(texts: list[str]) -> NDArray[np.float32]:
        if not loaded:
            loaded.append(choice.load())
        return loaded[0].encode_notes(texts)

    return TextSide(note_text, encode)


def _show(report: dict[str, Any], written: dict[str, Path]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    from evaluation.stats.verdict import decides

    rows = [row for row in report["outcomes"]["table"] if decides(row["comparison"])]
    stamp = report["stamp"]
    split = f", split {stamp['split']}" if stamp.get("split") else ""
    console.print(
        f"{_size(stamp)}{split}, "
        f"protocol {stamp['protocol_name']} ({stamp['protocol_sha256'][:12]})"
    )
    kinds = {row["comparison"] == "rest" for row in rows}
    other = "the rest" if kinds <= {True} else "its reference"
    other = "the rest or its reference" if len(kinds) > 1 else other
    console.print(f"Comparisons of a group with {other}: " + _counted(rows, "verdict"))
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
    _show_changes(report, lambda line: console.print(Text(line)))
    console.print(Text(f"Release check: {report['gate']['answer']}"))
    for name, path in written.items():
        console.print(Text(f"{name}: {path}"))


def _size(stamp: dict[str, Any]) -> str:
    """How much was audited; a number that would reveal a small group's size is withheld."""
    if stamp["n_patients"] is None:
        return "Number of patients withheld (it would reveal the size of a small group)"
    noun, plural = ("case", "cases") if stamp.get("library") else ("query", "queries")
    n_cases = stamp["n_cases"]
    what = plural if n_cases is None else counted(n_cases, noun, plural)
    return f"{what} of {counted(stamp['n_patients'], 'patient')}"


def _show_changes(report: dict[str, Any], show: Callable[[str], None]) -> None:
    """Show what was tried, what changed, and from what to what."""
    tried, compared, drift = (report[name] for name in ("mitigation", "comparison", "drift"))
    for one in tried["summary"] if tried is not None else []:
        advice = "recommended" if one["recommended"] else "not recommended"
        show(f"Tried: {one['name']}: {advice} ({_shortened(one['reasons'])})")
    if compared is not None:
        from medembed.vector_exchange import short_fingerprint

        names = {side: short_fingerprint(name) for side, name in compared["models"].items()}
        show(f"Change from model {names['before']} (before) to {names['after']} (after):")
        show("  " + (_counted(compared["rows"], "verdict") or compared["notes"][0]))
        for row in compared["rows"]:
            if row["primary"] or row["verdict"] in ("improved", "worse"):
                whole = row["attribute"] == "all"
                group = "all patients" if whole else f"{row['attribute']} {row['group']}"
                show(
                    f"  {group}, {row['outcome']}: "
                    f"{_interval(row, 'change', 'ci')}, {row['verdict'].replace('_', ' ')}"
                )
    if drift is not None:
        changed = [row for row in drift["rows"] if row["turn"] != "same"]
        counts = _counted(changed, "turn") or "none"
        show(f"Verdicts that changed since the earlier audit (listed, not tested): {counts}")


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
