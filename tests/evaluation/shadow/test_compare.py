"""Two models side by side: what was planted is found, and small groups and cases stay untold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case
from typer.testing import CliRunner

from evaluation.shadow import ComparedModel, ShadowComparison, compare_library_models
from evaluation.shadow.models import trained_here
from evaluation.shadow.text import markdown, write_comparison
from medembed.cases import Finding
from medembed.cli import build
from medembed.embeddings import unit_rows
from medembed.errors import FingerprintError, InputError, LibraryError
from medembed.library import CaseLibrary

N = 120
OLD, NEW = "a" * 64, "b" * 64
LABELS = ("effusion", "cardiomegaly", "pneumothorax")


def ids() -> list[str]:
    return [f"case-{i}" for i in range(N)]


def by_finding(noise: float, seed: int) -> np.ndarray:
    """Vectors that point to the case's finding, and off it by so much noise."""
    rng = np.random.default_rng(seed)
    towards = np.eye(8, dtype=np.float32)[np.arange(N) % 3]
    return unit_rows(towards + noise * rng.normal(size=(N, 8)).astype(np.float32))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    """A patient a case; men's vectors are the same under both models, women's get better."""
    with CaseLibrary.create(tmp_path / "library") as opened:
        opened.add(
            make_case(i, patient_id=f"P-{i}", findings=(Finding(LABELS[i % 3]),)) for i in range(N)
        )
        before, after = by_finding(1.0, 1), by_finding(0.1, 2)
        women = np.arange(N) % 2 == 1
        opened.put_vectors(OLD, "image", ids(), before)
        opened.put_vectors(NEW, "image", ids(), np.where(women[:, None], after, before))
        yield opened


def words(model_seed: int):
    def encode(texts: list[str]) -> np.ndarray:
        rng = np.random.default_rng(model_seed)
        return unit_rows(rng.normal(size=(len(texts), 8)).astype(np.float32))

    return encode


def compared(library: CaseLibrary, **options: object) -> ShadowComparison:
    models = (ComparedModel("new", NEW, words(2)), ComparedModel("old", OLD, words(1)))
    return compare_library_models(library, *models, repetitions=200, **options)


def row(rows: list[dict], kind: str, measure: str, attribute: str, group: str) -> dict:
    wanted = (kind, measure, attribute, group)
    (found,) = [r for r in rows if (r["kind"], r["measure"], r["attribute"], r["group"]) == wanted]
    return found


def test_a_gain_of_one_group_is_found_in_that_group(library: CaseLibrary) -> None:
    report = compared(library, by=("sex",)).report
    women = row(report["quality"], "image", "P@10", "sex", "F")
    assert women["verdict"] == "improved"
    assert women["change"] > 0.2
    men = row(report["quality"], "image", "P@10", "sex", "M")
    assert women["change"] > men["change"]
    whole = row(report["agreement"], "image", "overlap@10", "all", "all")
    assert whole["ci_low"] < whole["estimate"] < whole["ci_high"] < 0.9
    assert set(report["not_assessable"]) == {"note"}
    assert (report["n_queries"], report["n_patients"], report["held_out"]) == (N, N, False)


def test_equal_vectors_change_nothing(library: CaseLibrary) -> None:
    library.put_vectors(NEW, "image", ids(), library.vectors(OLD, "image")[1])
    same = ComparedModel("new", NEW, words(1)), ComparedModel("old", OLD, words(1))
    found = compare_library_models(library, *same, repetitions=200, by=())
    assert {r["estimate"] for r in found.report["agreement"]} == {1.0}
    assert {r["change"] for r in found.report["quality"]} == {0.0}
    assert found.most_changed == ()


def test_the_dimensions_of_the_models_may_differ(library: CaseLibrary) -> None:
    library.drop_vectors(NEW)
    wide = np.hstack([library.vectors(OLD, "image")[1], np.zeros((N, 5), np.float32)])
    library.put_vectors(NEW, "image", ids(), wide)
    found = compare_library_models(
        library, ComparedModel("new", NEW), ComparedModel("old", OLD), repetitions=200
    )
    whole = row(found.report["agreement"], "image", "overlap@10", "all", "all")
    assert whole["estimate"] > 0.99
    assert "no encoder of old" in found.report["not_assessable"]["words"]


def test_no_case_is_named_in_the_report_and_no_small_group_is_shown(
    library: CaseLibrary, tmp_path: Path
) -> None:
    library.add(
        (make_case(i, patient_id=f"P-{i}", site="tiny", findings=()) for i in range(5)),
        replace=True,
    )
    for name, vectors in ((OLD, by_finding(1.0, 1)), (NEW, by_finding(1.0, 3))):
        library.put_vectors(name, "image", ids(), vectors)
    found = compared(library, by=("site",))
    assert found.report["rounded"]
    shown = [r for r in found.report["agreement"] if r["group"] == "tiny"]
    assert shown
    assert all(r["estimate"] is None and r["n_patients"] in (None, 0) for r in shown)
    sizes = {r["n_patients"] for r in found.report["agreement"] if r["n_patients"]}
    assert all(size % 10 == 0 for size in sizes)
    written = write_comparison(found, tmp_path / "out")
    for name in ("json", "page"):
        assert "case-" not in written[name].read_text()
    listed = written["cases"].read_text().splitlines()
    assert len(listed) == 21
    assert listed[1].split(",")[0] in ids()
    assert written["cases"].stat().st_mode & 0o077 == 0
    lines = [line for line in markdown(found.report).splitlines() if "site tiny" in line]
    assert lines
    assert not any(digit in line.replace("@10", "") for line in lines for digit in "123456789")


def test_only_held_out_cases_ask_a_model_that_was_trained_here(library: CaseLibrary) -> None:
    trained = ComparedModel("new", NEW, trained_here=True)
    found = compare_library_models(
        library, trained, ComparedModel("old", OLD), repetitions=200, by=()
    )
    tested = set(library.split("test"))
    assert 0 < len(tested) < N
    assert found.report["held_out"]
    assert {one.case_id for one in found.most_changed} <= tested
    assert found.report["n_queries"] in (len(tested), 10 * round(len(tested) / 10))


def test_what_cannot_be_compared_is_refused_in_a_line(library: CaseLibrary) -> None:
    old = ComparedModel("old", OLD)
    with pytest.raises(InputError, match="compared with itself"):
        compare_library_models(library, old, old)
    with pytest.raises(FingerprintError, match="--no-activate"):
        compare_library_models(library, ComparedModel("none", "c" * 64), old)
    with pytest.raises(InputError, match="no case has the attribute 'shoe'"):
        compared(library, by=("shoe",))
    with pytest.raises(LibraryError, match="fewer than 11 patients"):
        compared(library, queries=7)


def test_a_model_counts_as_trained_here_if_it_or_its_origin_was(library: CaseLibrary) -> None:
    models = library.path / "models"

    def made(name: str, about: dict, training: dict | None = None) -> Path:
        (models / name).mkdir(parents=True)
        (models / name / "model.json").write_text(json.dumps(about))
        if training is not None:
            (models / name / "training.json").write_text(json.dumps(training))
        return models / name

    here = made("here", {"fingerprint": "1" * 64}, {"library": {"library_id": library.library_id}})
    there = made("there", {"fingerprint": "2" * 64}, {"library": {"library_id": "other"}})
    untold = made("untold", {"fingerprint": "3" * 64}, {"n_train": 3})
    bare = made("bare", {"fingerprint": "4" * 64})
    variant = made("variant", {"fingerprint": "5" * 64, "made_from": "1" * 64})
    other = made("other", {"fingerprint": "6" * 64, "made_from": "2" * 64})
    orphan = made("orphan", {"fingerprint": "7" * 64, "made_from": "9" * 64})
    answers = [trained_here(library, one) for one in (here, there, untold, bare, variant)]
    assert answers == [True, False, True, False, True]
    assert [trained_here(library, other), trained_here(library, orphan)] == [False, True]


def test_the_command_prints_json_and_writes_files(library: CaseLibrary, tmp_path: Path) -> None:
    command = ["compare-models", str(library.path), NEW, "--against", OLD, "--by", "sex"]
    out = tmp_path / "change"
    done = CliRunner().invoke(build(), [*command, "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["agreement"]
    assert said["most_changed"]
    assert json.loads((out / "comparison.json").read_text())["quality"] == said["quality"]
    plain = CliRunner().invoke(build(), command)
    assert plain.exit_code == 0
    assert "by image" in plain.stdout
    assert "Most changed:" in plain.stdout
