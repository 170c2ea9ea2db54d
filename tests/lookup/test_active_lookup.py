"""Readers at work follow a change of the model: every answer is wholly of one, and none fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import write_library
from support.two_models import second_toy_model

from medembed.errors import FingerprintError, ModelError
from medembed.library import CaseLibrary
from medembed.lookup import ActiveLookup, CaseLookup, Result
from medembed.model import DualEncoder, embed_library, toy_model
from medembed.model.activation import activate, previous_fingerprint
from medembed.model.model_history import model_history
from medembed.model.use_model import go_back, use_model

TEXT = "left effusion"
Answer = list[tuple[str, float]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four cases with vectors of two models of one dimension; ``a`` is active."""
    folder = tmp_path_factory.mktemp("two-models")
    with pytest.MonkeyPatch.context() as patched, write_library(folder, n=24) as opened:
        patched.setattr(DualEncoder, "export", lambda *_: [])
        for name, model in (("a", toy_model()), ("b", second_toy_model())):
            model.save(opened.path / "models" / name)
            embed_library(opened, DualEncoder.load(opened.path / "models" / name), workers=1)
    return folder


@pytest.fixture
def library(template: Path, tmp_path: Path) -> Iterator[CaseLibrary]:
    shutil.copytree(template, tmp_path / "copy")
    with CaseLibrary.open(tmp_path / "copy" / "library") as opened:
        yield opened


def answer(result: Result) -> Answer:
    return [(hit.case_id, round(hit.score, 5)) for hit in result.hits]


def fingerprint_of(library: CaseLibrary, name: str) -> str:
    with CaseLookup(library, name) as lookup:
        return lookup.fingerprint


def expected(library: CaseLibrary) -> dict[str, dict[str, Answer]]:
    """Answers of each model alone to a text and to a case, by fingerprint."""
    found = {}
    for name in ("a", "b"):
        with CaseLookup(library, name) as lookup:
            found[lookup.fingerprint] = {
                "text": answer(lookup.search(text=TEXT, k=5)),
                "case": answer(lookup.search(case="C-003", k=5)),
            }
    return found


def test_during_twenty_four_changes_every_answer_is_wholly_of_one_model(
    library: CaseLibrary,
) -> None:
    right = expected(library)
    first, second = right
    mixed = DualEncoder.load(library.path / "models/a").encode_notes([TEXT])[0]
    ids, vectors = library.vectors(second, "image")
    best = ids[int(np.argmax(vectors @ mixed))]
    assert best != right[second]["text"][0][0], "a mixed search would be seen"
    wrong: list[object] = []
    seen: list[str] = []
    stop = threading.Event()

    def read(lookup: ActiveLookup, query: dict[str, str]) -> None:
        (kind,) = query
        while not stop.is_set():
            try:
                result = lookup.search(**query, k=5)
            except Exception as error:  # noqa: BLE001  any failure is one
                wrong.append(error)
                return
            seen.append(result.fingerprint)
            if answer(result) != right[result.fingerprint][kind]:
                wrong.append((kind, result.fingerprint, answer(result)))

    with ActiveLookup(library) as lookup:
        threads = [
            threading.Thread(target=read, args=(lookup, query))
            for query in ({"text": TEXT}, {"case": "C-003"}) * 2
        ]
        for thread in threads:
            thread.start()
        for number in range(24):
            report = go_back(library) if number % 2 else use_model(library, "b")
            assert report.embedded.activated
            until(lambda now=report.fingerprint: lookup.current.fingerprint == now)
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert set(seen) == {first, second}
    assert [each.fingerprint for each in model_history(library)] == [first, second] * 12 + [first]


def until(met: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait; a reader that never follows fails here."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.002)


_READER = """
import json, sys
from medembed.library import CaseLibrary
from medembed.lookup import ActiveLookup
right, wrong, last = json.loads(sys.argv[2]), [], ""
with CaseLibrary.open(sys.argv[1]) as library, ActiveLookup(library) as lookup:
    while library.get_meta("stop") is None:
        result = lookup.search(text="left effusion", k=5)
        found = [[hit.case_id, round(hit.score, 5)] for hit in result.hits]
        if found != right[result.fingerprint]["text"]:
            wrong.append(found)
        if result.fingerprint != last:
            last = result.fingerprint
            print(last, flush=True)
print(json.dumps(wrong))
"""


@pytest.mark.slow
def test_other_processes_follow_too(library: CaseLibrary) -> None:
    right = expected(library)
    names = {name: fingerprint_of(library, name) for name in "ab"}
    command = [sys.executable, "-c", _READER, str(library.path), json.dumps(right)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for number in range(21):
            name = "ab"[number % 2]
            if number:
                use_model(library, name)
            for reader in readers:
                assert reader.stdout is not None
                assert reader.stdout.readline().strip() == names[name]
        library.set_meta("stop", "yes")
        for reader in readers:
            assert json.loads(reader.communicate(timeout=60)[0]) == []
            assert reader.returncode == 0
    finally:
        for reader in readers:
            if reader.poll() is None:
                reader.kill()
                reader.communicate()


def test_a_new_model_without_vectors_leaves_the_reader_with_the_old_one(
    library: CaseLibrary,
) -> None:
    with ActiveLookup(library) as lookup:
        before = lookup.search(text=TEXT, k=3)
        library.drop_vectors(fingerprint_of(library, "b"))
        library.active_model = "b"
        with pytest.raises(FingerprintError):
            lookup.refresh()
        assert answer(lookup.search(text=TEXT, k=3)) == answer(before)


def test_a_search_whose_vectors_are_gone_is_answered_by_the_active_model(
    library: CaseLibrary,
) -> None:
    second = fingerprint_of(library, "b")
    with ActiveLookup(library) as lookup:
        old = lookup.search(text=TEXT, k=3)
        activate(library, "b")
        library.drop_vectors(lookup.current.fingerprint)
        result = lookup.search(text=TEXT, k=3)
        assert (result.fingerprint, len(result.hits)) == (second, 3)
        assert old.fingerprint != second


def test_going_back_embeds_what_came_in_since_and_ends_where_it_began(
    library: CaseLibrary,
) -> None:
    first, second = fingerprint_of(library, "a"), fingerprint_of(library, "b")
    use_model(library, "b")
    assert previous_fingerprint(library) == first
    with library.database.write() as db:  # as if three cases had come in since
        from medembed.library.vectors import VectorStore

        for row in (1, 2, 3):
            VectorStore(db).forget(first, "image", row)
    report = go_back(library)
    assert (report.embedded.images, report.embedded.activated) == (3, True)
    assert not library.missing_vectors(first, "image")
    assert go_back(library).fingerprint == second
    assert len(model_history(library)) == 4


def test_without_a_previous_model_going_back_says_so(library: CaseLibrary) -> None:
    with pytest.raises(ModelError, match="no model was active before"):
        go_back(library)
    assert library.active_model == "a"


def test_a_case_that_the_active_model_gets_at_the_last_moment_is_embedded_before_the_change(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medembed.model import embed_cases

    second = fingerprint_of(library, "b")
    look = embed_cases.would_drop
    looks = 0

    def late(where: CaseLibrary, fingerprint: str) -> tuple[frozenset[str], bool]:
        nonlocal looks
        found = look(where, fingerprint)
        if looks == 0:  # a case of which only the active model has a vector now
            with where.database.write() as db:
                from medembed.library.vectors import VectorStore

                VectorStore(db).forget(second, "image", 5)
        looks += 1
        return found

    monkeypatch.setattr(embed_cases, "would_drop", late)
    report = use_model(library, "b")
    assert (looks, report.embedded.images, report.embedded.activated) == (2, 1, True)
    assert not library.missing_vectors(second, "image")


def test_a_waiting_model_that_is_embedded_beside_the_active_one_waits_no_longer(
    library: CaseLibrary,
) -> None:
    library.set_meta("pending_model", "b")
    model = DualEncoder.load(library.path / "models" / "b")
    assert not embed_library(library, model, workers=1, make_active=False).active
    assert (library.active_model, library.get_meta("pending_model")) == ("a", None)


def test_one_embeds_beside_the_active_model_without_changing_over(library: CaseLibrary) -> None:
    first = fingerprint_of(library, "a")
    library.drop_vectors(fingerprint_of(library, "b"))
    report = use_model(library, "b", make_active=False)
    assert (report.embedded.images, report.embedded.active, report.indexed) == (24, False, 24)
    with ActiveLookup(library) as lookup:
        assert lookup.search(text=TEXT, k=3).fingerprint == first
    assert library.active_model == "a"
    assert library.get_meta("pending_model") is None
