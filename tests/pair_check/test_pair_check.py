"""The pair check: wrong pairs come first, for named reasons, without torch and without guessing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from medembed.cases import Case, ScanRef
from medembed.errors import LibraryError
from medembed.library import CaseLibrary
from medembed.notes import load_vocabulary, read_note
from medembed.notes.exam_words import stated_exam
from medembed.pair_check import MIN_PAIRS, PairCheck, ReasonKind, check_pairs
from medembed.pair_check import pairs as module

N = 240
MODEL = "f" * 64
SIDES = ("left", "right")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def latent(n: int = N, seed: int = 0) -> np.ndarray:
    """What images show: the first column is the side of an effusion, +1 right."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((n, 12))
    hidden[:, 0] = np.where(hidden[:, 0] > 0, 1.5, -1.5)
    return hidden


def write_pairs(
    path: Path,
    hidden: np.ndarray,
    report_of: Sequence[int],
    *,
    views: Sequence[str] | None = None,
    memorized: float = 0.0,
) -> CaseLibrary:
    """A library whose case i has the image i and the report of ``report_of[i]``.

    ``memorized`` moves each image vector towards its own report, as training on it does.
    """
    rng = np.random.default_rng(1)
    n, dim = len(hidden), 24
    mix_image, mix_note = (rng.standard_normal((hidden.shape[1], dim)) for _ in range(2))
    mix_image += mix_note  # an aligned model, with a share of its own in each modality
    notes = unit(hidden @ mix_note + 0.5 * rng.standard_normal((n, dim)))[list(report_of)]
    images = unit(hidden @ mix_image + 0.5 * rng.standard_normal((n, dim)))
    images = unit(images + memorized * notes)
    cases = []
    for i in range(n):
        source = report_of[i]
        side = SIDES[int(hidden[source, 0] > 0)]
        view = views[source] if views else "PA"
        text = f"TECHNIQUE: {view} chest radiograph.\nFINDINGS: Effusion on the {side}. N{source}."
        header = views[i] if views else "PA"
        scan = ScanRef((f"{i}.dcm",), f"{i:064x}", "DX", header)
        cases.append(
            Case(
                f"case-{i:03d}", f"p{i // 2}", (scan,), read_note(text), modality="DX", view=header
            )
        )
    library = CaseLibrary.open(path, create=True)
    assert library.add(cases).added == n
    ids = [case.case_id for case in cases]
    library.put_vectors(MODEL, "image", ids, images)
    library.put_vectors(MODEL, "note", ids, notes)
    return library


def swapped(n: int = N, count: int = 12, seed: int = 3) -> tuple[list[int], set[str]]:
    """Pass the reports of some cases round, each to another patient."""
    rng = np.random.default_rng(seed)
    report_of = list(range(n))
    chosen = 2 * rng.choice(n // 2, count, replace=False)  # one case of a patient
    for taker, giver in zip(chosen, np.roll(chosen, 1), strict=True):
        report_of[taker] = int(giver)
    return report_of, {f"case-{i:03d}" for i in chosen}


def ranks_of(found: PairCheck, wrong: set[str]) -> list[int]:
    return [rank for rank, one in enumerate(found.suspects) if one.case_id in wrong]


@pytest.mark.parametrize("memorized", [0.0, 0.6])
def test_swapped_reports_come_first_even_if_the_model_has_learned_them(
    tmp_path: Path, memorized: float
) -> None:
    report_of, wrong = swapped()
    with write_pairs(tmp_path / "l", latent(), report_of, memorized=memorized) as library:
        found = check_pairs(library)
    assert len(found) == N
    assert np.mean([rank < N / 10 for rank in ranks_of(found, wrong)]) >= 0.8
    for one in found.suspects[:3]:
        assert ReasonKind.CONTENT in {reason.kind for reason in one.reasons}


def test_the_scores_are_those_of_a_slow_oracle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report_of, _ = swapped()
    with write_pairs(tmp_path / "l", latent(), report_of) as library:
        ids, images = library.vectors(MODEL, "image")
        notes = library.vectors(MODEL, "note")[1]
        patient_of = library.patients()
        patients = np.unique([patient_of[i] for i in ids], return_inverse=True)[1]
    pairs = module.Pairs(images.astype(float), notes.astype(float), patients)
    whole = pairs.compare(lambda done, total: None)
    monkeypatch.setattr(module, "_BLOCK", 37)
    steps: list[int] = []
    blocks = pairs.compare(lambda done, total: steps.append(done))
    assert steps[-1] == N
    np.testing.assert_allclose(blocks.disagreement, whole.disagreement, rtol=1e-10)
    guess = pairs.predict(pairs.notes, np.arange(N))
    center = pairs.notes.mean(axis=0)
    for i in (0, 17, 200):
        # the ridge regression written out for the fold of one case
        known = pairs.folds != pairs.folds[i]
        x, y = pairs.images[known], pairs.notes[known]
        x0 = x - x.mean(axis=0)
        gram = x0.T @ x0
        weights = np.linalg.inv(gram + 0.3 * np.trace(gram) / len(gram) * np.eye(len(gram))) @ (
            x0.T @ (y - y.mean(axis=0))
        )
        expected = (pairs.images[i] - x.mean(axis=0)) @ weights + y.mean(axis=0)
        np.testing.assert_allclose(guess[i], expected, atol=1e-10)
    left, right = module._unit(guess - center), module._unit(pairs.notes - center)
    parts = [(pairs.images, pairs.notes), (left, right)]
    scores = sum(a @ b.T / module._spread(a, b) for a, b in parts)
    others = patients[:, None] != patients[None]
    for i in (0, 17, 200):
        row, column = scores[i, others[i]], scores[others[:, i], i]
        own = scores[i, i]
        near = np.sort(row)[-10:].mean() + np.sort(column)[-10:].mean()
        assert whole.disagreement[i] == pytest.approx(near - 2 * own)
        assert whole.better_notes[i] == (row > own).sum()
        assert whole.better_images[i] == (column > own).sum()
        assert whole.others[i] == N - 2


def test_cases_of_one_patient_are_in_one_fold() -> None:
    pairs = module.Pairs(np.eye(40), np.eye(40), np.arange(40) // 4)
    for patient in range(10):
        assert len(set(pairs.folds[pairs.patients == patient])) == 1
    assert set(pairs.folds) == set(range(module.N_FOLDS))


def test_a_report_with_the_wrong_side_is_named_and_its_finding_too(tmp_path: Path) -> None:
    hidden = latent()
    with write_pairs(tmp_path / "l", hidden, range(N)) as library:
        wrong = next(iter(library.cases()))
        side = SIDES[int(hidden[0, 0] > 0)]
        other = SIDES[int(hidden[0, 0] <= 0)]
        text = wrong.note.text.replace(side, other) if wrong.note else ""
        from dataclasses import replace

        vectors = library.vectors(MODEL, "image")[1][:1], library.vectors(MODEL, "note")[1][:1]
        changed = replace(wrong, note=read_note(text))
        assert library.add([changed], replace=True).replaced == 1
        for kind, vector in zip(("image", "note"), vectors, strict=True):
            library.put_vectors(MODEL, kind, ["case-000"], vector)
        found = check_pairs(library)
    first = found.ranked(ReasonKind.SIDE)[0]
    assert first.case_id == "case-000"
    (reason,) = [r for r in first.reasons if r.kind is ReasonKind.SIDE]
    assert reason.text == f"the report has effusion on the {other}; the image looks like {side}"


def test_a_view_that_the_header_contradicts_is_named_and_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    views = [str(v) for v in rng.choice(["PA", "AP"], N)]
    report_of, wrong = swapped()
    with write_pairs(tmp_path / "l", latent(), report_of, views=views) as library:
        found = check_pairs(library)
    conflicts = {f"case-{i:03d}" for i, source in enumerate(report_of) if views[i] != views[source]}
    assert conflicts <= wrong
    assert {one.case_id for one in found.ranked(ReasonKind.VIEW)} == conflicts
    one = found.ranked(ReasonKind.VIEW)[0]
    assert one.bits_of(ReasonKind.VIEW) == pytest.approx(np.log2(N / len(conflicts)))
    assert one.bits_of(ReasonKind.MODALITY) == 0
    assert any("the report names" in reason.text for reason in one.reasons)


@pytest.mark.parametrize(
    ("text", "modalities", "views"),
    [
        ("TECHNIQUE: PA and lateral chest radiographs.\nFINDINGS: x", {"radiograph"},
         {"PA", "LATERAL"}),
        ("CT chest without contrast\n\nFINDINGS: Compared to radiograph, clear.", {"CT"}, set()),
        ("EXAM: MRI brain. COMPARISON: CT head.\nFINDINGS: Normal.", {"MR"}, set()),
        ("FINDINGS: No effusion. Ultrasound is recommended. AP view limited.", set(), set()),
        ("TECHNIQUE: Two views of the chest, PA.\nFINDINGS: x", set(), set()),
        ("TECHNIQUE: Compared with prior CT, portable AP film.\nFINDINGS: x", set(), set()),
        ("TECHNIQUE: The patient asked us to pa.\nFINDINGS: x", set(), set()),
    ],
)  # fmt: skip
def test_the_exam_is_read_where_it_is_stated(
    text: str, modalities: set[str], views: set[str]
) -> None:
    exam = stated_exam(read_note(text))
    assert (set(exam.modalities), set(exam.views)) == (modalities, views)


def test_the_exam_is_read_in_german() -> None:
    report = "Technik: Röntgen-Thorax p.a.\nBefund: Erguss rechts."
    exam = stated_exam(read_note(report, load_vocabulary("de")))
    assert (set(exam.modalities), set(exam.views)) == ({"radiograph"}, {"PA"})


def test_too_few_pairs_or_patients_are_refused_in_one_line(tmp_path: Path) -> None:
    few = MIN_PAIRS - 2
    with (
        write_pairs(tmp_path / "few", latent(few), range(few)) as library,
        pytest.raises(LibraryError, match=f"only {few} cases have vectors of both"),
    ):
        check_pairs(library)
    with write_pairs(tmp_path / "l", latent(60), range(60)) as library:
        library.drop_vectors(MODEL)
        ids = list(library.patients())
        library.put_vectors(MODEL, "image", ids, np.eye(60, 64, dtype=np.float32))
        with pytest.raises(LibraryError, match="only 0 cases have vectors of both"):
            check_pairs(library)


def test_equal_reports_are_no_reason_and_no_crash(tmp_path: Path) -> None:
    with write_pairs(tmp_path / "l", latent(60), range(60)) as library:
        library.drop_vectors(MODEL)
        ids = list(library.patients())
        same = np.zeros((60, 8), np.float32)
        same[:, 0] = 1
        for kind in ("image", "note"):
            library.put_vectors(MODEL, kind, ids, same)
        found = check_pairs(library)
    assert {one.score for one in found.suspects} == {0.0}
    assert found.ranked() == []


def run(*words: object) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from medembed.cli import run\n"
        "try: run()\nfinally: assert 'torch' not in sys.modules"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )


def test_the_command_lists_writes_and_imports_no_torch(tmp_path: Path) -> None:
    report_of, wrong = swapped()
    write_pairs(tmp_path / "l", latent(), report_of).close()
    out = tmp_path / "suspects.csv"
    done = run("check", tmp_path / "l", "--top", 5, "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    payload = json.loads(done.stdout)
    assert (payload["checked"], len(payload["suspects"])) == (N, 5)
    assert payload["suspects"][0]["case_id"] in wrong
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case_id"] for row in rows[:5]] == [s["case_id"] for s in payload["suspects"]]
    assert len(rows) == N
    assert out.stat().st_mode & 0o077 == 0
    spoken = run("check", tmp_path / "l", "--top", 2, "--reason", "content")
    assert "1. case-" in spoken.stdout
    assert "reports fit this image better" in spoken.stdout
    lost = run("check", tmp_path / "l", "--out", tmp_path / "no" / "a.csv")
    assert (lost.returncode, lost.stdout) == (2, "")
    assert lost.stderr.splitlines()[-1] == "medembed: --out a.csv: folder not found"


@pytest.mark.parametrize(("memorized", "by_heart"), [(0.0, False), (1.5, True)])
def test_a_model_that_knows_its_training_pairs_by_heart_is_named(
    tmp_path: Path, memorized: float, by_heart: bool
) -> None:
    """Training pairs are moved together, the others are not."""
    with write_pairs(tmp_path / "library", latent(), range(N)) as library:
        ids, images = library.vectors(MODEL, "image")
        _, notes = library.vectors(MODEL, "note")
        trained = np.array([case.split == "train" for case in library.select(ids)])
        moved = images + memorized * notes * trained[:, None]
        library.put_vectors(MODEL, "image", ids, unit(moved))
        found = check_pairs(library, MODEL)
    assert found.fit_to_training is not None
    assert abs(found.fit_to_training - 0.5) < 0.1 or by_heart
    assert found.by_heart is by_heart
    assert found.to_json(1)["by_heart"] is by_heart
