"""Is there anything like the query: valid whatever the scores, and no answer without a reason."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup.known_library import Oracle, fill, make_case, vector
from PIL import Image
from scipy import stats

from medembed.library import CaseLibrary, ingest
from medembed.lookup import CaseLookup
from medembed.lookup.conformal import ALPHA, FEWEST, combined, p_value
from medembed.lookup.image_novelty import image_scores, thumbnail
from medembed.lookup.messages import Novelty, NoveltyReason, novelty_line
from medembed.lookup.novelty_calibration import (
    IMAGE,
    NoveltyCalibration,
    _sample,
    calibrate_novelty,
    calibration_folder,
)
from medembed.lookup.novelty_check import NoveltyAnswer, NoveltyCheck
from medembed.lookup.query import Query
from medembed.lookup.word_novelty import (
    ENOUGH,
    REPORT,
    WordRarity,
    stated_words,
    tokens_of,
    words_of,
)
from medembed.model.pixel_cache import read_pixels
from medembed.notes import read_note
from medembed.scans import Scan, read_scan
from medembed.sources import open_source

WORDS = (
    "heart", "lungs", "pleura", "ribs", "aorta", "hilum", "trachea", "spine", "diaphragm",
    "mediastinum",
)  # fmt: skip


def radiograph(seed: int) -> np.ndarray:
    """A bright upper left, a dark lower right, and noise of its own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32] / 31
    values = 200 * (1 - y) * (1 - 0.5 * x) + rng.normal(0, 12, (32, 32))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of 180 patients with an image and a report each, calibrated."""
    folder = tmp_path_factory.mktemp("archive")
    lines = ["case_id,patient_id,image_path,note"]
    rng = np.random.default_rng(3)
    for i in range(180):
        Image.fromarray(radiograph(i)).save(folder / f"{i}.png")
        words = rng.permutation(WORDS)[:8]
        note = " ".join(f"The {word} is normal." for word in words)
        lines.append(f"c{i},p{i},{i}.png,{note}")
    (folder / "cases.csv").write_text("\n".join(lines))
    with CaseLibrary.create(folder / "library") as library:
        ingest(library, open_source(folder / "cases.csv", "table"))
        names = [f"c{i}" for i in range(180)]
        vectors = np.stack([vector(i) for i in range(180)])
        library.put_vectors("a" * 64, "image", names, vectors)
        calibrate_novelty(library, workers=1)
    return folder / "library"


def judged(archive: Path, **parts: object):
    with CaseLibrary.open(archive) as library, CaseLookup(library, Oracle()) as lookup:
        return lookup.search(**parts).novelty_answer


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 5))
def test_a_p_value_counts_the_query_among_the_as_strange(scores: list[int], score: int) -> None:
    together = [*scores, score]
    slow = sum(each >= score for each in together) / len(together)
    assert p_value(np.array(scores, dtype=float), score) == pytest.approx(slow)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [99, 400])
def test_false_alarms_of_exchangeable_queries_keep_to_alpha(n: int, ties: bool) -> None:
    rng = np.random.default_rng(n + ties)
    trials, alarms = 4000, 0
    for _ in range(trials):
        scores = rng.lognormal(size=n + 1)
        scores = np.round(scores) if ties else scores
        alarms += p_value(scores[:n], scores[n]) <= ALPHA
    _, high = stats.binom.interval(0.999, trials, ALPHA)
    assert alarms <= high, "never more than alpha, tied or not"
    if not ties:  # exactly floor(alpha (n + 1)) / (n + 1)
        low, high = stats.binom.interval(0.999, trials, math.floor(ALPHA * (n + 1)) / (n + 1))
        assert low <= alarms <= high


def test_parts_together_keep_to_alpha() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(combined(rng.uniform(size=2).tolist()) <= ALPHA for _ in range(20_000))
    assert alarms / 20_000 == pytest.approx(1 - (1 - ALPHA / 2) ** 2, abs=0.005)
    assert combined([0.03]) == 0.03
    assert combined([0.7, 0.9]) == 1


def test_an_image_is_compared_with_its_fifth_nearest() -> None:
    images = np.stack([thumbnail(Scan(radiograph(i).astype(np.float32))) for i in range(12)])
    rows = images.astype(float)
    rows = (rows - rows.mean(1, keepdims=True)) / (rows.std(1, keepdims=True) + 5)
    for i in range(3):
        slow = sorted(math.sqrt(((rows[i] - rows[j]) ** 2).mean()) for j in range(3, 12))[4]
        assert image_scores(images[i : i + 1], images[3:])[0] == pytest.approx(slow)


def test_an_image_without_contrast_is_no_reason_to_stop() -> None:
    flat = thumbnail(Scan(np.full((9, 9), 7, np.float32)))
    assert np.isfinite(image_scores(flat[None], np.tile(flat, (5, 1)))).all()


def test_brightness_and_contrast_do_not_matter(archive: Path) -> None:
    own = radiograph(500).astype(np.float32)
    assert judged(archive, image=Scan(own)).state is Novelty.LIKE
    assert judged(archive, image=Scan(0.3 * own + 1000)).state is Novelty.LIKE


@pytest.mark.parametrize(
    "changed",
    [lambda p: 255 - p, np.rot90, lambda p: np.rot90(p, 2)],
    ids=["inverted", "rotated by 90 degrees", "rotated by 180 degrees"],
)
def test_a_changed_radiograph_is_unlike(archive: Path, changed) -> None:
    answer = judged(archive, image=Scan(changed(radiograph(500)).astype(np.float32)))
    assert answer.state is Novelty.UNLIKE
    assert answer.p_value is not None
    assert answer.p_value <= ALPHA
    assert set(answer.parts) == {"image"}


def test_words_of_reports_are_like_and_others_are_not(archive: Path) -> None:
    for text in ("heart", "pleura and ribs", "show the trachea of a 60-year-old woman"):
        assert judged(archive, text=text).state is Novelty.LIKE, text
    for text in ("banana", "brain tumour", "Herz normal groß", "плевральный выпот", "胸水"):
        assert judged(archive, text=text).state is Novelty.UNLIKE, text


def test_a_report_is_held_against_reports(archive: Path) -> None:
    own = " ".join(f"The {word} is normal." for word in WORDS[:8])
    answer = judged(archive, text=own)
    assert (answer.state, set(answer.parts)) == (Novelty.LIKE, {REPORT})
    strange = judged(archive, text=own.replace("normal", "tasty").replace("heart", "banana"))
    assert (strange.state, set(strange.parts)) == (Novelty.UNLIKE, {REPORT})


def test_one_strange_part_makes_a_query_unlike(archive: Path) -> None:
    own, turned = radiograph(500), np.rot90(radiograph(500), 2)
    both = judged(archive, text="heart", image=Scan(own.astype(np.float32)))
    assert both.state is Novelty.LIKE
    assert len(both.parts) == 2
    strange = judged(archive, text="heart", image=Scan(turned.astype(np.float32)))
    assert strange.state is Novelty.UNLIKE
    unweighted = judged(
        archive,
        text="heart",
        image=Scan(turned.astype(np.float32)),
        weights={"text": 1, "image": 0},
    )
    assert (unweighted.state, set(unweighted.parts)) == (Novelty.LIKE, {"1 word"})


def test_a_case_is_judged_by_its_image_without_its_own_patient(archive: Path) -> None:
    with CaseLibrary.open(archive) as library:
        made = NoveltyCalibration.load(library)
        assert len(made.reference) == len(made.owners) == 60
        states = []
        with CaseLookup(library, Oracle()) as lookup:
            for i in range(180):
                states.append(lookup.search(case=f"c{i}", k=1).novelty)
        others = [
            len(made.reference_without(library, [patient]))
            for patient in library.patients().values()
        ]
        assert sorted(others) == [59] * 60 + [60] * 120
    low, high = stats.binom.interval(0.999, 180, ALPHA)
    assert low <= states.count(Novelty.UNLIKE) <= high
    assert Novelty.CANNOT_TELL not in states


def test_a_search_by_case_opens_no_image(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image is read")

    monkeypatch.setattr("medembed.lookup.query_image.QueryImageReader.read", refuse)
    monkeypatch.setattr("medembed.scans.worker_pool.ScanReader.__init__", refuse)
    monkeypatch.setattr("medembed.model.pixel_cache.PixelCache.__init__", refuse)
    monkeypatch.setattr("medembed.preprocess.Preprocess.pixels", refuse)
    states = [judged(archive, case=f"c{i}", k=1).state for i in range(0, 180, 9)]
    assert Novelty.CANNOT_TELL not in states


def test_the_score_of_a_case_is_that_of_its_image_without_its_patient(archive: Path) -> None:
    with CaseLibrary.open(archive) as library:
        made = NoveltyCalibration.load(library)
        check = NoveltyCheck(library)
        for i in range(0, 180, 20):
            case = library.case(f"c{i}")
            others = made.reference_without(library, [case.patient_id])
            slow = image_scores(thumbnail(read_scan(archive.parent / f"{i}.png"))[None], others)
            kept = made.cases.of(library.key, case.case_id, case.scans[0])
            assert kept == pytest.approx(slow[0], abs=1e-5)
            query = Query.of(None, None, case.case_id, None, None, 1)
            answer = check.judge(query, None, [case.patient_id], 180)
            assert answer.p_value == p_value(made.scores[IMAGE], kept)
        other = replace(case.scans[0], sha256="0" * 64)
        assert made.cases.of(library.key, case.case_id, other) is None, "another image"


def test_adding_cases_decodes_theirs_only_and_until_then_they_cannot_be_told(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(archive, tmp_path / "library")
    lines = ["case_id,patient_id,image_path,note"]
    for i in (500, 501, 502):
        Image.fromarray(radiograph(i)).save(tmp_path / f"{i}.png")
        lines.append(f"c{i},p{i},{i}.png,The heart is normal.")
    (tmp_path / "more.csv").write_text("\n".join(lines))
    with CaseLibrary.open(tmp_path / "library") as library:
        ingest(library, open_source(tmp_path / "more.csv", "table"))
        query = Query.of(None, None, "c500", None, None, 1)
        check = NoveltyCheck(library)
        answer = check.judge(query, None, ["p500"], 183)
        assert (answer.state, answer.reason) == (Novelty.CANNOT_TELL, NoveltyReason.UNREADABLE)
        assert "run medembed index" in str(answer)
        decoded: list[str] = []

        def counted(library, wanted, *given, **named):
            decoded.extend(case.case_id for case, _ in wanted)
            return read_pixels(library, wanted, *given, **named)

        monkeypatch.setattr("medembed.model.pixel_cache.read_pixels", counted)
        calibrate_novelty(library, workers=1)
        assert set(decoded) == {"c500", "c501", "c502"}
        assert check.judge(query, None, ["p500"], 183).state is Novelty.LIKE


def test_a_finding_that_reports_state_is_like_whatever_it_is_called(tmp_path: Path) -> None:
    fillers = [f"{a}{b}" for a in ("ribs", "hilum", "aorta") for b in range(40)]
    rng = np.random.default_rng(0)
    findings = ["Pulmonary edema."] * 8 + ["Small pneumothorax."] * 2 + [""] * 140
    with CaseLibrary.create(tmp_path / "library") as library:
        library.add(
            make_case(2 * i, note=read_note(f"Lungs, {', '.join(rng.choice(fillers, 4))}. {one}"))
            for i, one in enumerate(findings)
        )
        made = calibrate_novelty(library, workers=1)
        assert made.stated == {"edema": 8, "pneumothorax": 2}
        check = NoveltyCheck(library)

        def answer(text: str) -> NoveltyAnswer:
            return check.judge(Query.of(text, None, None, None, None, 1), None, [], 150)

        def state(text: str) -> Novelty:
            return answer(text).state

        assert state("heart failure") is Novelty.LIKE, "stated as edema"
        assert answer("heart failure").instead == ("edema",)
        assert "do not use these words, but state: edema" in str(answer("heart failure"))
        assert answer("pulmonary edema").instead == (), "its words are those of the reports"
        assert state("pulmonary oedema") is Novelty.LIKE, "another spelling"
        assert state("collapsed lung") is Novelty.UNLIKE, "no report states it"
        assert state("hydropneumothorax") is Novelty.UNLIKE, "two reports are not enough"
        assert state("banana") is Novelty.UNLIKE


def test_stated_words_are_those_of_findings_that_enough_reports_state() -> None:
    note = read_note("Small hemothorax, broken rib, signs of congestive heart failure.")
    stated = {"effusion": ENOUGH, "fracture": ENOUGH - 1, "cardiomegaly": 40}
    assert stated_words(note, stated) == {
        "hemothorax": ("effusion",),
        **dict.fromkeys(("congestive", "heart", "failure"), ("cardiomegaly",)),
    }
    assert stated_words(note, {}) == {}
    german = read_note("Verdacht auf heart failure, kein Nachweis von Rippenfrakturen der Lunge")
    assert stated_words(german, stated) == {}


def test_words_do_not_count_in_the_reports_of_their_own_patient(archive: Path) -> None:
    with CaseLibrary.open(archive) as library:
        rarity = WordRarity(library)
        text = library.case("c0").note.text
        own, word = [tokens_of(text)], words_of(text)[0]
        others = sum(word in words_of(case.note.text) for case in library.cases()) - 1
        assert rarity.score([word], 180, own) == pytest.approx(-math.log((others + 0.5) / 180))
        assert rarity.score(["banana"], 180) == pytest.approx(-math.log(0.5 / 181))


def test_words_are_without_sex_age_and_function_words() -> None:
    assert words_of("Show me a 60-year-old woman with a pleural effusion") == (
        "pleural",
        "effusion",
    )
    assert words_of("?! 12") == ()
    assert words_of("胸水") == ("胸水",)


def test_a_calibration_survives_the_file_and_a_changed_file_is_not_believed(
    archive: Path, tmp_path: Path
) -> None:
    with CaseLibrary.open(archive) as library:
        made = NoveltyCalibration.load(library)
        assert len(made.scores[IMAGE]) == 120 >= FEWEST
        assert made.is_enough("1 word")
        head = calibration_folder(library) / "index.json"
        whole = head.read_bytes()
        try:
            head.write_bytes(whole.replace(b'"n_cases": 180', b'"n_cases": 181'))
            assert not NoveltyCalibration.load(library).scores
            answer = judged(archive, text="heart")
            assert (answer.state, answer.reason) == (
                Novelty.CANNOT_TELL,
                NoveltyReason.NOT_CALIBRATED,
            )
        finally:
            head.write_bytes(whole)


def test_a_second_calibration_decodes_nothing_and_says_the_same(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CaseLibrary.open(archive) as library:
        made = NoveltyCalibration.load(library)

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("decoded again")

        monkeypatch.setattr("medembed.model.pixel_cache.read_pixels", refuse)
        again = calibrate_novelty(library)
        assert np.array_equal(again.reference, made.reference)
        for kind, scores in made.scores.items():
            assert np.allclose(again.scores[kind], scores, atol=1e-5), kind


def test_a_search_never_calibrates(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        fill(library, 40)
        result = CaseLookup(library, Oracle()).search(text="mass")
        assert result.novelty_reason is NoveltyReason.NOT_CALIBRATED
        assert not calibration_folder(library).exists()
        assert "run medembed index" in result.novelty_line


def test_few_patients_are_not_enough_to_tell(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        fill(library, 2 * (FEWEST - 1))  # two cases a patient
        calibrate_novelty(library, workers=1)
        result = CaseLookup(library, Oracle()).search(text="banana")
        assert (result.novel, result.novelty) == (False, Novelty.CANNOT_TELL)
        assert result.novelty_reason is NoveltyReason.FEW_CASES
        assert "too few patients" in result.novelty_line


def test_a_library_without_readable_images_still_judges_words(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "l") as library:
        fill(library, 2 * FEWEST + 20)
        made = calibrate_novelty(library, workers=1)
        assert IMAGE not in made.scores
        lookup = CaseLookup(library, Oracle())
        assert lookup.search(text="normal study").novelty is Novelty.LIKE
        assert lookup.search(text="banana").novelty is Novelty.UNLIKE
        scan = Scan(np.eye(8, dtype=np.float32))
        assert lookup.search(image=scan).novelty_reason is NoveltyReason.FEW_CASES
        both = lookup.search(text="banana", image=scan)
        assert both.novelty is Novelty.UNLIKE, "one strange part is enough"
        like = lookup.search(text="normal study", image=scan)
        assert like.novelty is Novelty.CANNOT_TELL, "like is said only if all was judged"


def test_conditions_do_not_change_the_answer_and_text_without_words_has_none(
    archive: Path,
) -> None:
    narrowed = judged(archive, text="heart", where="case=c9")
    assert narrowed == judged(archive, text="heart")
    assert judged(archive, text="?!").reason is NoveltyReason.NO_WORDS
    assert judged(archive, vector=vector(3)).reason is NoveltyReason.VECTOR


def test_each_of_several_parts_is_judged_and_marks_are_not(archive: Path) -> None:
    turned = Scan(radiograph(401)[::-1].astype(np.float32))
    with CaseLibrary.open(archive) as library, CaseLookup(library, Oracle()) as lookup:
        one = lookup.search(image=turned).novelty_answer
        others = [Scan(radiograph(seed).astype(np.float32)) for seed in (402, 403)]
        several = lookup.search(image=[*others, turned], text="heart").novelty_answer
        assert [*several.parts] == ["1 word", "image", "image (image2)", "image (image3)"]
        assert several.parts["image (image3)"] == one.parts["image"]
        assert several.p_value == pytest.approx(4 * min(several.parts.values()))
        weights = {"image": 1, "image2": 1, "image3": 0, "text": 0}
        without = lookup.search(image=[*others, turned], text="heart", weights=weights)
        assert without.novelty is Novelty.LIKE, "a part of no weight does not count"
        marked = lookup.search(text="heart", like="c5", unlike=["c7"])
        assert [*marked.novelty_answer.parts] == ["1 word"]
        only = lookup.search(like=["c5"])
        assert (only.novelty, only.novelty_reason) == (Novelty.CANNOT_TELL, NoveltyReason.MARKS)
        assert "marked cases" in only.novelty_line


def test_a_grown_library_says_that_the_calibration_is_stale(archive: Path) -> None:
    with CaseLibrary.open(archive) as library:
        check = NoveltyCheck(library)
        query = Query.of("heart", None, None, None, None, 1)
        assert not check.judge(query, {}, [], 190).is_stale
        answer = check.judge(query, {}, [], 260)
        assert answer.is_stale
        assert "run medembed index" in str(answer)
        assert answer.to_json()["stale"] is True


def test_the_sample_changes_by_no_more_than_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medembed.lookup.novelty_calibration.MOST_PATIENTS", 50)
    cases_of = {f"p{i}": [f"c{i}-{j}" for j in range(3)] for i in range(300)}
    before = _sample(b"key", cases_of)
    turned = {name: cases_of[name][::-1] for name in reversed(cases_of)}
    assert _sample(b"key", turned) == before
    assert _sample(b"other", cases_of) != before
    grown = _sample(b"key", {**cases_of, **{f"q{i}": [f"d{i}"] for i in range(20)}})
    assert len(grown) == len(before) == 50
    assert len(set(before) - set(grown)) <= 20
    assert all(patient.startswith("q") for patient, _ in set(grown) - set(before))


@pytest.mark.parametrize("reason", list(NoveltyReason))
def test_every_reason_has_a_line(reason: NoveltyReason) -> None:
    assert "novelty" in novelty_line(Novelty.CANNOT_TELL, reason, None, False)
