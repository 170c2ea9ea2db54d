"""What was active since when is kept, and shown beside how far each model is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case
from typer.testing import CliRunner

from medembed.cli import build
from medembed.library import CaseLibrary
from medembed.library.locks import writer_lock
from medembed.model import model_history as history_module
from medembed.model.activation import activate, previous_fingerprint
from medembed.model.embed_cases import embed_lock
from medembed.model.model_history import HISTORY, model_history


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    """Models ``a`` with vectors of six cases and ``b`` with vectors of four; none is active."""
    with CaseLibrary.create(tmp_path / "library") as opened:
        opened.add(make_case(i) for i in range(6))
        for name, n in (("a", 6), ("b", 4)):
            folder = opened.path / "models" / name
            folder.mkdir(parents=True)
            (folder / "model.json").write_text(json.dumps({"fingerprint": name * 64}))
            opened.put_vectors(name * 64, "image", [f"case-{i}" for i in range(n)], np.eye(6)[:n])
        yield opened


def names(library: CaseLibrary) -> str:
    return "".join(each.name for each in model_history(library))


def test_each_change_is_kept_once_and_the_last_hundred_of_them(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_MOST", 5)
    for name in "aabba":
        assert activate(library, name)
    assert names(library) == "aba"
    assert previous_fingerprint(library) == "b" * 64
    for name in "baba":
        activate(library, name)
    assert names(library) == "ababa"
    assert all(each.since for each in model_history(library))


def test_a_model_that_was_active_before_a_history_was_kept_is_the_way_back(
    library: CaseLibrary,
) -> None:
    library.active_model = "a"
    assert previous_fingerprint(library) is None
    activate(library, "b")
    assert previous_fingerprint(library) == "a" * 64
    assert [each.since != "" for each in model_history(library)] == [False, True]


def test_a_change_that_would_lose_a_case_changes_nothing(library: CaseLibrary) -> None:
    activate(library, "a")
    assert not activate(library, "b", may_lose={"case-4"})
    assert (library.active_model, names(library)) == ("a", "a")
    assert activate(library, "b", may_lose={"case-4", "case-5"})
    assert activate(library, "a", may_lose=())


def test_a_history_that_is_not_one_is_none(library: CaseLibrary) -> None:
    library.set_meta(HISTORY, '[{"shoe": 1}]')
    assert model_history(library) == ()


def test_show_tells_how_far_each_model_is(library: CaseLibrary) -> None:
    activate(library, "b")
    activate(library, "a")
    with writer_lock(embed_lock(library, "b" * 64), "embedding"):
        shown = CliRunner().invoke(build(), ["show", "models", str(library.path)]).stdout
    assert "a (active)" in shown
    assert "b (previous: medembed use --back)" in shown
    assert "embedded: 6 of 6 cases, 0 of 0 notes\n" in shown
    assert "embedded: 4 of 6 cases, 0 of 0 notes, at work now\n" in shown
    done = CliRunner().invoke(build(), ["show", "models", str(library.path), "--json"])
    said = json.loads(done.stdout)
    assert (said["active_model"], said["previous_model"]) == ("a", "b")
    assert [each["name"] for each in said["model_history"]] == ["b", "a"]


@pytest.mark.parametrize("options", [[], ["a", "--back"], ["--back", "--no-activate"]])
def test_use_takes_a_model_or_back(library: CaseLibrary, options: list[str]) -> None:
    done = CliRunner().invoke(build(), ["use", str(library.path), *options])
    assert done.exit_code == 2
    assert "give a MODEL, or --back" in done.stderr
