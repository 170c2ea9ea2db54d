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
    named = re.findall(r"(?:FROM|JOIN|UPDATE|INTO) (\w+)(?: AS)?(?: (\w+))?", statement)
    tables = {alias: table for table, alias in named} | {table: table for table, _ in named}
    plan = library._db.execute(f"EXPLAIN QUERY PLAN {statement}", given).fetchall()
    read = [found[1] for *_, step in plan if (found := re.match(r"SCAN (\w+)", step))]
    return [tables[name] for name in read if tables.get(name) in GROWING]


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
            for name in ("execute", "executemany"):
                real = getattr(machine_faults._Connection, name)

                def recording(self: Any, statement: str, *given: Any, real: Any = real) -> Any:
                    each = given[0] if given else ()
                    if real.__name__ == "executemany":
                        each = [*each]
                        given = (each,)
                        asked.extend((statement, one) for one in each[:1])
                    else:
                        asked.append((statement, each))
                    return real(self, statement, *given)

                patched.setattr(machine_faults._Connection, name, recording)
            library.add([case])
        verbs = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
        statements = [one for one in asked if one[0].lstrip().startswith(verbs)]
        assert len(statements) > 2
        assert any(one[0].startswith("INSERT INTO scans") for one in statements) is not again
        for statement, given in statements:
            assert read_whole(library, statement, given) == [], statement


def test_this_check_sees_what_it_looks_for(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "lib") as library:
        both = "SELECT 1 FROM cases a JOIN cases b ON b.id = a.id"
        assert read_whole(library, both, ()) == ["cases"]
        assert read_whole(library, "DELETE FROM scans WHERE sha256 > ?", ("",)) == []
        assert read_whole(library, "DELETE FROM scans WHERE files = ?", ("",)) == ["scans"]
        assert read_whole(library, "UPDATE cases SET sex = 'F' WHERE sex = ?", ("M",)) == ["cases"]
