"""Whatever backend answers, the answers are those of the definition, and a server learns nobody."""

from __future__ import annotations

import os
import uuid
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.example_cases import make_case
from support.gpu_index import in_place_of_a_gpu, on_gpu

from medembed.embeddings import Embeddings, unit_rows
from medembed.errors import (
    FingerprintError,
    IndexServerError,
    InputError,
    InternalError,
    QueryError,
)
from medembed.index import CaseIndex, gpu_index, open_index, set_index_backend
from medembed.index import milvus_asking as asking
from medembed.index import milvus_collection as collections
from medembed.index.index_check import verify_indexes
from medembed.index.milvus_cleaning import clean_server
from medembed.index.milvus_collection import (
    MilvusCollection,
    collection_name,
    collections_of,
    connect,
)
from medembed.index.milvus_index import MilvusIndex
from medembed.library import CaseLibrary
from medembed.library.verification import CheckState, verify_files

KEY = bytes(range(32))
FINGERPRINT = "f" * 64


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory):
    """A Milvus Lite in this process, named by the environment."""
    for package in ("pymilvus", "milvus_lite"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    folder = tmp_path_factory.mktemp("milvus") / "server.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(collections.URI, str(folder))
        patch.delenv(collections.TOKEN, raising=False)
        yield folder
        connect().close()
        collections._client.cache_clear()


def milvus(vectors, ids, fingerprint="", sites=None, **more) -> MilvusIndex:
    embeddings = CaseIndex.build(vectors, ids)  # scales the rows
    collection = MilvusCollection(connect(), f"t_{uuid.uuid4().hex}", embeddings.dim)
    index = MilvusIndex(
        embeddings.case_ids,
        embeddings.vectors,
        fingerprint,
        collection,
        key=KEY,
        sites=sites,
        **more,
    )
    index.synchronize()
    return index


def local(vectors, ids, fingerprint="", sites=None) -> CaseIndex:
    return CaseIndex.build(vectors, ids, kind="exact", fingerprint=fingerprint)


NAMED = [milvus, in_place_of_a_gpu, pytest.param(on_gpu, marks=pytest.mark.gpu)]
named = pytest.mark.parametrize("build", NAMED)
"""Backends where something else names candidates."""
every = pytest.mark.parametrize("build", [local, *NAMED])


def answers(hits):
    return [hits.of(q) for q in range(len(hits))]


def corpus(n, dim, seed=0):
    rng = np.random.default_rng(seed)
    vectors = unit_rows(
        rng.normal(size=(12, dim))[rng.integers(0, 12, n)] + rng.normal(size=(n, dim))
    )
    return vectors, [f"C-{i:06d}" for i in rng.permutation(n)]


@st.composite
def searches(draw):
    """Few small whole numbers: many equal vectors and scores."""
    dim = draw(st.integers(1, 3))
    row = st.lists(st.integers(-2, 2), min_size=dim, max_size=dim).filter(any)
    rows = draw(st.lists(row, min_size=1, max_size=20))
    queries = draw(st.lists(row, min_size=1, max_size=4))
    ids = draw(st.permutations([f"c{i}" for i in range(len(rows))]))
    sites = draw(st.lists(st.sampled_from("ab"), min_size=len(rows), max_size=len(rows)))
    allowed = draw(st.none() | st.sets(st.sampled_from(ids)))
    return queries, rows, ids, dict(zip(ids, sites, strict=True)), draw(st.integers(1, 25)), allowed


@named
@settings(max_examples=8, deadline=None, derandomize=True)
@given(case=searches())
def test_it_answers_as_the_definition_says_ties_filters_and_sites_included(build, case) -> None:
    queries, rows, ids, sites, k, allowed = case
    hits = build(rows, ids, sites=sites).search(queries, k, allowed)
    expected = local(rows, ids).search(queries, k, allowed)
    assert answers(hits) == answers(expected)
    assert hits.plan == expected.plan
    assert hits.k_requested == expected.k_requested


@every
def test_after_adding_and_removing_it_is_as_if_built_of_what_is_left(build) -> None:
    vectors, ids = corpus(60, 5, seed=3)
    index = build(vectors[:30], ids[:30])
    index.add(vectors[30:], ids[30:])
    index.remove(ids[10:40])
    index.add(vectors[10:12], ids[10:12])
    left = [*range(10), *range(40, 60), 10, 11]
    assert index.case_ids == tuple(ids[r] for r in left)
    fresh = local(vectors[left], [ids[r] for r in left])
    assert answers(index.search(vectors, 7)) == answers(fresh.search(vectors, 7))
    for call in (
        lambda: index.add(np.eye(5)[:1], [ids[0]]),
        lambda: index.add(np.eye(2), ["d", "e"]),
        lambda: index.add(np.zeros((1, 5)), ["d"]),
        lambda: index.remove([ids[0], "z"]),
        lambda: index.remove("a"),
    ):
        with pytest.raises(InputError):
            call()
    assert index.case_ids == tuple(ids[r] for r in left)


@every
def test_more_equal_vectors_than_a_server_was_asked_for_come_in_the_order_of_ids(build) -> None:
    ids = [f"C-{i:05d}" for i in np.random.default_rng(0).permutation(400)]
    hits = build(np.tile([[0.6, 0.8]], (400, 1)), ids).search([[1.0, 0.0]] * 3, 7)
    assert hits.case_ids.tolist() == [sorted(ids)[:7]] * 3


@every
def test_an_empty_index_and_an_empty_question_are_answered_with_nothing(build) -> None:
    index = build([], [])
    assert index.search([[1.0, 2.0]], 3).case_ids.shape == (1, 0)
    index.add(np.eye(2), ["a", "b"])
    assert index.search([1.0, 0.0], 1).case_ids.tolist() == [["a"]]
    assert index.search(np.eye(2), 2, []).case_ids.shape == (2, 0)
    assert index.search(np.empty((0, 2)), 2).case_ids.shape == (0, 2)
    index.remove(["a", "b"])
    assert index.search([1.0, 0.0], 1).case_ids.shape == (1, 0)


@every
def test_what_cannot_be_asked_is_refused_in_one_line(build) -> None:
    index = build(np.eye(3), ["a", "b", "c"], "one")
    for queries, k, allowed in (
        ([[np.nan, 0, 0]], 1, None),
        ([[0, 0, 0]], 1, None),
        ([[1, 0]], 1, None),
        ([["a", "b", "c"]], 1, None),
        ([[1, 0, 0]], 0, None),
        ([[1, 0, 0]], True, None),
        ([[1, 0, 0]], 1, "abc"),
        ([[1, 0, 0]], 1, [True, False]),
    ):
        with pytest.raises(QueryError) as caught:
            index.search(queries, k, allowed)
        assert "\n" not in str(caught.value)
    with pytest.raises(FingerprintError):
        index.search(Embeddings(["a"], np.eye(3)[:1], "other"))
    with pytest.raises(QueryError):
        index.vector("z")


@pytest.fixture(scope="module", params=NAMED)
def crowd(server, request):
    vectors, ids = corpus(1500, 16, seed=5)
    sites = {name: f"hospital {row % 3}" for row, name in enumerate(ids)}
    return request.param(vectors, ids, sites=sites), local(vectors, ids), sites


def masks(vectors: np.ndarray, query: np.ndarray, sites: list[str]) -> dict[str, np.ndarray]:
    order = np.argsort(-(vectors @ query))
    n = len(vectors)
    found = {"one site": np.array(sites) == "hospital 1"}
    for share in (0.5, 0.1, 0.01):
        for where, rows in (
            ("near", order),
            ("far", order[::-1]),
            ("random", np.random.default_rng(1).permutation(n)),
        ):
            found[f"{where} {share}"] = np.isin(np.arange(n), rows[: int(share * n)])
    found["nearest 300 excluded"] = np.isin(np.arange(n), order[300:])
    found["a part of one site"] = found["one site"] & found["random 0.5"]
    return found


@pytest.mark.parametrize("most_named", [2048, 100])
def test_filters_hold_and_lose_nothing_however_the_server_is_asked(
    crowd, most_named: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_MOST_NAMED", most_named)
    monkeypatch.setattr(gpu_index, "MOST_NAMED", most_named)
    index, exact, sites = crowd
    query = unit_rows([np.random.default_rng(9).normal(size=16)])
    for name, mask in masks(exact.vectors, query[0], [sites[i] for i in exact.case_ids]).items():
        hits = index.search(query, 10, mask)
        assert answers(hits) == answers(exact.search(query, 10, mask)), name
        assert index.mask(hits.case_ids[0].tolist())[~mask].sum() == 0


@pytest.mark.parametrize("crowd", [milvus], indirect=True)
def test_only_the_sites_that_have_somebody_eligible_are_asked(
    crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, exact, sites = crowd
    asked = []
    search = index._collection.search
    monkeypatch.setattr(
        index._collection, "search", lambda *given: asked.append(given[2:]) or search(*given)
    )
    index.search(exact.vectors[0], 5, [name for name in sites if sites[name] == "hospital 2"])
    ((partitions, where),) = asked
    assert len(partitions) == 1
    assert where == "", "the whole site is eligible: no filter"


def test_only_what_changed_is_sent_and_a_foreign_change_is_noticed_before_an_answer() -> None:
    vectors, ids = corpus(300, 8, seed=1)
    index = milvus(vectors, ids)
    assert index.synchronize() == (0, 0)
    changed = vectors.copy()
    changed[7] = -changed[7]
    other = MilvusIndex(ids[1:], changed[1:], "", index._collection, key=KEY)
    assert other.synchronize() == (1, 2), "one changed, one of them gone"
    hits = index.search(vectors[:9], 3)  # finds the server in another state, and brings it back
    assert answers(hits) == answers(local(vectors, ids).search(vectors[:9], 3))
    assert index.synchronize() == (0, 0)


def test_an_interrupted_change_is_finished_and_never_searched(monkeypatch) -> None:
    vectors, ids = corpus(300, 8, seed=1)
    index = milvus(vectors[:200], ids[:200])
    grown = MilvusIndex(ids, vectors, "", index._collection, key=KEY)
    with monkeypatch.context() as patch:
        patch.setattr(
            index._collection, "send", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            grown.synchronize()
    assert index._collection.state() == ""
    assert grown.synchronize() == (100, 0)
    assert answers(grown.search(vectors, 3)) == answers(local(vectors, ids).search(vectors, 3))


def test_where_the_server_may_not_be_written_the_answer_is_computed_here() -> None:
    vectors, ids = corpus(50, 4)
    index = milvus(vectors, ids)
    older = MilvusIndex(
        ids[:40], vectors[:40], "", index._collection, key=KEY, writing=lambda: nullcontext(False)
    )
    expected = local(vectors[:40], ids[:40]).search(vectors, 3)
    assert answers(older.search(vectors, 3)) == answers(expected)
    assert index.synchronize() == (0, 0), "the server was left as it is"


def test_a_row_that_is_damaged_on_the_server_is_found_by_a_thorough_comparison() -> None:
    vectors, ids = corpus(50, 4)
    index = milvus(vectors, ids)
    index._collection.delete(index._state.content.keys[3:5])
    assert index.synchronize() == (0, 0)
    assert index.synchronize(thorough=True) == (2, 0)
    assert index.synchronize(thorough=True) == (0, 0)


def test_an_answer_outside_the_filter_or_the_library_is_refused(monkeypatch) -> None:
    vectors, ids = corpus(50, 4)
    index = milvus(vectors, ids)
    keys = index._state.content.keys
    mask = np.arange(50) < 20
    for wrong, error in ((keys[30:31], InternalError), (keys[:1] + 1, IndexServerError)):
        answer = [(wrong, np.ones(1, dtype=np.float32))]
        monkeypatch.setattr(index._collection, "search", lambda *_, answer=answer: answer)
        with pytest.raises(error):
            index.search(vectors[0], 3, mask)


# a library


@pytest.fixture
def library(tmp_path: Path):
    with CaseLibrary.create(tmp_path / "library") as opened:
        opened.add(make_case(i) for i in range(30))
        vectors = unit_rows(np.random.default_rng(0).normal(size=(30, 6)))
        opened.put_vectors(FINGERPRINT, "image", [f"case-{i}" for i in range(30)], vectors)
        set_index_backend(opened, "milvus")
        yield opened
        if os.environ[collections.URI].endswith(".db"):
            set_index_backend(opened, "local")


def test_a_library_is_searched_on_its_server_and_erased_there(library: CaseLibrary) -> None:
    opened = open_index(library, FINGERPRINT)
    assert opened.index.kind == "milvus"
    assert "index server updated: 30 vectors sent, 0 removed" in map(str, opened.notes)
    assert open_index(library, FINGERPRINT).notes == ()
    query = opened.index.vector("case-3")
    exact = CaseIndex.build(opened.index.vectors, opened.index.case_ids).search(query, 30)
    assert answers(opened.index.search(query, 30)) == answers(exact)

    patient = library.patients()["case-3"]
    theirs = [name for name, owner in library.patients().items() if owner == patient]
    receipt = library.erase(patient)
    assert receipt.counts["vectors on the index server"] == len(theirs)
    assert receipt.is_finished
    keys, _ = opened.index._collection.listing()
    assert len(keys) == 30 - len(theirs)
    assert clean_server(library.database) == 0
    after = open_index(library, FINGERPRINT)
    assert "index server updated" not in " ".join(map(str, after.notes)), "its state was kept right"
    # who still holds the index of before gets an answer, and sends nobody back to the server
    assert answers(opened.index.search(query, 30)) == answers(exact)
    assert len(opened.index._collection.listing()[0]) == 30 - len(theirs)


def test_nothing_that_names_somebody_leaves_the_machine(library: CaseLibrary, server: Path) -> None:
    opened = open_index(library, FINGERPRINT)
    opened.index._collection.settle()
    names = {*opened.index.case_ids, *library.patients().values(), library.library_id}
    names |= set(library.value_counts("site")) - {"unknown"}
    sent = b"".join(path.read_bytes() for path in server.rglob("*") if path.is_file())
    assert opened.index._collection.name.encode() in sent
    assert not server.stat().st_mode & 0o077, "a file of Milvus Lite is the owner's alone"
    assert not [name for name in names if name.encode() in sent]


def test_a_server_that_is_away_is_one_line_without_its_address(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_index(library, FINGERPRINT)
    monkeypatch.setenv(collections.URI, "http://127.0.0.1:9")
    monkeypatch.setenv(collections.TOKEN, "root:secret-word")
    monkeypatch.setattr(collections, "_CONNECT_SECONDS", 0.5)
    with pytest.raises(IndexServerError, match="does not answer") as caught:
        open_index(library, FINGERPRINT)
    receipt = library.erase(library.patients()["case-3"])
    assert not receipt.is_finished
    assert "index server" in " ".join(receipt.waiting)
    said = "".join(capsys.readouterr()) + str(caught.value) + " ".join(receipt.waiting)
    assert "127.0.0.1" not in said
    assert "secret-word" not in said
    assert "\n" not in str(caught.value)
    assert not set_index_backend(library, "local"), "the server keeps vectors"
    assert open_index(library, FINGERPRINT).index.kind == "exact"
    monkeypatch.undo()
    checks = {check.what: check for check in verify_files(library)}
    assert (checks["erasures"].state, checks["erasures"].detail) == (
        CheckState.REPAIRED,
        "finished one (server)",
    )
    (check,) = [c for c in verify_indexes(library) if c.what == "index server"]
    assert (check.state, check.detail) == (CheckState.REPAIRED, "vectors dropped: it is not used")
    assert collections_of(connect(), library.library_id) == []
    assert "index server" not in {check.what for check in verify_indexes(library)}


@pytest.mark.parametrize(
    ("uri", "token", "what"),
    [
        ("", "", "no index server is named"),
        ("http://milvus.example:19530", "root:secret-word", "unencrypted"),
    ],
)
def test_what_is_missing_or_unsafe_in_the_environment_is_said(
    monkeypatch: pytest.MonkeyPatch, uri: str, token: str, what: str
) -> None:
    monkeypatch.setenv(collections.URI, uri)
    monkeypatch.setenv(collections.TOKEN, token)
    with pytest.raises(IndexServerError, match=what) as caught:
        connect()
    assert "secret-word" not in str(caught.value)


def test_one_collection_holds_one_model_of_one_library() -> None:
    names = {collection_name(a, b) for a in ("x", "y") for b in ("m", "n")}
    assert len(names) == 4
    assert all(name.isidentifier() for name in names)
