"""Hits of a patient are grouped, copies of an image listed apart, hits made to differ."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from lookup.known_library import FINGERPRINT, Oracle, vector
from support.example_cases import make_case

from medembed.cases import ScanRef
from medembed.embeddings import unit_rows
from medembed.errors import QueryError
from medembed.index import SearchNoteKind
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.hit_groups import SAME_IMAGE

QUERY = vector(3)
"""What the text "mass" is compared as, in effect: cases are made at given cosines to it."""


def at_cosine(cosine: float, seed: int) -> np.ndarray:
    """A unit vector at a cosine to QUERY."""
    other = vector(seed).astype(float)
    other -= (other @ QUERY) * QUERY
    other /= np.linalg.norm(other)
    return cosine * QUERY + np.sqrt(1 - cosine**2) * other


def case(number: int, patient: str, day: int | None, pixels: str = ""):
    sha = f"{number:064x}"
    return make_case(
        number,
        patient_id=patient,
        scans=(ScanRef((f"/{number}.dcm",), sha, "CR", "PA", pixel_sha256=pixels),),
        study_date=None if day is None else date(2020, 1, day),
        findings=(),
    )


@pytest.fixture
def grouped(tmp_path: Path):
    """Patient A: three studies and a copy of one; B: the same pixels as A's first; C: two."""
    cases = [
        (case(0, "A", 10, "1" * 64), 0.95, 11),
        (case(1, "A", 10), 0.949, 11),  # nearly the vector of the first, on its day
        (case(2, "A", 3), 0.7, 12),
        (case(3, "A", 20), 0.6, 13),
        (case(4, "B", 5, "1" * 64), 0.9, 14),  # the pixels of the first
        (case(5, "B", 6), 0.5, 15),
        (case(6, "C", None), 0.8, 16),
        (case(7, "C", None), 0.799, 16),  # nearly the same vector, but no day is known
    ]
    with CaseLibrary.create(tmp_path / "grouped") as opened:
        opened.add(one for one, _, _ in cases)
        rows = np.stack([at_cosine(cosine, seed) for _, cosine, seed in cases])
        opened.put_vectors(FINGERPRINT, "image", [one.case_id for one, _, _ in cases], rows)
        yield opened


def search(library: CaseLibrary, **options):
    return CaseLookup(library, Oracle()).search(vector=QUERY, **{"k": 10, **options})


def ids(result) -> list[int]:
    return [int(hit.case_id[5:]) for hit in result]


def test_the_same_image_is_listed_beside_its_best_hit(grouped) -> None:
    result = search(grouped)
    assert ids(result) == [0, 6, 7, 2, 3, 5]
    assert result[0].same_image == ("case-1", "case-4")
    assert [hit.rank for hit in result] == list(range(1, 7))
    assert all(not hit.same_image for hit in result[1:])
    notes = {note.kind: note.numbers for note in result.plan.notes}
    assert notes[SearchNoteKind.DUPLICATES] == (2,)
    assert result.to_json()["hits"][0]["same_image"] == ["case-1", "case-4"]


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_copies_take_no_places(grouped, k) -> None:
    result = search(grouped, k=k)
    assert ids(result) == [0, 6, 7, 2, 3, 5][:k]
    assert SearchNoteKind.FEWER_HITS not in {note.kind for note in result.plan.notes}


def test_a_filter_holds_for_copies_too(grouped) -> None:
    result = search(grouped, where="patient=B")
    assert ids(result) == [4, 5]
    assert result[0].same_image == ()


def test_hits_are_grouped_by_patient_with_other_matches_and_priors(grouped) -> None:
    result = search(grouped, where="date>=2020-01-05", k=2)
    assert ids(result) == [0, 3]
    (group,) = result.patients
    assert (group.patient_id, group.hits) == ("A", ("case-0", "case-3"))
    assert group.others == ("case-1",)  # case-2 is of January 3rd
    assert dict(group.priors) == {"case-2": 7}
    assert result.to_json()["patients"][0]["priors"] == [{"case_id": "case-2", "days_before": 7}]


def test_per_patient_lists_each_patients_best(grouped) -> None:
    result = search(grouped, per_patient=True)
    assert ids(result) == [0, 6, 5]
    assert [group.patient_id for group in result.patients] == ["A", "C", "B"]
    assert result.patients[1].others == ("case-7",)
    assert result.patients[1].priors == {}  # no date, no order
    assert str(result.plan.notes[-1]) == "only 3 of the 10 requested patients have a matching case"


def test_per_patient_goes_as_deep_as_it_must(library) -> None:
    """Against every case's score: the best of each patient, in their order."""
    lookup = CaseLookup(library, Oracle())
    everything = lookup.search(case="case-5", k=40)
    best: dict[str, str] = {}
    for hit in everything:
        best.setdefault(hit.case.patient_id, hit.case_id)
    for k in (1, 7, 19, 30):
        result = lookup.search(case="case-5", k=k, per_patient=True)
        assert [hit.case_id for hit in result] == list(best.values())[:k]


def test_one_patient_and_day_need_nearly_the_same_vector(tmp_path: Path) -> None:
    for cosine, n_hits in ((SAME_IMAGE + 0.002, 1), (SAME_IMAGE - 0.002, 2)):
        with CaseLibrary.create(tmp_path / str(n_hits)) as opened:
            opened.add([case(0, "A", 1), case(1, "A", 1)])
            rows = np.stack([QUERY, at_cosine(cosine, 9)])
            opened.put_vectors(FINGERPRINT, "image", ["case-0", "case-1"], rows)
            assert len(search(opened)) == n_hits


@pytest.mark.parametrize("diversity", [0.1, 0.3, 0.8])
def test_diversity_is_maximal_marginal_relevance(library, diversity) -> None:
    lookup = CaseLookup(library, Oracle())
    result = lookup.search(case="case-5", k=8, diversity=diversity)
    rows = {f"case-{i}": vector(i).astype(float) for i in range(40) if i // 2 != 2}
    query, chosen = vector(5).astype(float), list[str]()
    while len(chosen) < 8:
        chosen.append(
            max(
                (name for name in rows if name not in chosen),
                key=lambda name: (
                    (1 - diversity) * (query @ rows[name])
                    - diversity * max((rows[name] @ rows[c] for c in chosen), default=0.0)
                ),
            )
        )
    assert [hit.case_id for hit in result] == chosen
    assert SearchNoteKind.DIVERSIFIED in {note.kind for note in result.plan.notes}
    for hit in result:
        assert hit.score == pytest.approx(float(query @ rows[hit.case_id]), abs=1e-6)


@pytest.mark.parametrize("wrong", [-0.1, 1, float("nan"), "much", True])
def test_a_wrong_diversity_is_refused(library, wrong) -> None:
    with pytest.raises(QueryError, match="diversity"):
        CaseLookup(library, Oracle()).search(case="case-5", diversity=wrong)


def test_diversity_and_reranking_exclude_each_other(library) -> None:
    with pytest.raises(QueryError, match="cannot be reordered"):
        CaseLookup(library, Oracle()).search(case="case-5", diversity=0.3, rerank=True)


def test_own_patient_stays_out_in_every_way(library) -> None:
    lookup = CaseLookup(library, Oracle())
    for options in ({"per_patient": True}, {"diversity": 0.3}, {"against": "both"}):
        result = lookup.search(case="case-5", like="case-8", k=40, **options)
        assert not {"case-4", "case-5", "case-8", "case-9"} & {hit.case_id for hit in result}
        assert all(not set(group.others) & {"case-4", "case-8"} for group in result.patients)


def test_unit_vectors_are_as_made() -> None:
    assert float(unit_rows(at_cosine(0.5, 4)[np.newaxis])[0] @ QUERY) == pytest.approx(
        0.5, abs=1e-6
    )
