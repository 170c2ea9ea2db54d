"""What is written down of each request, and that nothing is shown which could not be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from apps.service.person import Caller
from medembed.errors import LibraryError
from tests.service.conftest import problem


@dataclass
class Written:
    entries: list[tuple[str, str, list[str], dict[str, Any], bool]] = field(default_factory=list)
    fails: bool = False

    def __call__(self, entry: Any, actor: str, cases: Any = (), details: Any = None, *,
                 refused: bool = False) -> None:  # fmt: skip
        if self.fails:
            raise LibraryError("the journal is read-only here", where="journal.sqlite")
        self.entries.append((entry.name, actor, list(cases), dict(details or {}), refused))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    written = Written()
    monkeypatch.setattr(
        "apps.service.journaling.JournalWriter.write", lambda _, *a, **k: written(*a, **k)
    )
    return written


def test_a_search_is_written_with_what_it_showed_and_without_its_words(
    client: TestClient, written: Written
) -> None:
    answer = client.post("/v1/search", json={"text": "planted words", "case": "C-0002", "k": 3})
    shown = [hit["case_id"] for hit in answer.json()["hits"]]
    query, hits = written.entries
    assert query[:3] == ("QUERY", "local", ["C-0002"])
    assert query[3]["parts"] == "text+case"
    assert hits[:2] == ("SHOWN", "local")
    assert set(shown) <= set(hits[2])
    assert "planted" not in repr(written.entries)


def test_every_case_that_an_answer_names_is_written(client: TestClient, written: Written) -> None:
    import re

    answer = client.post("/v1/search", json={"text": "effusion", "k": 2})
    named = set(re.findall(r"C-\d{4}", answer.text))
    assert named == set(written.entries[1][2])


@pytest.mark.parametrize(
    ("path", "entry"),
    [("", "OPENED"), ("/thumbnail", "PIXELS"), ("/scans/1/frames/1", "PIXELS"),
     ("/scans/1/metadata", "PIXELS")],
)  # fmt: skip
def test_what_is_opened_is_written(
    client: TestClient, written: Written, path: str, entry: str
) -> None:
    assert client.get(f"/v1/cases/C-0001{path}").status_code == 200
    assert written.entries[-1][:3] == (entry, "local", ["C-0001"])


def test_what_is_refused_is_written(
    client: TestClient, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Caller("ben", may=lambda _: False)
    monkeypatch.setattr("apps.service.asking.caller_of", lambda _: nobody)
    problem(client.get("/v1/cases/C-0001"), 403, "forbidden")
    assert written.entries == [("REFUSED", "ben", [], {"right": "view"}, True)]


def test_what_cannot_be_written_is_not_shown(client: TestClient, written: Written) -> None:
    written.fails = True
    for answer in (
        client.post("/v1/search", json={"text": "effusion"}),
        client.get("/v1/cases/C-0001"),
        client.get("/v1/cases/C-0001/scans/1/frames/1"),
    ):
        assert "journal" in problem(answer, 503, "not-ready")


def test_each_line_of_a_batch_is_written(client: TestClient, written: Written) -> None:
    client.post(
        "/v1/search/batch",
        content='{"text": "a", "k": 1}\n{"case": "nobody"}\n{"text": "b", "k": 1}\n',
        headers={"content-type": "application/x-ndjson"},
    )
    assert sorted(entry[0] for entry in written.entries) == ["QUERY", "QUERY", "SHOWN", "SHOWN"]


def test_an_audit_is_served_and_written(
    client: TestClient, written: Written, library_path: Path
) -> None:
    import json
    import shutil

    from apps.service.answers import AuditAnswer
    from apps.service.examples import AUDIT

    problem(client.get("/v1/audit"), 404, "not-found")
    folder = library_path / "audit"
    folder.mkdir()
    try:
        held = {**AUDIT, "outcomes": {"table": AUDIT["outcomes"]}, "other": float("nan")}
        (folder / "audit.json").write_text(json.dumps(held))
        answer = client.get("/v1/audit")
        assert answer.json() == AUDIT
        AuditAnswer.model_validate_json(answer.content)
        assert written.entries == [("AUDIT", "local", [], {}, False)]
        for damaged in ("", "[]", "{}", '{"outcomes": {"table": 1}, "stamp": {}, "gate": {}}',
                        "[" * 10**5):  # fmt: skip
            (folder / "audit.json").write_text(damaged)
            problem(client.get("/v1/audit"), 404, "not-found")
    finally:
        shutil.rmtree(folder)
