"""Adding one more case reads nothing that grows with the library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.example_cases import make_case

from medembed import machine_faults
from medembed.cases import ScanRef
from medembed.library import CaseLibrary

GROWING = (
    "cases",
    "patients",
    "groups",
    "identities",
    "scans",
    "scan_contents",
    "notes",
    "vectors",
)


def read_whole(library: CaseLibrary, statement: str, given: Any) -> list[str]:
    """Growing tables of which SQLite's plan for a statement reads every row."""
    names = dict(re.findall(r"(?:FROM|JOIN) (\w+)(?: AS)? (\w+)?", statement))
    plan = library._db.execute(f"EXPLAIN QUERY PLAN {statement}", given).fetchall()
    read = [found[1] for *_, step in plan if (found := re.match(r"SCAN (\w+)", step))]
    aliases = {alias: table for table, alias in names.items()}
    return [table for name in read if (table := aliases.get(name, name)) in GROWING]


@pytest.mark.parametrize("again", [False, True], ids=["new", "known"])
def test_no_statement_reads_a_whole_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    scan = ScanRef(("/scans/a.dcm",), "a" * 64, "CR", "PA", pixel_sha256="b" * 64)
    case = make_case(2, scans=(scan,), group_id="G-1")
    asked: list[tuple[str, Any]] = []
    with CaseLibrary.create(tmp_path / "lib") as library:
        library.add([make_case(1), *([case] if again else [])])
        with monkeypatch.context() as patched:
            real = machine_faults._Connection.execute

            def recording(self: Any, statement: str, *given: Any) -> Any:
                asked.append((statement, given[0] if given else ()))
                return real(self, statement, *given)

            patched.setattr(machine_faults._Connection, "execute", recording)
            library.add([case])
        selects = [one for one in asked if one[0].lstrip().startswith(("SELECT", "WITH"))]
        assert len(selects) > 2
        for statement, given in selects:
            assert read_whole(library, statement, given) == [], statement
