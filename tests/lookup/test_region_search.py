"""Search by a region of an image, with a toy model whose answers are known."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.example_cases import make_case
from support.linear_toy import linear_toy

from medembed.cases import ScanRef
from medembed.cli import run
from medembed.encoders.study_pooling import StudySettings
from medembed.errors import QueryError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup, Region
from medembed.lookup.score_worth import WorthReason
from medembed.model.dual_encoder import DualEncoder
from medembed.notes import read_note
from medembed.scans import Scan, read_scan

QUADRANTS = {"upper left": 0, "upper right": 1, "lower left": 2, "lower right": 3}
CASES = {"a": (0,), "b": (1,), "c": (2,), "d": (3,), "ab": (0, 1), "ad": (0, 3), "none": ()}
BOX = {0: Region(0, 0, 0.5, 0.5), 1: Region(0, 0.5, 0.5, 1), 2: Region(0.5, 0, 1, 0.5),
       3: Region(0.5, 0.5, 1, 1)}  # fmt: skip


def pixels_of(bright: tuple[int, ...], seed: int) -> np.ndarray:
    """32 × 32 with noise, bright in some quadrants (0 to 3, upper left first)."""
    pixels = np.random.default_rng(seed).integers(0, 40, (32, 32)).astype(np.uint8)
    for quadrant in bright:
        row, column = divmod(quadrant, 2)
        pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] += 200
    return pixels


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear_toy().save(tmp_path_factory.mktemp("models") / "toy")


def fill(library: CaseLibrary, home: Path, toy: Path) -> None:
    paths = []
    for i, (name, bright) in enumerate(CASES.items()):
        path = home / f"{name}.png"
        Image.fromarray(pixels_of(bright, i)).save(path)
        scan = ScanRef((str(path),), hashlib.sha256(path.read_bytes()).hexdigest())
        note = read_note(f"IMPRESSION: Quadrants {name}.")
        library.add([make_case(i, case_id=name, patient_id=f"P-{i}", scans=(scan,), note=note)])
        paths.append(path)
    shutil.copytree(toy, library.path / "models/toy")
    library.active_model, model = "toy", DualEncoder.load(toy)
    vectors = model.encode_scans([read_scan(path) for path in paths])
    library.put_vectors(model.fingerprint, "image", list(CASES), vectors)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, toy: Path) -> Path:
    home = tmp_path_factory.mktemp("region")
    with CaseLibrary.create(home / "library") as library:
        fill(library, home, toy)
    return home


@pytest.fixture(scope="module")
def lookup(home: Path) -> Iterator[CaseLookup]:
    with CaseLibrary.open(home / "library") as library, CaseLookup(library) as opened:
        yield opened


def query(*bright: int) -> np.ndarray:
    return pixels_of(bright, 99)


def ids(result) -> list[str]:
    return [hit.case_id for hit in result]


@pytest.mark.parametrize("quadrant", range(4))
def test_the_region_chooses_among_what_the_image_shows(lookup, quadrant) -> None:
    other = (quadrant + 2) % 4
    image = query(quadrant, other)
    hits = ids(lookup.search(image=image, region=BOX[quadrant], k=7))
    single = {n: next(c for c, b in CASES.items() if b == (n,)) for n in range(4)}
    assert hits[0] == single[quadrant]
    assert hits.index(single[quadrant]) < hits.index(single[other])


def test_all_of_the_image_is_the_plain_search(lookup) -> None:
    whole = Region(0, 0, 1, 1)
    for asked in ({"image": query(0, 3)}, {"case": "ad"}):
        plain, marked = lookup.search(**asked), lookup.search(**asked, region=whole)
        assert [(h.case_id, h.score) for h in plain] == [(h.case_id, h.score) for h in marked]
    beyond = Region(-1e-9, 0, 1 + 1e-9, 1)  # as a page computes it
    assert beyond == whole


def test_a_region_of_a_case_is_that_of_its_image(lookup, home) -> None:
    by_case = lookup.search(case="ad", region=BOX[3], k=7)
    by_file = lookup.search(image=home / "ad.png", region=BOX[3], k=7)
    assert ids(by_case) == ids(by_file)
    assert ids(by_case)[0] == "d"
    assert "ad" not in ids(by_case), "the query's own patient is no hit"
    assert by_file.own_cases == ("ad",)


def test_a_region_that_does_not_move_the_vector_says_so(lookup, monkeypatch) -> None:
    image = query(0, 3)
    monkeypatch.setattr(lookup._regions, "_others", None)
    monkeypatch.setattr(lookup.model.sides, "run", lambda name, *i, **_: np.ones((len(i[0]), 4)))
    with pytest.raises(QueryError, match="the model sees nothing in the region"):
        lookup.search(image=image, region=BOX[0])


def test_conditions_hold_and_the_ranking_under_them_is_that_without(lookup) -> None:
    image = query(0, 3)
    free = lookup.search(image=image, region=BOX[3], k=7)
    for where in ("sex=F", "sex=M", "age>=3"):
        allowed = set(lookup.library.find(where))
        under = lookup.search(image=image, region=BOX[3], where=where, k=7)
        expected = [(h.case_id, h.score) for h in free if h.case_id in allowed]
        assert [(h.case_id, h.score) for h in under] == expected


def test_words_weights_and_marks_count_beside_the_region(lookup) -> None:
    image = query(0, 3)
    plain = lookup.search(text="dog", image=image, region=BOX[0], literal=True, bm25=False, k=7)
    for hit in plain:
        parts = hit.evidence.parts
        assert set(parts) == {"text", "image"}
    mixed = plain.asked.mixed(plain.parts)[0]
    for hit in plain:
        row = lookup.index.index.vector(hit.case_id)
        assert hit.score == pytest.approx(float(mixed @ row), abs=1e-5)
    only = lookup.search(
        text="dog", image=image, region=BOX[0], weights={"text": 0, "image": 1}, literal=True,
        bm25=False, k=7,
    )  # fmt: skip
    assert ids(only) == ids(lookup.search(image=image, region=BOX[0], k=7))
    away = lookup.search(image=image, region=BOX[0], unlike="ab", k=7)
    assert "ab" not in ids(away)
    assert {"image", "text"} == set(plain.query["weights"])


def test_each_image_of_several_has_its_own_region(lookup) -> None:
    images = [query(0, 3), query(1, 2)]
    one = lookup.search(image=images, region={"image2": BOX[1]}, k=7)
    alone = lookup.search(image=images[1], region=BOX[1], k=7)
    whole = lookup.search(image=images[0], k=7)
    np.testing.assert_array_equal(one.parts["image2"], alone.parts["image"])
    np.testing.assert_array_equal(one.parts["image"], whole.parts["image"])
    with pytest.raises(QueryError, match="has several images, and a region belongs to one"):
        lookup.search(image=images, region=BOX[1])


def test_a_mirrored_image_and_region_give_mirrored_answers(lookup) -> None:
    """The toy model tells left from right, and the cases a and b, c and d are mirrored."""
    mirrored = {"a": "b", "b": "a", "c": "d", "d": "c"}
    image = query(0, 3)
    one = ids(lookup.search(image=image, region=BOX[0], k=7))
    other = ids(lookup.search(image=image[:, ::-1].copy(), region=BOX[1], k=7))
    singles = [name for name in one if name in mirrored]
    assert [mirrored[name] for name in singles[:1]] == [n for n in other if n in mirrored][:1]
    assert one != other


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"region": (0.5, 0.5, 0.5, 0.7)}, "the region is empty"),
        ({"region": (0.6, 0.2, 0.4, 0.5)}, "the region is empty"),
        ({"region": (0.1, 0.2, 1.4, 0.5)}, "lies outside the image"),
        ({"region": (10, 20, 140, 150)}, "lies outside the image"),
        ({"region": (0.1, 0.2, float("nan"), 0.5)}, "is not a number"),
        ({"region": (0.1, 0.2, None, 0.5)}, "is not a number"),
        ({"region": (0.1, 0.2, 0.5)}, "four ends"),
        ({"region": "0.1;0.2;0.4;0.5"}, "four ends"),
        ({"region": "0,1,0,2,0,4,0,5"}, "four ends"),
        ({"region": "a,b,c,d"}, "consists of numbers"),
        ({"region": "0.1,0.2,0.4,0.5,slice=x"}, "consists of numbers"),
        ({"region": "0.1,0.2,0.4,0.5,frame=1"}, "four ends"),
        ({"region": "0.1,0.2,0.4,0.5,slice=0"}, "counted from 1"),
        ({"region": "0.1,0.2,0.4,0.5,slice=2"}, "the image has 1 slice"),
        ({"region": "0.1,0.2,0.4,inf"}, "is not a number"),
        ({"region": 7}, "four ends"),
        ({"region": {"text": "0.1,0.2,0.4,0.5"}}, "of the query: image"),
        ({"region": "0.1,0.2,0.4,0.5,image=2"}, "one image"),
        ({"region": {"image7": (0.1, 0.2, 0.4, 0.5)}}, "of the query: image"),
    ],
)
def test_a_wrong_region_is_one_clear_line(lookup, wrong, says) -> None:
    with pytest.raises(QueryError) as caught:
        lookup.search(image=query(0), **wrong)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_region_needs_an_image(lookup) -> None:
    with pytest.raises(QueryError, match="needs an image or a case"):
        lookup.search(text="dog", region=BOX[0])
    with pytest.raises(QueryError, match="the case has 1 image"):
        lookup.search(case="a", region=Region(0, 0, 0.5, 0.5, image=2))


def test_a_region_of_an_image_that_is_gone_says_so(toy, tmp_path) -> None:
    with CaseLibrary.create(tmp_path / "library") as library:
        fill(library, tmp_path, toy)
        (tmp_path / "ad.png").unlink()
        with CaseLookup(library) as lookup:
            assert len(lookup.search(case="ad", region=Region(0, 0, 1, 1))) == 6
            with pytest.raises(QueryError, match="cannot be read any more") as caught:
                lookup.search(case="ad", region=BOX[0])
            assert str(tmp_path) not in str(caught.value)


def test_an_erased_case_is_no_hit_and_not_among_the_images_of_others(toy, tmp_path) -> None:
    with CaseLibrary.create(tmp_path / "library") as library:
        fill(library, tmp_path, toy)
        with CaseLookup(library) as lookup:
            before = lookup.search(image=query(0, 3), region=BOX[3], k=7)
            assert ids(before)[0] == "d"
            others = lookup._regions._others
            library.erase("P-3")
            after = lookup.search(image=query(0, 3), region=BOX[3], k=7)
            assert set(ids(after)) == set(CASES) - {"d"}
            assert lookup._regions._others[1] is not others[1]
            assert not np.array_equal(before.parts["image"], after.parts["image"])


def test_scores_of_regions_have_no_percentile_of_whole_images(lookup) -> None:
    result = lookup.search(image=query(0, 3), region=BOX[3])
    assert all(hit.percentile is None for hit in result)
    assert result.score_basis.reason in (WorthReason.OTHER_KIND, WorthReason.NOT_MEASURED)
    assert result.score_basis.kind is None


def test_the_explanation_of_a_hit_shows_no_map_of_the_marked_image(lookup) -> None:
    result = lookup.search(image=query(0, 3), region=BOX[3])
    why = lookup.why(result, 1)
    assert why.query is None
    peak = np.unravel_index(int(why.hit.weights.argmax()), why.hit.weights.shape)
    assert min(peak) >= 3, "of the hit, what carries the match to the region"


def test_the_answer_says_which_region_was_searched(lookup) -> None:
    region = Region(0.5, 0.5, 1, 1)
    said = json.loads(json.dumps(lookup.search(image=query(0, 3), region=region).to_json()))
    assert said["query"]["region"] == {
        "image": {"top": 0.5, "left": 0.5, "bottom": 1.0, "right": 1.0, "slice": None, "image": 1}
    }
    assert lookup.search(image=query(0)).to_json()["query"]["region"] is None


def test_the_command_searches_by_a_region(home, monkeypatch, capsys) -> None:
    def search(*more: str, code: int = 0) -> str:
        words = ["search", str(home / "library"), "--image", str(home / "ad.png"), *more]
        monkeypatch.setattr(sys, "argv", ["medembed", *words])
        with pytest.raises(SystemExit) as left:
            run()
        assert left.value.code == code
        streams = capsys.readouterr()
        return streams.out if code == 0 else streams.err

    found = json.loads(search("--region", "0.5,0.5,1,1", "--json"))
    assert found["hits"][0]["case_id"] == "d"
    named = json.loads(search("--region", "image:0.5,0.5,1,1", "--json"))
    assert named["hits"] == found["hits"]
    said = search("--region", "0.5,0.5,0.2,1", code=2)
    assert said.count("\n") == 1
    assert "the region is empty" in said
    said = search("--region", "0,0,1,1", "--region", "0,0,1,0.5", code=2)
    assert "several regions need the name" in said


def test_a_region_is_read_as_it_is_written() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        (top, bottom), (left, right) = np.sort(rng.random((2, 2)).round(4), axis=1).tolist()
        at, image = (None, 1) if rng.random() < 0.3 else rng.integers(1, 500, 2).tolist()
        if top < bottom and left < right:
            region = Region(top, left, bottom, right, at, image)
            assert Region.parse(str(region)) == region


def test_a_volume_is_searched_by_a_region_of_a_slice(lookup) -> None:
    volume = np.stack([query(0, 3), query(1, 2), query(0, 2)]).astype(np.float32)
    scan = Scan(volume)
    of_slice = lookup.search(image=scan, region=Region(0, 0.5, 0.5, 1, slice=2), k=7)
    assert ids(of_slice)[0] == "b"
    through = ids(lookup.search(image=scan, region=Region(0, 0, 0.5, 0.5), k=7))
    assert through.index("a") < min(map(through.index, "bcd")), "a box through all slices"
    with pytest.raises(QueryError, match="the image has 3 slices"):
        lookup.search(image=scan, region=Region(0, 0, 0.5, 0.5, slice=4))
    with pytest.raises(QueryError, match="the image has 3 slices"):
        lookup.search(image=scan, region=Region(0, 0, 1, 1, slice=4))


@pytest.mark.parametrize("study", [None, StudySettings(kind="attention", width=16, heads=2)])
def test_the_region_of_a_case_with_several_images_belongs_to_one(tmp_path, study) -> None:
    with CaseLibrary.create(tmp_path / "library") as library:
        shown = {"query": ((0,), (3,)), "first": ((0,), (0,)), "second": ((3,), (3,)),
                 "other": ((1,), (2,)), "more": ((2,), (1,))}  # fmt: skip
        model = linear_toy(study=study)  # not saved: it runs in torch
        rows = []
        for i, (name, images) in enumerate(shown.items()):
            scans = []
            for j, bright in enumerate(images):
                path = tmp_path / f"{name}-{j}.png"
                Image.fromarray(pixels_of(bright, 10 * i + j)).save(path)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                scans.append(ScanRef((str(path),), digest, "CR", ("PA", "LATERAL")[j]))
            case = make_case(i, case_id=name, patient_id=f"P-{i}", scans=tuple(scans))
            library.add([case])
            pixels = [model.preprocess.pixels(read_scan(scan.files[0])) for scan in scans]
            rows.append(model.encode_pixels(pixels, scans=[name, name])[0])
        library.put_vectors(model.fingerprint, "image", list(shown), np.stack(rows))
        with CaseLookup(library, model) as lookup:
            of_first = lookup.search(case="query", region=Region(0, 0, 0.5, 0.5))
            of_second = lookup.search(case="query", region=Region(0.5, 0.5, 1, 1, image=2))
            assert ids(of_first)[0] == "first"
            assert ids(of_second)[0] == "second"
            all_of_second = lookup.search(case="query", region=Region(0, 0, 1, 1, image=2))
            assert ids(all_of_second)[0] == "second"
            with pytest.raises(QueryError, match="the case has 2 images"):
                lookup.search(case="query", region=Region(0, 0, 1, 0.5, image=3))
