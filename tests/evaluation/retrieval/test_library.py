"""evaluate_library: what is relevant, what is left out, and what is said where nothing can be."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case
from support.planted import MODEL, plant, unit

from evaluation import evaluate_library
from evaluation.retrieval.load_cases import LoadedCases, joined, load_cases, same_finding
from evaluation.retrieval.tasks import image_to_image, image_to_text, text_to_image
from evaluation.retrieval.text_report import summary_lines
from medembed.cases import Finding, ScanRef
from medembed.errors import FingerprintError, LibraryError, ModelError
from medembed.library import CaseLibrary
from medembed.model.resolve import choose_model
from medembed.notes import Note


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return plant(tmp_path_factory.mktemp("planted") / "library")


def loaded(n: int = 6, **changes: object) -> LoadedCases:
    values: dict[str, object] = {
        "images": unit(np.random.default_rng(0).normal(size=(n, 5))),
        "notes": unit(np.random.default_rng(1).normal(size=(n, 5))),
        "note_text": np.arange(n),
        "scans": np.arange(n),
        "owners": np.arange(n),
        "findings": ((Finding("edema"),),) * n,
    }
    return LoadedCases(**(values | changes))  # type: ignore[arg-type]


def test_a_planted_signal_stands_clear_of_its_null_controls_and_those_hold_chance(
    library: CaseLibrary,
) -> None:
    found = evaluate_library(library, shuffles=60, repetitions=300)
    assert set(found.tasks) == set(found.to_json()) & set(found.tasks)
    for task, measured in found.tasks.items():
        scores = measured.scores
        name = "R@10" if "text" in task else "P@5"
        for null in measured.nulls.values():
            low, high = null.range95[name]
            assert low <= scores.chance[name] <= high, task
            assert scores[name] > high, task
    pairs = found.tasks["text_to_image"].scores
    assert pairs.pool == 60
    assert pairs.excluded == {"own patient, other case": 60, "same scan file": 0}
    assert pairs.chance["R@10"] == pytest.approx(10 / 59, abs=1e-12)
    neighbours = found.tasks["image_to_image"].scores
    assert neighbours.excluded["the query itself"] == 60
    assert neighbours.excluded["own patient, other case"] == 60


def test_the_json_holds_the_promised_names_and_no_patient(library: CaseLibrary) -> None:
    payload = evaluate_library(library, shuffles=5, repetitions=100).to_json()
    text = json.dumps(payload, allow_nan=False)
    for way in ("text_to_image", "image_to_text"):
        for name in ("R@1", "R@5", "R@10", "MRR", "median_rank", "n_queries", "pool"):
            assert isinstance(payload[way][name], int | float)
        assert len(payload[way]["ci"]["R@10"]) == 2
        assert set(payload["nulls"][way]) == {"images_shuffled", "notes_shuffled"}
    assert isinstance(payload["image_to_image"]["P@5"], float)
    assert "P-1" not in text
    assert "case-1" not in text


def test_the_same_seed_gives_the_same_figures(library: CaseLibrary) -> None:
    asked = {"shuffles": 5, "repetitions": 100, "pool": 30, "seed": 4}
    one, two = (evaluate_library(library, **asked).to_json() for _ in range(2))
    assert one == two
    other = evaluate_library(library, **(asked | {"seed": 5})).to_json()
    assert other["text_to_image"] != one["text_to_image"]


def test_a_pool_takes_whole_patients_and_exactly_so_many_cases(library: CaseLibrary) -> None:
    cases = load_cases(library, MODEL, pool=21, seed=1)
    assert len(cases) == 21
    sizes = np.bincount(cases.owners)
    assert (sizes == 1).sum() == 1  # two cases each, the last patient cut


def test_notes_that_read_the_same_are_relevant_together() -> None:
    cases = loaded(note_text=np.array([0, 0, 1, 2, 3, 4]))
    scores = text_to_image(cases, shuffles=2, repetitions=100).scores
    assert scores.chance["R@1"] == pytest.approx((2 * 2 / 6 + 4 * 1 / 6) / 6, abs=1e-12)


def test_own_patients_other_case_and_copies_are_no_distractors() -> None:
    vectors = unit(np.array([[1.0, 0.0], [0.99, 0.1], [0.0, 1.0], [0.7, 0.7]]))
    cases = loaded(
        4,
        images=vectors,
        notes=vectors[[1, 1, 2, 3]],  # the first note looks like its patient's other image
        owners=np.array([0, 0, 1, 2]),
        scans=np.array([0, 1, 2, 2]),
        note_text=np.arange(4),
        findings=((),) * 4,
    )
    scores = text_to_image(cases, shuffles=2, repetitions=100).scores
    assert scores["R@1"] == 1
    assert scores.excluded == {"own patient, other case": 2, "same scan file": 2}


def test_neighbours_leave_out_the_query_its_patient_and_copies() -> None:
    vectors = unit(np.array([[1.0, 0.0], [1.0, 0.01], [1.0, 0.0], [1.0, 0.02], [0.0, 1.0]]))
    cases = loaded(
        5,
        images=vectors,
        notes=None,
        owners=np.array([0, 0, 1, 2, 3]),
        scans=np.array([0, 1, 2, 0, 3]),
        note_text=np.full(5, -1),
        findings=tuple((Finding("edema"),) if i != 3 else () for i in range(5)),
    )
    scores = image_to_image(cases, shuffles=2, repetitions=100).scores
    assert scores.excluded == {
        "the query itself": 5,
        "own patient, other case": 2,
        "same scan file": 2,
        "same vector": 2,
    }
    assert scores.n_without_relevant == 1
    assert scores.per_query["P@1"][0] == 1  # only the last is left for the first


def test_words_ask_other_patients_for_the_same_finding() -> None:
    images = unit(np.array([[1.0, 0.0], [0.9, 0.1], [0.8, 0.6], [0.0, 1.0], [0.1, 0.9]]))
    kinds = (("edema", ""), ("edema", ""), ("mass", "left"), ("edema", ""), ("mass", "left"))
    cases = loaded(
        5,
        images=images,
        notes=images[[0, 1, 3, 0, 2]],  # what each report is like
        owners=np.array([0, 0, 1, 2, 3]),
        note_text=np.arange(5),
        scans=np.arange(5),
        findings=tuple((Finding(*kind),) for kind in kinds),
    )
    asked = {"relevant": "finding", "shuffles": 0, "repetitions": 100}
    # Nearest scan of another patient: 2, 2, 3, 0, 2 for the reports 0 to 4, own ones left out.
    by_words = text_to_image(cases, **asked).scores  # type: ignore[arg-type]
    assert by_words.per_query["P@1"].tolist() == [0, 0, 0, 1, 1]
    assert by_words.excluded == {
        "the query itself": 5, "own patient, other case": 2, "same scan file": 0,
    }  # fmt: skip
    # Nearest report of another patient: 3, 3, 4, 2, 2 for the scans 0 to 4.
    by_scan = image_to_text(cases, **asked).scores  # type: ignore[arg-type]
    assert by_scan.per_query["P@1"].tolist() == [1, 1, 1, 0, 1]


def test_sharing_a_finding_and_side_is_what_finding_matches_says() -> None:
    sides = ("", "left", "right", "bilateral")
    one = [(Finding(label, side),) for label, side in product(("mass", "nodule"), sides)]
    both = [*one, (), (Finding("mass", "left"), Finding("nodule", "right"))]
    for side in (True, False):
        found = same_finding(both, both, side=side).rows(0, len(both))
        for row, wanted in enumerate(both):
            for column, given in enumerate(both):
                golden = any(
                    held.matches(asked if side else Finding(asked.label))
                    for asked in wanted
                    for held in given
                )
                assert found[row, column] == golden, (wanted, given)


def test_rows_that_share_a_key_through_others_are_one() -> None:
    assert joined([["a"], ["b"], ["c"], ["b", "a"]]).tolist() == [0, 0, 1, 0]
    assert joined([[], []]).tolist() == [0, 1]


def test_a_group_of_the_source_counts_as_one_patient(tmp_path: Path) -> None:
    library = CaseLibrary.create(tmp_path / "library")
    cases = [
        make_case(
            i,
            patient_id=f"P-{i}",
            group_id="article" if i < 2 else "",
            split="test",
            note=Note(f"Note {i // 2}"),
        )
        for i in range(4)
    ]
    frames = ScanRef(("/scans/x.dcm",), "a" * 64, frame=1), ScanRef(("/x",), "a" * 64, frame=2)
    cases.append(make_case(8, scans=(frames[0],), split="test"))
    cases.append(make_case(10, scans=(frames[1],), split="test"))
    library.add(cases)
    library.put_vectors("f", "image", [c.case_id for c in cases], unit(np.eye(6)))
    found = load_cases(library, "f", with_notes=False)
    assert found.owners.tolist() == [0, 0, 1, 2, 3, 4]
    assert found.note_text.tolist() == [0, 0, 1, 1, -1, -1]
    assert len(set(found.scans.tolist())) == 6  # frames of one file are scans of their own


def test_without_notes_only_images_are_assessed(tmp_path: Path) -> None:
    library = plant(tmp_path / "library", notes=False)
    found = evaluate_library(library, shuffles=3, repetitions=100)
    payload = found.to_json()
    assert "no case" in payload["text_to_image"]["not_assessable"]
    assert payload["image_to_image"]["P@5"] > payload["image_to_image"]["chance"]["P@5"]
    assert any("not assessable" in sentence for sentence in summary_lines(found))
    assert any("Only 30 patients" in sentence for sentence in summary_lines(found))


def test_what_cannot_be_evaluated_says_what_to_run(library: CaseLibrary, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="no cases in the split 'val'"):
        evaluate_library(library, "val")
    with pytest.raises(LibraryError, match="a split must be"):
        evaluate_library(library, "tests")
    with pytest.raises(FingerprintError, match="medembed embed"):
        evaluate_library(library, fingerprint="another")
    with pytest.raises(LibraryError, match="61 out of 60"):
        evaluate_library(library, pool=61)
    empty = CaseLibrary.create(tmp_path / "empty")
    with pytest.raises(ModelError, match="no model yet"):
        evaluate_library(empty)
    small = plant(tmp_path / "small", n=2)
    with pytest.raises(LibraryError, match="at least two patients"):
        evaluate_library(small)


def test_the_model_is_found_by_name_by_folder_or_by_fingerprint(tmp_path: Path) -> None:
    def found(name: str | None = None) -> str:
        return choose_model(library, name).fingerprint

    library = plant(tmp_path / "library", n=4)
    assert found() == MODEL
    library.put_vectors("other", "image", ["case-1"], [[1.0, 0.0]])
    with pytest.raises(ModelError, match="2 models"):
        found()
    assert found(MODEL[:8]) == MODEL
    folder = library.path / "models" / "first"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"fingerprint": "other"}), encoding="utf-8")
    assert found("first") == "other"
    assert found(str(folder)) == "other"
    assert choose_model(library, "othe").folder == folder
    library.active_model = "first"
    assert found() == "other"
    for name in ("nobody", ""):
        with pytest.raises(ModelError):
            found(name)
    (folder / "model.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelError, match=r"model\.json"):
        found()
