"""Swapped words: grammar as written by hand, deaf encoders left alone, planted use measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.audit_gates_counterfactual import SWAP, TEXTS, BagOfWords, figures, run

from evaluation.sections import Swap, assess_counterfactual, mentions, swap_words
from evaluation.sections.term_swaps import PLACEBO_WORDS, version
from medembed.errors import InputError


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("68-year-old female with effusion", "68-year-old male with effusion"),
        ("FEMALE, supine", "MALE, supine"),
        ("Woman. Women. Lady.", "Man. Men. Gentleman."),
        ("She fell; her hip hurts, give it to her.", "He fell; his hip hurts, give it to him."),
        ("Pain of hers, she hurt herself", "Pain of his, he hurt himself"),
        ("seen with her today", "seen with him today"),
        ("Mrs Example", "Mr Example"),
        ("68F with cough", "68M with cough"),
        ("68 y/o F, dyspnoea", "68 y/o M, dyspnoea"),
        ("male and female", "male and male"),
        ("feminine, shear, herniation, human, mania", "feminine, shear, herniation, human, mania"),
        ("T 38.6 F, 12 mm, FEV1, M1 tumour", "T 38.6 F, 12 mm, FEV1, M1 tumour"),
        ("left effusion", "left effusion"),
    ],
)
def test_sex_is_swapped_as_by_hand(text: str, swapped: str) -> None:
    assert swap_words(text, "sex", "male") == swapped


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He said his arm hurts; a pain of his.", "She said her arm hurts; a pain of hers."),
        ("A boy, males, gentlemen; ask him.", "A girl, females, ladies; ask her."),
        ("Mr Example, 45M", "Ms Example, 45F"),
    ],
)
def test_the_other_way_round(text: str, swapped: str) -> None:
    assert swap_words(text, "sex", "female") == swapped
    assert swap_words(swapped, "sex", "female") == swapped


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("an 81-year-old man", "a 30-year-old man"),
        ("45 year old, 45yo, 45 y/o, aged 45", "30 year old, 30yo, 30 y/o, aged 30"),
        ("Elderly patient; old fracture", "Young patient; old fracture"),
        ("68F, 12 mm nodule, 3 years of cough", "30F, 12 mm nodule, 3 years of cough"),
        ("age: 77", "age: 30"),
    ],
)
def test_age_is_swapped_as_by_hand(text: str, swapped: str) -> None:
    assert swap_words(text, "age", "30") == swapped


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("A white man", "An Asian man"),
        ("White 50-year-old woman", "Asian 50-year-old woman"),
        ("an African-American patient", "an Asian patient"),
        ("HISPANIC MALE", "ASIAN MALE"),
        ("race: black", "race: Asian"),
        ("black pleural line, white-out of the left lung", None),
        ("white matter lesion", None),
    ],
)
def test_race_is_swapped_only_where_it_is_said_of_a_person(text: str, swapped: str | None) -> None:
    assert mentions(text, "race") == (swapped is not None)
    assert swap_words(text, "race", "Asian") == (swapped or text)


@given(
    st.sampled_from(TEXTS), st.sampled_from(PLACEBO_WORDS), st.sampled_from(["sex", "age", "race"])
)
def test_a_placebo_pair_differs_in_its_word_alone(text, word, attribute) -> None:
    for said in (text, f"68-year-old white woman with {text}; she told her story to her doctor"):
        one, two = (version(said, attribute, w, placebo=True) for w in (word, "sealed"))
        assert one != two
        assert one.lower().replace(word, "sealed") == two.lower()


@given(st.text(max_size=60))
def test_swapping_twice_is_swapping_once_in_any_text(text: str) -> None:
    for attribute, to in (("sex", "female"), ("age", "50"), ("race", "Asian")):
        once = swap_words(text, attribute, to)
        assert swap_words(once, attribute, to) == once


def test_what_cannot_be_said_is_refused() -> None:
    for attribute, to in (
        ("sex", "x"),
        ("age", "old"),
        ("age", "900"),
        ("race", " "),
        ("gait", "x"),
    ):
        with pytest.raises(InputError):
            Swap(attribute, to, to)


def test_a_deaf_encoder_is_left_alone_and_a_planted_line_is_measured() -> None:
    rows, _ = run("invariant", 3)
    assert {row.verdict for row in rows} == {"within"}
    rows, truth = run("planted", 3)
    mine = next(r for r in rows if (r.group, r.measure) == ("F", "similarity"))
    other = next(r for r in rows if (r.group, r.measure) == ("M", "similarity"))
    assert mine.effect == pytest.approx(truth, rel=0.1)
    assert mine.effect == pytest.approx(-other.effect, abs=1e-12)
    assert mine.ci_low < mine.effect < mine.ci_high
    assert mine.verdict in ("exceeds", "differs")
    assert mine.placebo < 0.2 * mine.effect


def asked(**change):
    rng = np.random.default_rng(0)
    encoder = BagOfWords(1, 16, knows_sex=True, frame=0.3)
    return {
        "texts": TEXTS[:20], "encode": encoder, "gallery_vectors": rng.normal(size=(60, 16)),
        "gallery_groups": {"sex": ["F", "M", ""] * 20}, "gallery_patients": range(60),
        "swaps": [SWAP], "repetitions": 200,
    } | change  # fmt: skip


def test_unknown_is_a_group_and_a_rerun_is_the_same() -> None:
    found = assess_counterfactual(**asked())
    assert {row.group for row in found.rows} == {"", "F", "M", "unknown"}
    assert found == assess_counterfactual(**asked())
    json.dumps(found.to_json(), allow_nan=False)


def test_few_queries_small_groups_and_attributes_without_groups() -> None:
    few = assess_counterfactual(**asked(texts=TEXTS[:5]))
    assert {row.verdict for row in few.rows} == {"not_assessable"}
    assert all(row.effect is None for row in few.rows)
    small = assess_counterfactual(**asked(gallery_groups={"sex": ["F"] * 55 + ["M"] * 5}))
    assert {row.group for row in small.rows} == {""}
    alone = assess_counterfactual(**asked(gallery_groups={}, swaps=[Swap("age", "30", "80")]))
    assert [row.measure for row in alone.rows] == ["ranking"]


def test_queries_of_one_patient_count_once() -> None:
    found = assess_counterfactual(**asked(patients=[0] * 20))
    assert {row.reason for row in found.rows} == {"queries of fewer than 11 patients"}


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["constant", "text length", "zero", "nan", "wide"]), st.integers(11, 40))
def test_any_encoder_gives_a_verdict_or_a_clear_error(kind: str, n: int) -> None:
    def encode(texts):
        if kind == "text length":
            return np.stack([np.full(16, 1.0) + np.eye(16)[len(t) % 16] for t in texts])
        value = {"constant": 1.0, "zero": 0.0, "nan": np.nan, "wide": 1.0}[kind]
        return np.full((len(texts), 17 if kind == "wide" else 16), value)

    given = asked(texts=TEXTS[:n], encode=encode)
    if kind in ("zero", "nan", "wide"):
        with pytest.raises(InputError):
            assess_counterfactual(**given)
        return
    rows = assess_counterfactual(**given).to_json()["rows"]
    json.dumps(rows, allow_nan=False)
    if kind == "constant":
        assert {row["verdict"] for row in rows} == {"within"}
        assert {row["effect"] for row in rows} == {0.0}


@pytest.mark.slow
def test_deaf_encoders_are_never_flagged_and_senseless_words_seldom() -> None:
    assert figures("invariant", 50, 1)["flags"] == 0
    assert figures("senseless", 50, 1)["p_adjusted_below_5_percent"] <= 0.1


@pytest.mark.slow
def test_the_planted_line_is_estimated_within_a_tenth() -> None:
    found = figures("planted", 20, 1)
    assert found["estimate_over_truth"] == pytest.approx(1.0, abs=0.05)
    assert found["estimates_within_10_percent"] >= 0.9
    assert found["group_found"] >= 0.95
