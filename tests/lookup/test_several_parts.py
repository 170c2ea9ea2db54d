"""Several texts, images and cases, against scans, notes or both, and marks of relevance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from lookup.known_library import FINGERPRINT, Oracle, vector
from support.example_cases import make_case

from medembed.embeddings import unit_rows
from medembed.errors import FingerprintError, QueryError
from medembed.index import SearchNoteKind
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.query import LIKE_WEIGHT, UNLIKE_WEIGHT
from medembed.scans import Scan

N = 40


def code(text: str) -> np.ndarray:
    return vector(sum(map(ord, text)) % 1000)


def flat(value: int) -> Scan:
    return Scan(np.full((4, 4), value, dtype=np.float32))


def gallery(against: str = "scans") -> dict[str, np.ndarray]:
    scans, notes = [np.stack([vector(at + i) for i in range(N)]) for at in (0, 500)]
    rows = {"scans": scans, "notes": notes, "both": unit_rows(scans.astype(float) + notes)}[against]
    return {f"case-{i}": rows[i].astype(float) for i in range(N)}


def ranking(query: np.ndarray, against: str = "scans", without=()) -> list[str]:
    patients = {number // 2 for number in without}
    scores = {
        name: float(query @ row)
        for name, row in gallery(against).items()
        if int(name[5:]) // 2 not in patients
    }
    return sorted(scores, key=lambda name: (-scores[name], name))


def ids(result) -> list[str]:
    return [hit.case_id for hit in result.hits]


def test_several_of_each_part_rank_as_their_weighted_sum(library) -> None:
    weights = {"text": 1, "text2": 3, "image": 2, "image2": 1, "case": 2, "case2": 1}
    result = CaseLookup(library, Oracle()).search(
        text=["mass", "nodes"], image=[flat(77), flat(91)], case=["case-4", "case-9"],
        weights=weights, k=N, literal=True,
    )  # fmt: skip
    parts = dict(zip(weights, map(code, ("mass", "nodes")), strict=False))
    parts |= {"image": vector(77), "image2": vector(91), "case": vector(4), "case2": vector(9)}
    query = sum(weights[name] * parts[name].astype(float) for name in weights)
    assert ids(result) == ranking(query, without={4, 9})
    for hit in result:
        row = vector(int(hit.case_id[5:])).astype(float)
        each = {name: float(part @ row) for name, part in parts.items()}
        assert dict(hit.evidence.parts) == pytest.approx(each, abs=1e-6)
    said = json.loads(json.dumps(result.to_json()))["query"]
    assert said["text"] == ["mass", "nodes"]
    assert said["case"] == ["case-4", "case-9"]
    assert said["weights"]["text2"] == pytest.approx(0.3)


def test_the_terms_and_words_of_every_text_count_by_its_weight(library) -> None:
    lookup = CaseLookup(library, Oracle())
    both = lookup.search(text=["effusion", "cardiomegaly"], k=N)
    one, two = (lookup.search(text=text, k=N) for text in ("effusion", "cardiomegaly"))
    assert [str(term) for term in both.terms.terms] == ["effusion", "cardiomegaly"]
    assert both.agreement_weight == pytest.approx(one.agreement_weight)
    agreed = [{h.case_id: h.evidence.parts["agreement"] for h in r} for r in (both, one, two)]
    for name in agreed[0]:
        assert agreed[0][name] == pytest.approx((agreed[1][name] + agreed[2][name]) / 2)
    scores = [{h.case_id: h.score for h in r} for r in (both, one, two)]
    assert both.bm25_weight == pytest.approx((one.bm25_weight + two.bm25_weight) / 2)
    assert max(scores[0].values()) <= 1
    less = lookup.search(text=["effusion", "cardiomegaly"], ignore="effusion")
    assert [str(term) for term in less.terms.terms] == ["cardiomegaly"]
    with pytest.raises(QueryError) as caught:
        lookup.search(text=["effusion", "cardiomegaly"], ignore="fracture")
    assert caught.value.hint == "they were read as: cardiomegaly, effusion"


@pytest.mark.parametrize("against", ["scans", "notes", "both"])
@pytest.mark.parametrize("where", [None, "age>=30"])
def test_every_direction_ranks_as_brute_force(library, against, where) -> None:
    lookup = CaseLookup(library, Oracle())
    allowed = set(library.find(where))
    by_text = lookup.search(text="mass", against=against, where=where, k=N, literal=True)
    by_image = lookup.search(image=flat(7), against=against, where=where, k=N)
    by_case = lookup.search(case="case-5", against=against, where=where, k=N)
    for result, query, without in (
        (by_text, code("mass"), set()),
        (by_image, vector(7), set()),
        (by_case, vector(5), {5}),
    ):
        slow = [n for n in ranking(query.astype(float), against, without) if n in allowed]
        assert ids(result) == slow
        assert result.to_json()["query"]["against"] == against
        assert result.plan.matching == len(slow)


def test_notes_and_words_are_matched_in_the_order_of_the_notes(library) -> None:
    """The gallery of notes has its own order and its own cases."""
    library.add([make_case(99, findings=())])
    library.put_vectors(FINGERPRINT, "image", ["case-99"], vector(99)[np.newaxis])
    lookup = CaseLookup(library, Oracle())
    against_notes = lookup.search(text="cardiomegaly number 7", against="notes", k=100)
    assert "case-99" not in ids(against_notes)
    scans = {
        h.case_id: h.evidence.parts for h in lookup.search(text="cardiomegaly number 7", k=100)
    }
    for hit in against_notes:
        for part in ("agreement", "bm25"):
            assert hit.evidence.parts[part] == scans[hit.case_id][part]
    both = lookup.search(text="cardiomegaly number 7", against="both", k=100)
    alone = next(h for h in both if h.case_id == "case-99")
    assert alone.evidence.parts["text"] == scans["case-99"]["text"]


def test_a_library_without_note_vectors_says_so(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "few") as opened:
        opened.add([make_case(0)])
        opened.put_vectors(FINGERPRINT, "image", ["case-0"], vector(0)[np.newaxis])
        with pytest.raises(FingerprintError, match="no note vectors"):
            CaseLookup(opened, Oracle()).search(text="mass", against="notes")


@pytest.mark.parametrize("against", ["scans", "notes"])
def test_marks_move_the_query_as_rocchio_says_and_their_patients_stay_out(library, against) -> None:
    like, unlike = ["case-2", "case-8"], ["case-20"]
    result = CaseLookup(library, Oracle()).search(
        text="mass", like=like, unlike=unlike, against=against, k=N, literal=True
    )
    rows = gallery(against)
    query = code("mass").astype(float)
    query = query + LIKE_WEIGHT * np.mean([rows[name] for name in like], axis=0)
    query = query - UNLIKE_WEIGHT * rows["case-20"]
    assert ids(result) == ranking(query, against, {2, 8, 20})
    unit = query / np.linalg.norm(query)
    for hit in result:
        assert hit.score == pytest.approx(float(unit @ rows[hit.case_id]), abs=1e-6)
    notes = {note.kind: note for note in result.plan.notes}
    assert notes[SearchNoteKind.MARKED_PATIENTS].numbers == (6, 3)
    assert SearchNoteKind.OWN_PATIENT not in notes, "the marked cases are not the query"
    assert result.own_patient_cases == 0
    assert result.to_json()["query"]["like"] == like


def test_marks_alone_search_for_cases_like_them(library) -> None:
    result = CaseLookup(library, Oracle()).search(like=["case-2", "case-9"], k=N)
    assert ids(result) == ranking(vector(2).astype(float) + vector(9), without={2, 9})


def test_an_unlike_case_moves_away(library) -> None:
    lookup = CaseLookup(library, Oracle())
    first = ids(lookup.search(text="mass", k=N, literal=True))
    unwanted = first[0]
    near = ranking(vector(int(unwanted[5:])).astype(float), without={int(unwanted[5:])})[0]
    after = ids(lookup.search(text="mass", unlike=unwanted, k=N, literal=True))
    assert after.index(near) >= [n for n in first if n in after].index(near)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"unlike": "case-1"}, "nothing to search for"),
        ({"like": "case-1", "unlike": ["case-1"]}, "both as like and as unlike"),
        ({"like": "nobody"}, "no case has this id"),
        ({"case": ["case-1", "nobody"]}, "no case has this id"),
        ({"text": []}, "the list of texts is empty"),
        ({"case": []}, "the list of cases is empty"),
        ({"text": ["mass", " "]}, "the query text is empty"),
        ({"text": ["a", "b"], "weights": {"text": 1}}, "weights given for text, but"),
        ({"text": "a", "weights": {"texts": 1}}, "weights are for"),
        ({"text": "a", "against": "reports"}, "scans, notes or both"),
        ({"like": "case-1", "weights": {"text": 1}}, "no parts to weight"),
        ({"text": ["a"] * 21}, "the limit is 20"),
        ({"text": "a", "like": [""]}, "case id is empty"),
    ],
)
def test_a_wrong_query_is_one_clear_line(library, wrong, says) -> None:
    with pytest.raises(QueryError) as caught:
        CaseLookup(library, Oracle()).search(**wrong)
    assert says in str(caught.value)


def test_pictures_are_an_image_each_and_dicom_files_one_series(tmp_path: Path) -> None:
    from medembed.lookup.given import as_images

    names = ["1.dcm", "2.dcm", "a.png", "b.JPG"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "series").mkdir()
    paths = [tmp_path / name for name in (*names, "series")]
    found = [[path.name for path in files] for _, files in as_images(paths)]
    assert found == [["1.dcm", "2.dcm"], ["a.png"], ["b.JPG"], ["series"]]
    found = [[path.name for path in files] for _, files in as_images([paths[:2], paths[2:3]])]
    assert found == [["1.dcm", "2.dcm"], ["a.png"]]
