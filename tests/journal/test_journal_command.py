"""The command journal: what it shows, exports, anchors and closes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.example_cases import make_case
from typer.testing import CliRunner, Result

from medembed.cli import build
from medembed.cli.recording import record_search
from medembed.journal import Action
from medembed.library import CaseLibrary


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(build(str(words[0])), [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with CaseLibrary.create(tmp_path / "lib") as library:
        library.add([make_case(i, case_id=f"C-{i:05d}") for i in range(4)])
        for actor, case_id in (("anna", "C-00000"), ("bo", "C-00001"), ("anna", "C-00001")):
            library.journal.record(Action.OPENED, actor=actor, cases=[case_id])
    return tmp_path / "lib"


def entries(*words: str | Path) -> list[dict[str, object]]:
    done = run("journal", *words, "--json")
    assert done.exit_code == 0, done.stderr
    return list(json.loads(done.stdout)["entries"])


def test_the_table_is_one_line_an_entry(folder: Path) -> None:
    done = run("journal", folder)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert lines[1].split()[2:] == ["anna", "opened", "done", "1", "case"]
    named = run("journal", folder, "--case-ids").stdout.splitlines()
    assert named[1].split()[2:] == ["anna", "opened", "done", "C-00000"]


def test_who_saw_a_case_and_what_a_user_did(folder: Path) -> None:
    assert [e["actor"] for e in entries(folder, "--case", "C-00001")] == ["bo", "anna"]
    assert [e["number"] for e in entries(folder, "--actor", "anna")] == [2, 4]
    assert entries(folder, "--case", "C-00003") == []
    assert entries(folder, "--until", "2020-01-01") == []
    ids = [e["case_ids"] for e in entries(folder, "--actor", "bo", "--case-ids")]
    assert ids == [["C-00001"]]


def test_reading_the_journal_is_in_the_journal(folder: Path) -> None:
    assert len(entries(folder)) == 4
    *_, last = entries(folder)
    assert (last["action"], last["actor"], last["details"]) == (
        "read",
        "local",
        {"format": "lines"},
    )


def test_each_format_is_one_entry_a_line(folder: Path, tmp_path: Path) -> None:
    for i, form in enumerate(("lines", "fhir", "atna")):
        done = run("journal", folder, "--format", form)
        assert done.exit_code == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 4 + i
        if form == "atna":
            assert {ElementTree.fromstring(line).tag for line in lines} == {"AuditMessage"}
        else:
            assert all(json.loads(line) for line in lines)
    out = tmp_path / "bundle.json"
    assert run("journal", folder, "--format", "fhir-bundle", "--out", out).exit_code == 0
    assert len(json.loads(out.read_text())["entry"]) == 7
    assert out.stat().st_mode & 0o777 == 0o600
    again = run("journal", folder, "--out", out)
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_a_head_kept_outside_proves_the_chain_later(folder: Path, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    head.write_text(run("journal", folder, "--head").stdout)
    kept = json.loads(head.read_text())
    assert (kept["count"], len(kept["digest"])) == (4, 64)
    entries(folder)
    done = run("journal", folder, "--check-head", head)
    assert done.exit_code == 0, done.stderr
    assert "4 entries" in done.stdout
    assert json.loads(run("journal", folder, "--check-head", head, "--json").stdout) == {
        "ok": True,
        "count": 5,
        "wrong": None,
    }
    kept["digest"] = "0" * 64
    head.write_text(json.dumps(kept))
    bad = run("journal", folder, "--check-head", head, "--json")
    assert bad.exit_code == 2
    assert json.loads(bad.stdout)["wrong"] == "entry 4 is not the one that the earlier head names"
    assert len(bad.stderr.splitlines()) == 1
    for text in ("", "{}", "[1]", '{"journal":1,"count":"a","digest":0,"time":0}'):
        head.write_text(text)
        wrong = run("journal", folder, "--check-head", head)
        assert wrong.exit_code == 2
        assert "not the head of a journal" in wrong.stderr
    assert run("journal", folder, "--check-head", tmp_path / "none").exit_code == 2


def test_a_part_is_archived_and_checked(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "old.jsonl"
    done = run("journal", folder, "--archive", file, "--before", "2999-01-01", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["n_entries"] == 4
    assert run("journal", folder, "--check-archive", file).exit_code == 0
    file.write_bytes(file.read_bytes().replace(b"anna", b"otto"))
    bad = run("journal", folder, "--check-archive", file)
    assert bad.exit_code == 2
    assert "entry 2" in bad.stderr or "its beginning" in bad.stderr
    assert [e["action"] for e in entries(folder)] == ["archived"]
    assert run("verify", folder).exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "yesterday"], "--since"),
        (["--head", "--check-head", "x"], "one of"),
        (["--archive", "x"], "belong together"),
        (["--before", "2026-01-01"], "belong together"),
        (["--format", "pdf"], "pdf"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(folder: Path, words: list[str], said: str) -> None:
    done = run("journal", folder, *words)
    assert done.exit_code != 0
    assert said in done.stderr + str(done.exception)
    assert "Traceback" not in done.stderr


def test_a_changed_entry_stops_the_export_with_its_number(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "journal.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE entries SET body = replace(body, 'bo', 'ob') WHERE number = 3")
    done = run("journal", folder, "--format", "lines")
    assert done.exit_code == 2
    assert "entry 3 does not match its seal" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_commands_record_what_they_show_and_take_out_and_no_word_of_a_query(
    folder: Path, tmp_path: Path
) -> None:
    assert run("backup", folder, tmp_path / "lib.zip").exit_code == 0
    with CaseLibrary.open(folder) as library:
        parts = {"text": "secret words", "image": None, "case": ["C-00002"]}
        record_search(library, parts, ["C-00002"], [{"case_id": "C-00001"}])
        *_, export, query, shown = library.journal.entries()
        numbers = library.journal.case_ids(library.find())
    assert (export.action, export.details["format"]) == (Action.EXPORT, "backup")
    assert (query.action, query.details["parts"]) == (Action.QUERY, "case+text")
    assert [numbers[number] for number in query.cases] == ["C-00002"]
    assert [numbers[number] for number in shown.cases] == ["C-00001"]
    assert b"secret" not in (folder / "journal.sqlite").read_bytes()
