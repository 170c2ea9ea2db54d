"""What a score is worth: a curve that covers the truth, never falls, and is silent without data."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup.known_library import FINGERPRINT, Oracle
from scipy.optimize import isotonic_regression
from support.example_cases import make_case

from medembed.cases import Finding
from medembed.cli.search import show_hits
from medembed.embeddings import unit_rows
from medembed.index.index_check import verify_indexes
from medembed.library import CaseLibrary
from medembed.library.verification import CheckState
from medembed.lookup import CaseLookup, Result
from medembed.lookup.score_curve import FEWEST_PATIENTS, Percentiles, ShareCurve, _monotone
from medembed.lookup.score_evaluation import DEPTH, evaluate_if_due, evaluate_scores
from medembed.lookup.score_tables import QueryKind, ScoreTables, tables_folder
from medembed.lookup.score_worth import WorthReason
from medembed.model.resolve import choose_model
from medembed.notes import read_note

LABELS = ("effusion", "cardiomegaly", "pneumothorax", "fracture")


def hits(n_patients: int, depth: int, seed: int, slope: float = 6.0):
    """Hits whose chance rises with the score; a patient's hits are alike."""
    rng = np.random.default_rng(seed)
    scores = np.clip(
        rng.beta(4, 2, (n_patients, depth)) + rng.normal(0, 0.05, (n_patients, 1)), 0, 1
    )
    logit = slope * (scores - 0.6) + rng.normal(0, 1, (n_patients, 1))
    shared = rng.random(scores.shape) < 1 / (1 + np.exp(-logit))
    return scores.ravel(), shared.ravel(), np.repeat(np.arange(n_patients), depth)


def test_the_interval_covers_a_known_curve() -> None:
    scores, shared, _ = hits(8_000, 20, seed=9)
    covered = []
    for seed in range(25):
        curve = ShareCurve.fit(*hits(120, 20, seed))
        step = np.searchsorted(curve.floors, scores, side="right") - 1
        truth = [shared[step == at].mean() for at in range(len(curve.floors))]
        covered.append((curve.lows <= truth) & (truth <= curve.highs))
    assert np.mean(covered) > 0.92, "500 steps; 0.96 when written"


def test_a_higher_score_is_worth_no_less() -> None:
    for slope in (6.0, 0.0, -6.0):
        curve = ShareCurve.fit(*hits(60, 20, 1, slope))
        for values in (curve.floors, curve.shares, curve.lows, curve.highs):
            assert (np.diff(values) >= 0).all()
        assert (curve.lows <= curve.shares).all()
        assert (curve.shares <= curve.highs).all()


def test_permuted_labels_are_worth_the_base_rate() -> None:
    scores, shared, owners = hits(200, 20, 2)
    curve = ShareCurve.fit(scores, np.random.default_rng(0).permutation(shared), owners)
    assert ((curve.lows <= shared.mean()) & (shared.mean() <= curve.highs)).mean() > 0.9
    inner = curve.shares[2:-2]
    assert np.abs(inner - shared.mean()).max() < 0.06


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_pooling_is_the_isotonic_regression(steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 30, (3, steps)).astype(float)
    share = _monotone(found := rng.binomial(n.astype(int), 0.5).astype(float), n)
    for row in range(3):
        slow = isotonic_regression(found[row] / n[row], weights=n[row]).x
        np.testing.assert_allclose(share[row], slow)


def test_agreement_of_all_patients_is_no_certainty() -> None:
    scores, _, owners = hits(60, 20, 3)
    for value, end in ((1.0, "lows"), (0.0, "highs")):
        curve = ShareCurve.fit(scores, np.full(len(scores), value), owners)
        exact = 1 - 0.025 ** (1 / 60)  # of 60 patients that agree
        assert np.abs(getattr(curve, end) - value) == pytest.approx(exact, abs=1e-9)


def test_few_patients_make_no_curve() -> None:
    assert not len(ShareCurve.fit(*hits(FEWEST_PATIENTS - 1, 50, 0)).floors)
    assert ShareCurve.fit(*hits(FEWEST_PATIENTS, 50, 0)).at(-1.0) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 10**6), st.booleans())
def test_a_percentile_never_claims_more_than_is_so(n: int, seed: int, ties: bool) -> None:
    scores = np.random.default_rng(seed).normal(size=n)
    scores = np.round(scores) if ties else scores
    table = Percentiles.of(scores)
    for score in (*scores[:20], -9.0, 9.0):
        claimed = table.of_score(score)
        lower = 100 * np.mean(scores < score)
        if claimed is None:
            assert n < 21
            continue
        assert claimed <= lower + 1e-9
        assert not claimed or n * (100 - claimed) / 100 >= 20 - 1e-6, "a top that 20 pairs reach"


def test_the_top_of_a_large_archive_is_told_apart() -> None:
    table = Percentiles.of(np.arange(1_000_000))
    assert table.of_score(999_555) == 99.95
    assert table.of_score(2e6) == 99.99
    assert table.of_score(995_500) == 99.5
    assert table.of_score(505_000) == 50
    assert table.of_score(-1) == 0
    assert Percentiles.of([]).of_score(0.3) is None


def fill(library: CaseLibrary, n: int) -> None:
    """Add ``n`` patients with a finding each, in its direction; two thirds are held out."""
    rng = np.random.default_rng(0)
    directions = unit_rows(rng.normal(size=(len(LABELS), 8)))
    names = [f"case-{i}" for i in range(n)]
    library.add(
        make_case(
            i,
            patient_id=f"patient-{i}",
            note=read_note(f"IMPRESSION: There is {LABELS[i % 4]}, seen before as number {i}."),
            findings=(Finding(LABELS[i % 4]),),
            study_date=date(2020, 1, 1),
            split="train" if i % 3 == 0 else "test",
        )
        for i in range(n)
    )
    noise = rng.normal(0, 0.45, (n, 8))
    library.put_vectors(
        FINGERPRINT, "image", names, unit_rows(directions[np.arange(n) % 4] + noise)
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("worth") / "library"
    with CaseLibrary.create(folder) as library:
        fill(library, 120)
        evaluate_scores(library, choose_model(library, Oracle()))
    return folder


def found(folder: Path, **parts: object) -> Result:
    with CaseLibrary.open(folder) as library, CaseLookup(library, Oracle()) as lookup:
        return lookup.search(**parts)


def test_hits_say_what_they_are_worth(measured: Path) -> None:
    result = found(measured, case="case-1", k=DEPTH)
    basis = result.score_basis
    assert basis.kind is QueryKind.CASE
    assert basis.n_with_finding == 80
    assert basis.any_case == pytest.approx(29 / 119, abs=0.01), "a quarter have each finding"
    shares = [hit.worth.share for hit in result]
    assert shares == sorted(shares, reverse=True), "sorted by score, so by worth"
    assert shares[0] - shares[-1] > 0.2
    assert result[0].percentile > 95 > result[-1].percentile > 20
    line = str(result[0].worth)
    assert line.startswith(f"shares a finding in {100 * shares[0]:.0f} of 100 such hits (")
    assert "any case shares a finding in 24 of 100" in str(basis)
    data = result.to_json()
    assert data["scores"]["day"] == basis.day
    assert data["hits"][0]["worth"]["share"] == pytest.approx(shares[0], abs=1e-4)


def test_the_curve_is_what_a_search_of_each_held_out_case_gives(measured: Path) -> None:
    shared, scores = [], []
    with CaseLibrary.open(measured) as library, CaseLookup(library, Oracle()) as lookup:
        for name in library.split("test"):
            case = library.case(name)
            for hit in lookup.search(case=name, k=DEPTH):
                scores.append(hit.score)
                shared.append(bool({*case.findings} & {*hit.case.findings}))
        curve = ScoreTables.load(library, FINGERPRINT).kinds[QueryKind.CASE].curve
    assert len(scores) == 80 * DEPTH
    assert curve.floors[0] == pytest.approx(min(scores), abs=1e-6)
    weights = np.bincount(
        np.searchsorted(curve.floors, np.array(scores) + 1e-6, side="right") - 1,
        minlength=len(curve.floors),
    )
    assert np.average(curve.shares, weights=weights) == pytest.approx(np.mean(shared), abs=0.005)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"vector": np.ones(8)}, WorthReason.OTHER_KIND),
        ({"text": "no effusion"}, WorthReason.OTHER_KIND),
        ({"text": "effusion", "literal": True}, WorthReason.OTHER_KIND),
        ({"case": "case-1", "unlike": "case-7"}, WorthReason.OTHER_KIND),
        ({"case": "case-1", "text": "effusion"}, WorthReason.OTHER_KIND),
        ({"case": "case-1", "where": "finding=effusion"}, WorthReason.FILTERED),
        ({"text": "effusion"}, WorthReason.NONE),
        ({"case": "case-1", "where": "sex in F,M"}, WorthReason.NONE),
    ],
)
def test_what_was_not_measured_is_not_told(
    measured: Path, parts: dict[str, object], reason: WorthReason
) -> None:
    result = found(measured, **parts)
    assert result.score_basis.reason == reason
    assert {hit.worth.reason for hit in result} == {reason}
    assert all((hit.worth.share is None) == bool(reason) for hit in result)
    if reason:
        assert "cannot tell" in str(result.score_basis)


def test_a_library_that_was_not_evaluated_or_is_small_says_so(library: CaseLibrary) -> None:
    with CaseLookup(library, Oracle()) as lookup:
        first = lookup.search(case="case-0")
        assert first.score_basis.reason is WorthReason.NOT_MEASURED
        assert first[0].percentile is None
        evaluate_scores(library, choose_model(library, Oracle()))
        again = lookup.search(case="case-0")
        assert again.score_basis.reason is WorthReason.FEW_PATIENTS
        assert again[0].worth.share is None


def test_scores_are_measured_again_once_the_library_changed_by_a_tenth(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "library") as library:
        fill(library, 90)
        choice = choose_model(library, Oracle())
        first = evaluate_if_due(library, choice)
        names = [f"new-{i}" for i in range(12)]
        library.add(make_case(100 + i, case_id=names[i]) for i in range(12))
        few = np.tile(np.eye(8)[0], (12, 1)).astype(np.float32)
        library.put_vectors(FINGERPRINT, "image", names[:4], few[:4])
        assert evaluate_if_due(library, choice).revision == first.revision, "4 of 90"
        assert evaluate_if_due(library, choice, after_any_change=True).n_cases == 94
        library.put_vectors(FINGERPRINT, "image", names, few)
        with CaseLookup(library, Oracle()) as lookup:
            assert not lookup.search(case="case-1").score_basis.is_stale, "8 of 94"


def test_damaged_tables_are_not_believed(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "library") as library:
        fill(library, 90)
        evaluate_scores(library, choose_model(library, Oracle()))
        head = tables_folder(library, FINGERPRINT) / "index.json"
        assert [c.state for c in verify_indexes(library) if "worth" in c.what] == [CheckState.OK]
        text = head.read_text()
        head.write_text(text.replace('"day": "', '"day": "1'))
        assert not ScoreTables.load(library, FINGERPRINT).day
        checks = [check for check in verify_indexes(library) if "worth" in check.what]
        assert [check.state for check in checks] == [CheckState.REPAIRED]
        assert not head.exists()


def test_the_printed_hits_say_it_in_plain_words(
    measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = found(measured, case="case-1", k=3)
    show_hits(result)
    text = " ".join(capsys.readouterr().out.split())
    assert f"{100 * result[0].worth.share:.0f} of 100" in text
    assert "Hit 1 shares a finding in" in text
    assert "Any case shares a finding in 24 of 100 (measured on" in text
    show_hits(found(measured, case="case-1", k=3, where="finding=effusion"))
    text = " ".join(capsys.readouterr().out.split())
    assert "cannot tell: a condition on findings decides what the hits share." in text
    assert "such hits" not in text
