"""Why a case was found, with a toy model of which the answer is known."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.example_cases import make_case
from support.linear_toy import linear_toy

from medembed.attribution.faithfulness import most_runs
from medembed.attribution.why import WhyState
from medembed.cases import ScanRef
from medembed.cli import run
from medembed.errors import QueryError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.why import keep_map_test
from medembed.notes import read_note
from medembed.scans import read_scan

NOTE = "IMPRESSION: Of me we go. Dog cat cow hen.\nFINDINGS: He is so. At it. We do. A to be."
"""The toy model counts letters modulo 4: only one sentence has words of three letters."""


def picture(path: Path, bright: tuple[int, ...], seed: int) -> Path:
    """A PNG of 32 × 32 with noise, bright in some quadrants (0 to 3, upper left first)."""
    pixels = np.random.default_rng(seed).integers(0, 40, (32, 32)).astype(np.uint8)
    for quadrant in bright:
        row, column = divmod(quadrant, 2)
        pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] += 200
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("why")
    bright = {"both": (0, 3), "lower-right": (3,), "upper": (0, 1), "flat": ()}
    with CaseLibrary.create(home / "library") as library:
        paths = [picture(home / f"{n}.png", q, i) for i, (n, q) in enumerate(bright.items())]
        Image.fromarray(np.full((32, 32), 77, np.uint8)).save(home / "flat.png")
        for i, (name, path) in enumerate(zip(bright, paths, strict=True)):
            scan = ScanRef((str(path),), hashlib.sha256(path.read_bytes()).hexdigest())
            note = read_note("IMPRESSION: Normal." if name == "upper" else NOTE)
            library.add([make_case(i, case_id=name, patient_id=f"P-{i}", scans=(scan,), note=note)])
        model = linear_toy()
        model.save(library.path / "models/toy")
        library.active_model = "toy"
        vectors = model.encode_scans([read_scan(path) for path in paths])
        library.put_vectors(model.fingerprint, "image", list(bright), vectors)
    return home


@pytest.fixture
def lookup(home: Path) -> Iterator[CaseLookup]:
    with CaseLibrary.open(home / "library") as library, CaseLookup(library) as opened:
        yield opened
        library.set_meta(f"map_test:{opened.fingerprint}", None)


def rank_of(result, name: str) -> int:
    return next(hit.rank for hit in result.hits if hit.case_id == name)


def test_the_region_that_the_words_ask_for_is_found(lookup) -> None:
    result = lookup.search(text="dog cat", literal=True)  # three letters: the lower right quadrant
    why = lookup.why(result, rank_of(result, "both"))
    assert why.hit.state is WhyState.SHOWN
    (down, across) = why.hit.region.box
    assert min(down[0], across[0]) >= 3 / 7 - 1e-9
    assert str(why.hit).startswith("lower right of the image as displayed")
    assert why.hit.score == pytest.approx(result.hits[rank_of(result, "both") - 1].score, abs=1e-5)
    assert why.hit.without < why.hit.score
    assert why.query is None


def test_the_other_words_find_the_other_region(lookup) -> None:
    result = lookup.search(text="four ones", literal=True)  # four letters: the upper left quadrant
    why = lookup.why(result, rank_of(result, "both"))
    assert str(why.hit).startswith("upper left")


def test_the_query_shows_what_it_shares_with_the_hit(lookup, home, tmp_path) -> None:
    query = picture(tmp_path / "query.png", (1, 3), 9)
    result = lookup.search(image=query)
    why = lookup.why(result, rank_of(result, "lower-right"))
    assert why.query.state is WhyState.SHOWN
    down, across = why.query.region.peak
    assert min(down, across) >= 0.5  # a cell in the middle is half in the quadrant
    again = lookup.why(lookup.search(case="both"), 1)
    assert again.query is not None
    assert again.query.state is WhyState.SHOWN


def test_text_and_image_together_explain_the_mixed_score(lookup, home) -> None:
    result = lookup.search(text="dog", image=home / "upper.png", literal=True)
    rank = rank_of(result, "lower-right")
    why = lookup.why(result, rank)
    assert why.query is not None
    assert why.query.score == pytest.approx(result.hits[rank - 1].score, abs=1e-5)


def test_the_sentence_that_carries_the_match_is_named(lookup) -> None:
    result = lookup.search(text="dog cat", literal=True)
    why = lookup.why(result, rank_of(result, "both"))
    assert why.note.state is WhyState.SHOWN
    assert [phrase.text for phrase in why.note.phrases] == ["Dog cat cow hen."]
    (phrase,) = why.note.phrases
    assert NOTE[phrase.start : phrase.end] == phrase.text
    short = lookup.why(result, rank_of(result, "upper")).note
    assert (short.state, short.phrases) == (WhyState.TOO_SHORT, ())


def test_an_image_without_structure_shows_no_region(lookup) -> None:
    result = lookup.search(text="dog cat", literal=True)
    why = lookup.why(result, rank_of(result, "flat"))
    assert why.hit.state is WhyState.NOT_FAITHFUL
    assert why.hit.region is None
    assert str(why.hit) == "no region carries this match"
    assert why.hit.to_json()["weights"] is None


def test_a_model_whose_maps_failed_shows_none(lookup) -> None:
    result = lookup.search(text="dog cat", literal=True)
    keep_map_test(lookup.library, lookup.fingerprint, {"passed": False})
    assert lookup.why(result, 1).hit.state is WhyState.MODEL_FAILED
    keep_map_test(lookup.library, lookup.fingerprint, {"passed": True})
    assert lookup.why(result, rank_of(result, "both")).hit.state is WhyState.SHOWN


def test_the_number_of_encoder_runs_is_bounded(lookup, monkeypatch) -> None:
    encoded = []
    run_side = lookup.model.sides.run

    def counting(name, *inputs, **rest):
        if name == "image":
            encoded.append(len(inputs[0]))
        return run_side(name, *inputs, **rest)

    result = lookup.search(case="both")
    monkeypatch.setattr(lookup.model.sides, "run", counting)
    why = lookup.why(result, 1)
    assert why.query is not None
    # The image, its cells with their test, with and without the region, and its features.
    of_one = 1 + most_runs(49, 9) + 2 + 1
    others = 4  # of hit and query together, as both are of one kind; at most 16
    assert sum(encoded) == 2 * of_one + others == 2 * 176 + 4
    encoded.clear()
    lookup.search(case="both")
    assert not encoded, "a plain search explains nothing"


def test_a_file_that_has_gone_or_changed_is_said_to_be_unreadable(lookup, home) -> None:
    result = lookup.search(text="dog cat", literal=True)
    rank = rank_of(result, "upper")
    kept = (home / "upper.png").read_bytes()
    try:
        (home / "upper.png").unlink()
        assert lookup.why(result, rank).hit.state is WhyState.UNREADABLE
        picture(home / "upper.png", (2,), 5)
        assert lookup.why(result, rank).hit.state is WhyState.UNREADABLE
    finally:
        (home / "upper.png").write_bytes(kept)


def test_the_map_reads_what_other_cases_show_at_the_same_place(lookup, monkeypatch) -> None:
    result = lookup.search(text="dog cat", literal=True)
    rank = rank_of(result, "both")
    weights = lookup.why(result, rank).hit.weights
    monkeypatch.setattr("medembed.lookup.usual_images._FEWEST_USUAL", 5)  # of four cases
    of_pixels = lookup.why(result, rank).hit
    assert of_pixels.state is WhyState.SHOWN
    assert not np.allclose(weights, of_pixels.weights, atol=0.1)


@pytest.mark.parametrize("rank", [0, 5, -1, True])
def test_a_rank_without_a_hit_is_refused(lookup, rank) -> None:
    result = lookup.search(text="dog cat", literal=True)
    with pytest.raises(QueryError, match="no hit has rank"):
        lookup.why(result, rank)


def test_the_command_prints_it_and_gives_it_as_json(home, monkeypatch, capsys) -> None:
    def search(*more: str) -> str:
        words = ["search", str(home / "library"), "--text", "dog cat", "--literal", *more]
        monkeypatch.setattr(sys, "argv", ["medembed", *words])
        with pytest.raises(SystemExit) as left:
            run()
        assert left.value.code == (2 if "9" in more else 0)
        return capsys.readouterr().out

    said = search("--why", "2")  # both
    assert "What carries hit 2:" in said
    assert "lower right of the image as displayed" in said
    explained = json.loads(search("--why", "2", "--json"))["explained"]
    assert explained["rank"] == 2
    assert explained["hit"]["state"] == "shown"
    assert np.array(explained["hit"]["weights"]).shape == (7, 7)
    assert explained["note"]["phrases"][0]["text"] == "Dog cat cow hen."
    assert str(home) not in json.dumps(explained)
    assert search("--why", "9") == ""
