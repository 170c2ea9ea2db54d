"""The comparison of two models for people: lines for the terminal, a page, and the files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.shadow.compare import ChangedCase, ShadowComparison
from medembed.counted import counted
from medembed.errors import InputError
from medembed.privacy.private_files import private_folder, replace_private

__all__ = ["lines", "markdown", "write_comparison"]

_KINDS = {"image": "by image", "note": "by report", "words": "by words"}
_LISTED = 10


def lines(found: ShadowComparison) -> Iterator[str]:
    """Yield what the terminal shows: all queries, groups with a verdict, the most changed cases."""
    report = found.report
    yield _opening(report)
    yield ""
    yield from _table(
        ("query", "measure", "patients", "value [95%]"),
        [
            (_KINDS[row["kind"]], row["measure"], _count(row), _with_ends(row, "estimate"))
            for row in report["agreement"]
            if row["attribute"] == "all"
        ],
    )
    yield ""
    yield from _table(
        ("query", "measure", report["active"]["name"], report["candidate"]["name"],
         "change [95%]", "verdict"),
        [
            (_KINDS[row["kind"]], row["measure"], _number(row["before"]), _number(row["after"]),
             _with_ends(row, "change", sign=True), _words(row["verdict"]))
            for row in report["quality"]
            if row["attribute"] == "all"
        ],
    )  # fmt: skip
    yield from _group_lines(report)
    yield from _remarks(report)
    if found.most_changed:
        yield ""
        yield "Most changed:"
        yield from _table(
            ("case", "query", "same hits", "first hit before", "first hit after"),
            [
                (one.case_id, one.kind, f"{one.overlap:.0%}", one.first_before, one.first_after)
                for one in found.most_changed[:_LISTED]
            ],
        )


def _opening(report: Mapping[str, Any]) -> str:
    split = " held out of the training" if report["held_out"] else ""
    cases = counted(report["n_queries"], "case")
    patients = counted(report["n_patients"], "patient")
    return (
        f"{report['candidate']['name']} beside {report['active']['name']}: {cases} of {patients}"
        f"{split} as queries, among {counted(report['coverage']['both'], 'case')}"
    )


def _group_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Groups for which something was shown."""
    changed = [
        f"{row['attribute']} {row['group']}, {_KINDS[row['kind']]}: {row['measure']} "
        f"{_with_ends(row, 'change', sign=True)}, {_words(row['verdict'])}"
        for row in report["quality"]
        if row["attribute"] != "all" and row["verdict"] in ("improved", "worse")
    ]
    other = [
        f"{row['attribute']} {row['group']}, {_KINDS[row['kind']]}: {row['measure']} "
        f"{_number(row['estimate'])}, {_number(row['gap'], sign=True)} against the rest"
        for row in report["agreement"]
        if row["verdict"] in ("exceeds", "differs")
    ]
    yield ""
    if len({row["attribute"] for row in report["agreement"]}) < 2:
        return
    if not changed and not other:
        yield "By group: no change of quality was shown, and no group changes more than the rest."
    yield from (f"By group: {line}" for line in (*changed, *other))


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    for kind, why in report["not_assessable"].items():
        yield f"{_KINDS[kind]}: not assessable, {why}"
    lost = report["coverage"]["only_active"]
    if lost:
        yield f"{counted(lost, 'case')} without a vector of the candidate were left out"
    if report["rounded"]:
        yield "rounded so that no group of 1 to 10 patients can be worked out"


def markdown(report: Mapping[str, Any]) -> str:
    """Write the report as a page; it names no case."""
    active, candidate = report["active"], report["candidate"]
    parts = [
        f"# {candidate['name']} beside {active['name']}",
        _opening(report) + ".",
        f"Active: `{active['fingerprint'][:12]}`. Candidate: `{candidate['fingerprint'][:12]}`. "
        f"Each query searches all other patients' cases; k = {report['k']}.",
        "## What stays",
        "`overlap`: share of the hits that both models find. `first hit kept`: share of queries "
        "with the same first hit. `rank-biased overlap`: agreement of the order, the top counting "
        "most. Intervals are over patients, 95%.",
        _grid(
            ("query", "measure", "group", "patients", "value [95%]", "against the rest", "verdict"),
            [
                (_KINDS[row["kind"]], row["measure"], _group(row), _count(row),
                 _with_ends(row, "estimate"), _number(row["gap"], sign=True),
                 _words(row["verdict"]))
                for row in report["agreement"]
            ],
        ),
        "## What gets better or worse",
        "Share of the hits with a finding of the query, on its side.",
        _grid(
            ("query", "measure", "group", "patients", active["name"], candidate["name"],
             "change [95%]", "p (adjusted)", "verdict"),
            [
                (_KINDS[row["kind"]], row["measure"], _group(row), _count(row),
                 _number(row["before"]), _number(row["after"]),
                 _with_ends(row, "change", sign=True), _number(row["p_adjusted"]),
                 _words(row["verdict"]))
                for row in report["quality"]
            ],
        ),
        "## To know",
        "\n".join(f"- {line}" for line in (*_remarks(report), *report["notes"])),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def write_comparison(found: ShadowComparison, folder: str | Path) -> dict[str, Path]:
    """Write ``comparison.json``, ``comparison.md`` and ``most-changed.csv`` into a folder.

    The first two name no case. The third lists cases and is for those who may search the library.

    Raises
    ------
    InputError
        If the folder can't be written.
    """
    place = Path(folder)
    plain = json.dumps(found.report, indent=1, ensure_ascii=False, allow_nan=False)
    texts = {
        "json": ("comparison.json", plain + "\n"),
        "page": ("comparison.md", markdown(found.report)),
        "cases": ("most-changed.csv", _cases(found.most_changed)),
    }
    try:
        private_folder(place)
        for name, text in texts.values():
            with replace_private(place / name) as file:
                file.write(text.encode())
    except OSError as error:
        raise InputError(
            f"can't be written ({error.strerror})", where=place.name, hint="choose another --out"
        ) from None
    return {key: place / name for key, (name, _) in texts.items()}


def _cases(most_changed: Sequence[ChangedCase]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ChangedCase.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in most_changed)
    return text.getvalue()


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "Not measured."
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in cells)


def _cell(text: str) -> str:
    """A value of a source, such as a scanner's name, is no markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _group(row: Mapping[str, Any]) -> str:
    return "all" if row["attribute"] == "all" else f"{row['attribute']} {row['group']}"


def _count(row: Mapping[str, Any]) -> str:
    return "–" if row["n_patients"] is None else str(row["n_patients"])


def _with_ends(row: Mapping[str, Any], name: str, *, sign: bool = False) -> str:
    value = _number(row[name], sign=sign)
    if row["ci_low"] is None or row["ci_high"] is None or value == "–":
        return value
    return f"{value} [{_number(row['ci_low'], sign=sign)}, {_number(row['ci_high'], sign=sign)}]"


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{value + 0.0:+.3f}" if sign else f"{value + 0.0:.3f}"
    return text.removesuffix("0")  # a rounded one has two digits


def _words(verdict: str | None) -> str:
    return (verdict or "–").replace("_", " ")
