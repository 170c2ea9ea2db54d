"""The words of a text count in the cases' notes, as FTS5's BM25 scores them, exactly."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lookup.known_library import DIM, FINGERPRINT, Oracle, vector
from support.example_cases import make_case

from medembed.index import open_index
from medembed.library import CaseLibrary
from medembed.library.note_words import MOST_WORDS, note_scores, query_words, rarities
from medembed.lookup import CaseLookup
from medembed.lookup.note_words import TYPICAL_RARITY
from medembed.notes import read_note

WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "mu", "nu")
N = 30


def note_of(number: int) -> str | None:
    """A note without findings, so that nothing but words counts; every seventh case has none."""
    draw = np.random.default_rng(number)
    drawn = draw.choice(WORDS, size=3 + number % 9, p=np.arange(1, 12) / 66)
    return None if number % 7 == 0 else " ".join(drawn)


@pytest.fixture
def worded(tmp_path: Path):
    with CaseLibrary.create(tmp_path / "worded") as opened:
        opened.add(
            make_case(
                i,
                note=None if (text := note_of(i)) is None else read_note(text),
                findings=(),
            )
            for i in range(N)
        )
        names = [f"case-{i}" for i in range(N)]
        opened.put_vectors(FINGERPRINT, "image", names, np.stack([vector(i) for i in range(N)]))
        yield opened


def slow_bm25(query: str) -> tuple[dict[str, float], float]:
    """BM25 of every note by the formula, as a share of its bound; and the words' rarity."""
    notes = {f"case-{i}": note.split() for i in range(N) if (note := note_of(i))}
    mean = sum(map(len, notes.values())) / len(notes)
    rarity = {}
    for word in set(query.lower().split()):
        n_with = sum(word in words for words in notes.values())
        odds = (len(notes) - n_with + 0.5) / (n_with + 0.5)
        rarity[word] = max(0.0, math.log(odds)) if n_with else 0.0
    total = sum(rarity.values())
    shares = {}
    for name, words in notes.items():
        score = 0.0
        for word, weight in rarity.items():
            count = words.count(word)
            score += weight * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(words) / mean))
        shares[name] = score / (2.2 * total)
    return shares, total


@pytest.mark.parametrize("query", ["alpha", "alpha beta gamma", "Beta, delta; nowhere"])
@pytest.mark.parametrize("where", [None, "age>=9", ["sex=F", "age<20"]])
@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_the_score_is_that_of_brute_force_under_every_filter(worded, query, where, kind) -> None:
    open_index(worded, FINGERPRINT, kind)
    result = CaseLookup(worded, Oracle()).search(text=query, where=where, k=N)
    shares, rarity = slow_bm25(re.sub(r"[,;]", "", query))
    weight = rarity / (rarity + TYPICAL_RARITY)
    code = vector(sum(map(ord, query)) % 1000).astype(float)
    slow = {
        name: (1 - weight) * float(code @ vector(int(name[5:]))) + weight * shares.get(name, 0.0)
        for name in worded.find(where)
    }
    best = sorted(slow, key=lambda name: (-np.float32(slow[name]), name))
    assert [hit.case_id for hit in result.hits] == best
    assert [hit.score for hit in result.hits] == pytest.approx([slow[n] for n in best], abs=1e-6)
    assert result.bm25_weight == pytest.approx(weight)
    for hit in result.hits:
        assert hit.evidence.parts["bm25"] == pytest.approx(shares.get(hit.case_id, 0.0), abs=1e-6)
    assert (result.plan.method, result.plan.matching) == ("exact", len(slow))


def test_a_filter_changes_no_score(worded) -> None:
    lookup = CaseLookup(worded, Oracle())
    everything = {h.case_id: h.score for h in lookup.search(text="alpha beta", k=N)}
    for hit in lookup.search(text="alpha beta", where="sex=F", k=N):
        assert hit.score == everything[hit.case_id]


def test_words_can_be_left_out_and_are_in_a_literal_search(worded) -> None:
    lookup = CaseLookup(worded, Oracle())
    for options in ({"bm25": False}, {"literal": True}):
        result = lookup.search(text="alpha", k=N, **options)
        assert (result.bm25_weight, result.bm25_words) == (0.0, ())
        code = vector(sum(map(ord, "alpha")) % 1000).astype(float)
        slow = {f"case-{i}": float(code @ vector(i)) for i in range(N)}
        assert [h.case_id for h in result] == sorted(slow, key=lambda name: (-slow[name], name))
        assert all("bm25" not in hit.evidence.parts for hit in result)


def test_the_answer_says_which_words_counted_and_how_much(worded) -> None:
    plan = CaseLookup(worded, Oracle()).search(text="Alpha or beta").to_json()["plan"]
    assert plan["bm25_words"] == ["alpha", "beta"]
    assert 0 < plan["bm25_weight"] < 1


def test_a_word_of_no_note_and_one_of_most_notes_change_nothing(worded) -> None:
    lookup = CaseLookup(worded, Oracle())
    notes = [note.split() for i in range(N) if (note := note_of(i))]
    assert sum("nu" in words for words in notes) > len(notes) / 2
    for text in ("nowhere", "nu", "nu nowhere"):
        assert lookup.search(text=text).bm25_weight == 0


def test_a_denied_word_is_not_looked_for(library) -> None:
    result = CaseLookup(library, Oracle()).search(text="no cardiomegaly")
    assert result.bm25_weight == 0


def test_the_words_of_a_finding_count_by_what_is_stated(library) -> None:
    """A note that denies a finding has its word as well."""
    lookup = CaseLookup(library, Oracle())
    assert lookup.search(text="cardiomegaly").bm25_weight == 0
    assert lookup.search(text="cardiomegaly number 7").bm25_words == ("7", "cardiomegaly")


def test_words_of_a_finding_count_where_it_is_stated_and_no_word_where_it_is_denied(
    tmp_path: Path,
) -> None:
    notes = (
        "No effusion, no effusion at all. Old marker omega.",
        "Small effusion. Old marker omega.",
        "Old marker omega.",
        "Small effusion.",
        "Small effusion on the right. Old marker omega.",
        *("Nothing to see.",) * 9,
    )
    with CaseLibrary.create(tmp_path / "stated") as library:
        library.add(make_case(i, note=read_note(note), findings=()) for i, note in enumerate(notes))
        names = [f"case-{i}" for i in range(len(notes))]
        rows = np.stack([vector(1)] * len(notes))
        library.put_vectors(FINGERPRINT, "image", names, rows)
        lookup = CaseLookup(library, Oracle())
        hits = lookup.search(text="omega with effusion", k=len(notes))
        bm25 = {hit.case_id: hit.evidence.parts["bm25"] for hit in hits}
        assert hits[0].case_id == "case-1"
        assert bm25["case-0"] == 0, "it denies what is asked for"
        assert bm25["case-1"] > bm25["case-2"] > 0
        assert bm25["case-3"] > 0
        assert lookup.search(text="effusion").bm25_weight == 0, "without other words, as read"
        denied = lookup.search(text="omega, no effusion", k=len(notes))
        assert denied.bm25_words == ("omega",)
        assert {hit.case_id for hit in denied[:2]} == {"case-0", "case-2"}


def test_a_finding_on_the_other_side_loses_its_words_and_its_places_only(tmp_path: Path) -> None:
    notes = (
        "Small basal effusion on the right. Old marker omega.",
        "Small basal effusion on the left. Old marker omega.",
        "Small basal effusion. Old marker omega.",
        *("Nothing to see.",) * 9,
    )
    with CaseLibrary.create(tmp_path / "sided") as library:
        library.add(make_case(i, note=read_note(note), findings=()) for i, note in enumerate(notes))
        names = [f"case-{i}" for i in range(len(notes))]
        rows = np.stack([vector(1)] * len(notes))
        library.put_vectors(FINGERPRINT, "image", names, rows)
        hits = CaseLookup(library, Oracle()).search(text="the left basal effusion, omega", k=3)
        assert set(hits.bm25_words) == {"left", "basal", "effusion", "omega"}, "not the article"
        bm25 = {hit.case_id: hit.evidence.parts["bm25"] for hit in hits}
        rarity = rarities(library, hits.bm25_words)
        omega, whole = (
            note_scores(library, words) for words in ({"omega": rarity["omega"]}, rarity)
        )
        alone = omega.shares * omega.rarity / whole.rarity
        assert bm25["case-0"] == pytest.approx(alone[0], rel=1e-5)
        assert bm25["case-1"] == pytest.approx(whole.shares[1], rel=1e-5)
        assert bm25["case-2"] == pytest.approx(whole.shares[2], rel=1e-5), "on a side not stated"
        assert [hit.case_id for hit in hits] == ["case-1", "case-2", "case-0"]


def test_the_words_of_a_whole_report_do_not_count(library) -> None:
    report = "Right effusion. " + "The lungs are clear and the heart is of normal size today. " * 3
    assert CaseLookup(library, Oracle()).search(text=report).bm25_weight == 0


def test_a_new_note_is_found_at_once(worded) -> None:
    lookup = CaseLookup(worded, Oracle())
    lookup.search(text="omega")
    worded.add([make_case(N, note=read_note("omega"), findings=())])
    worded.put_vectors(FINGERPRINT, "image", [f"case-{N}"], np.eye(1, DIM))
    hit = next(h for h in lookup.search(text="omega", k=N + 1) if h.case_id == f"case-{N}")
    assert hit.evidence.parts["bm25"] > 0


def test_a_case_without_vector_is_no_hit_though_its_note_has_the_word(worded) -> None:
    worded.add([make_case(N, note=read_note("omega"), findings=())])
    result = CaseLookup(worded, Oracle()).search(text="omega", k=N + 1)
    assert f"case-{N}" not in {hit.case_id for hit in result}


@pytest.mark.parametrize(
    "text", ['alpha" OR "x', "NEAR(alpha beta)", "text : alpha", "alpha*", "^alpha", "- alpha",
             "_", "()", '"', "'; DROP TABLE notes", "٣ ² 😀 é"]
)  # fmt: skip
def test_no_word_of_a_query_is_an_operator(worded, text) -> None:
    found = note_scores(worded, rarities(worded, query_words(text)))
    has = {
        f"case-{i}" for i in range(N) if set(query_words(text)) & set((note_of(i) or "").split())
    }
    row_of = dict(worded.database.read().execute("SELECT id, case_id FROM cases"))
    assert {row_of[row] for row in found.case_rows.tolist()} <= has
    assert len(worded) == N


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=40))
def test_any_text_can_be_looked_up(worded, text: str) -> None:
    found = note_scores(worded, rarities(worded, query_words(text)))
    assert ((found.shares >= 0) & (found.shares <= 1)).all()


def test_a_long_text_looks_up_its_rarest_words(worded) -> None:
    rarity = {f"word{i}": float(i) for i in range(100)}
    found = note_scores(worded, rarity)
    assert found.words == tuple(f"word{i}" for i in range(99, 99 - MOST_WORDS, -1))
