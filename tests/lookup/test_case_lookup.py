"""CaseLookup finds what the vectors say, leaves the own patient out, and says what it did."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lookup.known_library import FINGERPRINT, Oracle, vector
from support.example_cases import make_case

from medembed.embeddings import unit_rows
from medembed.errors import ConditionError, FingerprintError, ModelError, QueryError
from medembed.index import SearchNote, SearchNoteKind
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.model.report_text import note_text
from medembed.notes import read_note
from medembed.scans import Scan


def ranking(query: np.ndarray, among: list[int]) -> list[str]:
    scored = sorted((-float(np.dot(query.astype(float), vector(i))), f"case-{i}") for i in among)
    return [name for _, name in scored]


def ids(result) -> list[str]:
    return [hit.case_id for hit in result.hits]


def kinds(result) -> set[SearchNoteKind]:
    return {note.kind for note in result.plan.notes}


def flat_scan(value: int, **changes) -> Scan:
    return Scan(np.full((4, 4), value, dtype=np.float32), **changes)


def test_a_text_finds_the_cases_nearest_to_its_vector(library) -> None:
    result = CaseLookup(library, Oracle()).search(text=" hilar mass ", k=7, literal=True)
    query = vector(sum(map(ord, "hilar mass")) % 1000)
    assert ids(result) == ranking(query, list(range(40)))[:7]
    assert [hit.rank for hit in result.hits] == list(range(1, 8))
    for hit in result.hits:
        expected = float(np.dot(query, vector(int(hit.case_id[5:]))))
        assert hit.score == pytest.approx(expected, abs=1e-6)
        assert dict(hit.evidence.parts) == {"text": pytest.approx(expected, abs=1e-6)}
    assert (result.plan.method, result.plan.compared, result.plan.matching) == ("exact", 40, 40)


def test_a_pasted_report_is_read_as_those_of_the_library_were(library) -> None:
    model = Oracle()
    report = "INDICATION: Cough.\nFINDINGS: Clear lungs.\nIMPRESSION: No acute disease."
    CaseLookup(library, model).search(text=report)
    assert model.texts == [note_text(read_note(report))]
    assert "Cough" not in model.texts[0]


def test_a_case_never_finds_its_own_patient_and_the_plan_says_so(library) -> None:
    for number in (0, 7, 39):
        result = CaseLookup(library, Oracle()).search(case=f"case-{number}", k=100)
        others = [i for i in range(40) if i // 2 != number // 2]
        assert ids(result) == ranking(vector(number), others)
        assert result.plan.matching == 38
        assert list(map(str, result.plan.notes[-2:])) == [
            "excluded 2 cases of the query's own patient",
            "only 38 of the 100 requested cases match",
        ]


def test_a_mixture_ranks_as_the_weighted_sum_of_its_parts(library) -> None:
    weights = {"text": 3, "image": 1}
    result = CaseLookup(library, Oracle()).search(
        text="mass", image=flat_scan(77), weights=weights, k=40, literal=True
    )
    text, image = vector(sum(map(ord, "mass")) % 1000), vector(77)
    sums = {
        f"case-{i}": 0.75 * float(text @ vector(i)) + 0.25 * float(image @ vector(i))
        for i in range(40)
    }
    assert ids(result) == sorted(sums, key=lambda name: (-sums[name], name))
    mixed = unit_rows((0.75 * text.astype(float) + 0.25 * image)[np.newaxis])[0]
    for hit in result.hits:
        row = vector(int(hit.case_id[5:]))
        assert hit.score == pytest.approx(float(mixed @ row), abs=1e-6)
        assert hit.evidence.parts["text"] == pytest.approx(float(text @ row), abs=1e-6)
        assert hit.evidence.parts["image"] == pytest.approx(float(image @ row), abs=1e-6)
    assert result.query["weights"] == {"text": 0.75, "image": 0.25}


def test_a_part_of_weight_zero_does_not_count_but_its_patient_stays_out(library) -> None:
    lookup = CaseLookup(library, Oracle())
    alone = lookup.search(text="mass", k=40)
    both = lookup.search(text="mass", case="case-5", weights={"text": 1, "case": 0}, k=40)
    assert ids(both) == [name for name in ids(alone) if name not in ("case-4", "case-5")]


def test_conditions_narrow_and_the_own_patient_stays_out(library) -> None:
    lookup = CaseLookup(library, Oracle())
    result = lookup.search(case="case-10", where=["sex=F", "age>=40"], k=40)
    wanted = [i for i in range(40) if i % 2 and 20 + i >= 40 and i not in (10, 11)]
    assert ids(result) == ranking(vector(10), wanted)
    assert result.plan.matching == result.plan.compared == len(wanted)
    assert result.query["where"] == ["sex=F", "age>=40.0"]
    one = lookup.search(text="mass", where="case=case-7")
    assert ids(one) == ["case-7"]


def test_no_hit_is_an_answer(library) -> None:
    result = CaseLookup(library, Oracle()).search(text="mass", where="age>=120")
    assert result.hits == ()
    assert result.plan.matching == 0
    assert json.loads(json.dumps(result.to_json()))["hits"] == []


def test_a_case_query_loads_no_model_and_no_torch(library) -> None:
    code = (
        "import sys\n"
        "from medembed.library import CaseLibrary\n"
        "from medembed.lookup import CaseLookup\n"
        "with CaseLibrary.open(sys.argv[1]) as library:\n"
        "    assert CaseLookup(library).search(case='case-3').hits\n"
        "print(sorted({'torch','faiss','pandas','transformers','scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(library.path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_json_is_what_the_design_promises(library) -> None:
    result = CaseLookup(library, Oracle()).search(text="right pleural effusion", k=40)
    data = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"query", "model", "plan", "novel", "hits"} <= set(data)
    assert data["novelty"]["state"] == "cannot tell"
    assert data["novelty"]["alpha"] == 0.05
    assert (data["own_cases"], data["own_patient_cases"]) == ([], 0)
    assert data["model"] == FINGERPRINT
    assert data["query"]["text"] == "right pleural effusion"
    assert {"method", "compared", "matching"} <= set(data["plan"])
    assert data["novel"] is False
    hit = next(h for h in data["hits"] if h["case_id"] == "case-0")
    assert list(hit) == [
        *(
            "rank",
            "case_id",
            "patient_id",
            "study_date",
            "score",
            "percentile",
            "worth",
            "modality",
            "sex",
            "age",
        ),
        *("findings", "note", "why", "same_image"),
    ]
    assert hit["study_date"] == "2020-01-01"
    assert hit["age"] == 20
    assert hit["findings"] == ["effusion:right"]
    assert hit["note"].startswith("FINDINGS: Large")
    assert hit["why"]["shared_findings"] == ["effusion:right"]
    assert "pleural" in hit["why"]["words"]
    unknown = next(h for h in data["hits"] if h["case_id"] == "case-3")
    assert unknown["age"] is None
    assert unknown["study_date"] is None


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        ({}, "nothing to search for"),
        ({"text": ""}, "query text is empty"),
        ({"text": " \n\t"}, "query text is empty"),
        ({"text": "x" * 20_001}, "20001 characters"),
        ({"text": "a\ud800"}, "Unicode"),
        ({"text": "mass", "k": 0}, "at least 1"),
        ({"text": "mass", "k": -3}, "at least 1"),
        ({"text": "mass", "k": 2.5}, "at least 1"),
        ({"text": "mass", "k": True}, "at least 1"),
        ({"case": "case-99"}, "no case has this id"),
        ({"case": " "}, "case id is empty"),
        ({"image": "/nowhere/at/all.dcm"}, "file not found"),
        ({"image": []}, "no image file"),
        ({"text": "mass", "weights": {"image": 1}}, "weights given for image"),
        ({"text": "mass", "case": "case-1", "weights": {"text": 1}}, "one weight for each part"),
        ({"text": "mass", "weights": {"sound": 1}}, "text, image, case and vector only"),
        ({"text": "mass", "weights": {"text": -1}}, "negative"),
        ({"text": "mass", "weights": {"text": float("nan")}}, "finite"),
        ({"text": "mass", "weights": {"text": 0}}, "all 0"),
        ({"text": "mass", "weights": {"text": "1"}}, "not a number"),
        ({"text": "mass", "weights": {}}, "weights given for nothing"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(library, ask, what) -> None:
    with pytest.raises(QueryError, match=what) as caught:
        CaseLookup(library, Oracle()).search(**ask)
    assert "\n" not in str(caught.value)
    assert "case-99" not in str(caught.value)


def test_a_condition_that_makes_no_sense_is_refused(library) -> None:
    with pytest.raises(ConditionError):
        CaseLookup(library, Oracle()).search(text="mass", where="age>=old")


def test_parts_that_cancel_each_other_are_refused(library) -> None:
    class Opposed(Oracle):
        def encode_notes(self, texts):
            return -np.stack([vector(9) for _ in texts])

    with pytest.raises(QueryError, match="cancel"):
        CaseLookup(library, Opposed()).search(text="mass", case="case-9")


def test_a_model_of_another_fingerprint_is_refused_and_says_what_to_run(library) -> None:
    with pytest.raises(FingerprintError, match="medembed embed"):
        CaseLookup(library, Oracle("b" * 64)).search(text="mass")


def test_a_library_without_a_model_says_what_to_run(tmp_path: Path, library) -> None:
    with CaseLibrary.create(tmp_path / "empty") as empty:
        empty.add([make_case(0)])
        with pytest.raises(ModelError, match="medembed train"):
            CaseLookup(empty)
        with pytest.raises(ModelError, match="there is no model named"):
            CaseLookup(empty, "nobody")
    with pytest.raises(ModelError, match="no model to encode"):
        CaseLookup(library).search(text="mass")


def test_a_case_without_a_vector_says_what_to_run(library) -> None:
    library.add([make_case(900)])
    with pytest.raises(QueryError, match="medembed embed"):
        CaseLookup(library, Oracle()).search(case="case-900")


def test_what_is_embedded_meanwhile_is_found_by_the_same_object(library) -> None:
    lookup = CaseLookup(library, Oracle())
    lookup.search(case="case-0")
    library.add([make_case(800)])
    library.put_vectors(FINGERPRINT, "image", ["case-800"], vector(0)[np.newaxis])
    result = lookup.search(case="case-0", k=1)
    assert ids(result) == ["case-800"]
    assert SearchNoteKind.INDEX_UPDATED in kinds(result)
    assert SearchNoteKind.INDEX_UPDATED not in kinds(lookup.search(case="case-0"))


def test_a_text_longer_than_the_model_reads_is_said(library) -> None:
    lookup = CaseLookup(library, Oracle())
    short = lookup.search(text="mass")
    assert SearchNoteKind.TEXT_CUT not in kinds(short)
    long = lookup.search(text="word " * 40)
    assert SearchNote(SearchNoteKind.TEXT_CUT, (16,)) in long.plan.notes


def test_a_scan_of_a_study_in_the_library_does_not_find_its_patient(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        name = library.pseudonymizer.study("1.2.3")
        of_table = {"study_id": library.pseudonymizer.study("7.8.9")}
        library.add(
            [
                make_case(0, case_id=name, patient_id="P-0"),
                make_case(1),
                make_case(2, attributes=of_table),
            ]
        )
        library.put_vectors(
            FINGERPRINT,
            "image",
            [name, "case-1", "case-2"],
            np.stack([vector(0), vector(1), vector(2)]),
        )
        lookup = CaseLookup(library, Oracle())
        assert set(ids(lookup.search(image=flat_scan(0)))) == {name, "case-1", "case-2"}
        assert ids(lookup.search(image=flat_scan(0, study_uid="1.2.3"))) == ["case-2"]
        assert ids(lookup.search(image=flat_scan(0, study_uid="7.8.9"))) == [name, "case-1"]
        assert len(lookup.search(image=flat_scan(0, study_uid="5.5")).hits) == 3


def test_a_finding_that_nobody_knows_is_named_and_a_known_one_without_cases_is_not(
    library: CaseLibrary,
) -> None:
    with CaseLookup(library, Oracle()) as lookup:
        unknown = lookup.search(case="case-0", where="finding=flibbertosis")
        known = lookup.search(case="case-0", where="finding=scoliosis")
    assert SearchNote(SearchNoteKind.UNKNOWN_FINDINGS, (), ("flibbertosis",)) in unknown.plan.notes
    assert SearchNoteKind.UNKNOWN_FINDINGS not in kinds(known)
