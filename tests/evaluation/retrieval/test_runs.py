"""Runs of other systems: files, relevance from qrels or a library, patients, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.planted import MODEL, plant

from evaluation import evaluate_library, evaluate_run, read_qrels, read_run
from evaluation.commands import evaluate
from medembed.errors import InputError
from medembed.library import CaseLibrary

RUN = "q1 Q0 d1 1 0.9 me\nq1 Q0 d2 2 0.5 me\n\nq2 Q0 d3 1 0.7 me\n"
QRELS = "q1 0 d2 2\nq1 0 d1 0\nq2 0 d3 1\nq3 0 d1 1\n"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    return plant(tmp_path_factory.mktemp("runs") / "library", 40)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_trec_run_is_measured_against_qrels_and_a_missing_query_counts_0(
    tmp_path: Path,
) -> None:
    found = evaluate_run(
        read_run(write(tmp_path / "hits.trec", RUN)), read_qrels(write(tmp_path / "q.txt", QRELS))
    )
    scores = found.scores["qrels"]
    assert scores["MRR"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert scores["R@1"] == pytest.approx(1 / 3)
    assert (found.n_hits, found.n_queries, found.n_without_hits) == (3, 3, 1)
    assert (found.own_patient, found.patients, scores.pool) == ("counted", "query", 3)


@pytest.mark.parametrize("suffix", [".trec", ".csv", ".tsv", ".parquet", "semicolon.csv"])
def test_every_format_gives_the_same_scores(tmp_path: Path, suffix: str) -> None:
    run = pd.DataFrame(
        {"query": [7, 7, 8], "case": ["a", "b", "a"], "score": [0.25, 0.5, 1.0], "rank": [2, 1, 1]}
    )
    qrels = pd.DataFrame({"query": [7, 8, 9], "case": ["a", "b", "a"], "grade": [2, 1, 1]})
    files = []
    for name, table in (("run", run), ("qrels", qrels)):
        path = tmp_path / f"{name}{suffix}"
        if suffix == ".parquet":
            table.to_parquet(path)
        elif suffix == ".trec":
            order = ["query", "0", "case", "rank", "score", "tag"]
            order = order if name == "run" else ["query", "0", "case", "grade"]
            table.assign(**{"0": 0, "tag": "x"})[order].to_csv(
                path, sep=" ", header=False, index=False
            )
        else:
            table.to_csv(path, sep={".csv": ",", ".tsv": "\t"}.get(suffix, ";"), index=False)
        files.append(path)
    found = evaluate_run(read_run(files[0]), read_qrels(files[1])).to_json()
    assert found["qrels"]["MRR"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert found["n_without_hits"] == 1
    json.dumps(found, allow_nan=False)


def library_run(library: CaseLibrary, path: Path, depth: int = 40) -> Path:
    """The library's own image-to-image hits, of all cases, as a run."""
    ids, vectors = library.vectors(MODEL, "image")
    scores = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    rows = [
        (ids[q], ids[d], float(scores[q, d]))
        for q in range(len(ids))
        for d in np.argsort(-scores[q])[:depth]
    ]
    pd.DataFrame(rows, columns=["query", "case", "score"]).to_parquet(path)
    return path


def test_the_librarys_own_hits_as_a_run_score_what_evaluate_scores(
    library: CaseLibrary, tmp_path: Path
) -> None:
    found = evaluate_run(read_run(library_run(library, tmp_path / "r.parquet")), library=library)
    golden = evaluate_library(library, shuffles=2, repetitions=200)
    for name, task in (
        ("finding", "image_to_image"),
        ("finding_either_side", "image_to_image_by_finding"),
    ):
        ours, theirs = found.scores[name], golden.tasks[task].scores
        for measure in ("P@5", "MRR", "nDCG@10"):
            assert ours[measure] == pytest.approx(theirs[measure], abs=1e-6)
            assert ours.chance[measure] == pytest.approx(theirs.chance[measure], abs=1e-12)
        assert ours.excluded["own patient, other case"] == 40
        assert ours.n_patients == theirs.n_patients
    assert (found.own_patient, found.patients) == ("excluded", "library")


def test_own_cases_as_hits_are_found_and_other_cases_of_the_patient_left_out(
    library: CaseLibrary, tmp_path: Path
) -> None:
    found = evaluate_run(
        read_run(library_run(library, tmp_path / "r.parquet", 3)), library=library, relevant="own"
    )
    assert found.scores["own"]["R@1"] == 1  # an image is nearest to itself
    assert found.scores["own"].excluded["own patient, other case"] == 40


def test_qrels_with_a_library_take_its_patients_and_its_gallery(
    library: CaseLibrary, tmp_path: Path
) -> None:
    patients = library.patients()
    ids = sorted(patients)
    query = ids[0]
    own = next(i for i in ids[1:] if patients[i] == patients[query])
    other = next(i for i in ids if patients[i] != patients[query])
    run = write(tmp_path / "r.csv", f"query,case,score\n{query},{own},0.9\n{query},{other},0.8\n")
    qrels = write(tmp_path / "q.csv", f"query,case,grade\n{query},{other},3\n")
    scores = evaluate_run(read_run(run), read_qrels(qrels), library).scores["qrels"]
    assert scores["R@1"] == 1  # the own patient's hit is no distractor
    assert scores.excluded == {"own patient": 2}
    assert scores.pool == 40


def test_patients_of_columns_are_resampled_and_own_hits_are_left_out(tmp_path: Path) -> None:
    run = write(
        tmp_path / "r.csv",
        "query,case,score,case_patient\nq1,d1,.9,A\nq1,d2,.8,B\nq2,d2,.5,B\nq3,d1,.5,A\n",
    )
    qrels = write(tmp_path / "q.csv", "query,case,grade,patient\nq1,d2,1,A\nq2,d2,1,A\nq3,d1,1,C\n")
    found = evaluate_run(read_run(run), read_qrels(qrels))
    scores = found.scores["qrels"]
    assert found.patients == "column"
    assert found.own_patient == "excluded_unless_relevant"
    assert scores["R@1"] == 1
    assert scores.n_patients == 2
    assert scores.excluded == {"own patient": 2}  # d1 of q1, and of q2, which did not retrieve it


def test_the_smallest_relevant_grade_is_a_choice(tmp_path: Path) -> None:
    run = read_run(write(tmp_path / "hits.run", "q Q0 a 1 3 x\nq Q0 b 2 2 x\n"))
    qrels = read_qrels(write(tmp_path / "q.qrels", "q 0 a 1\nq 0 b 2\n"))
    assert evaluate_run(run, qrels).scores["qrels"]["MRR"] == 1
    assert evaluate_run(run, qrels, min_grade=2).scores["qrels"]["MRR"] == 0.5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.trec", "", "no hits"),
        ("a.trec", "q1 Q0 d1 1 0.9\n", "line 1 has 5 fields instead of 6"),
        ("a.trec", "q1 Q0 d1 1 nan me\n", "score that is not a finite number.*row 1"),
        ("a.trec", "q1 Q0 d1 1 high me\n", "not a finite number"),
        ("a.trec", "q1 Q0 d1 1 1 me\n\nq1 Q0 d1 2 0 me\n", "there before.*row 3"),
        ("a.csv", "query,case,score\n", "no hits"),
        ("a.csv", "", "cannot be read as csv"),
        ("a.csv", "query,case\nq1,d1\n", "columns missing: score"),
        ("a.csv", "query,case,score,score\nq1,d1,1,1\n", "named twice: score"),
        ("a.csv", "query,case,score\nq1,d1,1,1\n", "cannot be read as csv"),
        ("a.csv", "query,case,score\nq1,,1\n", "without a query or a case.*row 2"),
        ("a.csv", "query,case,score\nq1,d1,\n", "not a finite number"),
        (
            "a.csv",
            "query,case,score\nq9,d1,1\nq1,d1,1\n",
            "queries that are not in the qrels: 1, .* row 2",
        ),
        ("a.parquet", "no parquet", "cannot be read"),
        ("a.tsv", "query\tcase\tscore\tpatient\nq1\td1\t1\tA\nq1\td2\t1\tB\n", "two patients"),
        ("a.tsv", "query\tcase\tscore\tpatient\nq1\td1\t1\tA\n", "queries without a patient"),
    ],
)
def test_a_bad_run_is_one_line_without_an_id(
    tmp_path: Path, name: str, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, qrels = write(tmp_path / name, text), write(tmp_path / "q.txt", QRELS)
    with pytest.raises(InputError, match=message):
        evaluate_run(read_run(path), read_qrels(qrels))
    with pytest.raises(SystemExit) as stop:
        evaluate(run=path, qrels=qrels)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert not {"q1", "q9", "d1", "d2"} & set(said.replace(":", " ").split())


def test_bad_qrels_and_unknown_cases_of_a_library_are_refused(
    library: CaseLibrary, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="grade below 0 in row 2"):
        read_qrels(write(tmp_path / "q.txt", "q1 0 d1 1\nq1 0 d2 -1\n"))
    with pytest.raises(InputError, match="no judgments"):
        read_qrels(write(tmp_path / "none.csv", "query,case,grade\n"))
    with pytest.raises(InputError, match="no such file"):
        read_run(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path / "nowhere.trec")
    run = read_run(write(tmp_path / "r.trec", RUN))
    with pytest.raises(InputError, match=r"queries that are not in the split: 2, .* row 1"):
        evaluate_run(run, library=library)
    with pytest.raises(InputError, match="without relevance"):
        evaluate_run(run)
    with pytest.raises(InputError, match="no query has a relevant item"):
        evaluate_run(run, read_qrels(write(tmp_path / "0.txt", "q1 0 d1 0\nq2 0 d1 0\n")))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "give a LIBRARY, or --run FILE"),
        ({"library": "L", "qrels": "Q"}, "--qrels: needs --run"),
        ({"library": "L", "relevant": "own"}, "--relevant: needs --run"),
        ({"run": "R", "pool": 5, "qrels": "Q"}, "--pool: does not go with --run"),
        ({"run": "R", "qrels": "Q", "relevant": "own"}, "--relevant: does not go with --qrels"),
        ({"run": "R", "min_grade": 2.0}, "--min-grade: needs --qrels"),
        ({"run": "R", "library": "L", "relevant": "all"}, "finding or own"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    asked: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {k: Path(v) if k in ("library", "run", "qrels") else v for k, v in asked.items()}
    with pytest.raises(SystemExit):
        evaluate(**paths)
    assert message in capsys.readouterr().err


def test_a_person_reads_what_the_scores_rest_on_and_a_machine_gets_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, qrels = write(tmp_path / "h.trec", RUN), write(tmp_path / "q.txt", QRELS)
    evaluate(run=run, qrels=qrels)
    text = capsys.readouterr().out
    for words in (
        "Hits: 3. Queries: 3; without hits, counted as 0: 1.",
        "counted, since the patients are not known",
        "chance is lower than shown",
        "nDCG@10",
    ):
        assert words in " ".join(text.split())
    evaluate(run=run, qrels=qrels, as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["qrels"]["n_queries"] == 3
