"""What may stand for an image or a vector in a query, and what is too ambiguous to guess."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lookup.known_library import Oracle
from PIL import Image

from medembed.errors import QueryError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.given import as_image
from medembed.scans import Scan, read_scan

DRAW = np.random.default_rng(0)


def pixels(image: object) -> np.ndarray:
    scan, files = as_image(image)  # type: ignore[arg-type]
    assert scan is not None
    assert files == ()
    return scan.pixels


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "P", "RGB", "RGBA"])
def test_a_pil_image_means_what_its_file_means(tmp_path: Path, mode: str) -> None:
    base = Image.fromarray(DRAW.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    image = base.convert(mode) if mode != "I;16" else Image.fromarray(
        DRAW.integers(0, 60000, (6, 9), dtype=np.uint16)
    )  # fmt: skip
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels(image), read_scan(tmp_path / "a.png").pixels)


def test_a_pil_image_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = Image.fromarray(DRAW.integers(0, 256, (6, 9), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        assert pixels(opened).shape == (9, 6)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV"])
def test_other_colors_are_refused(mode: str) -> None:
    with pytest.raises(QueryError, match="neither gray nor RGB"):
        as_image(Image.new(mode, (4, 4)))


def test_an_array_is_an_image_or_a_volume() -> None:
    gray = DRAW.normal(size=(5, 7))
    np.testing.assert_array_equal(pixels(gray), gray.astype(np.float32))
    assert pixels(gray[None]).shape == (5, 7)
    assert pixels(gray[..., None]).shape == (5, 7)
    assert pixels(DRAW.normal(size=(9, 5, 7))).shape == (9, 5, 7)
    assert pixels(gray > 0).max() == 1
    color = DRAW.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels(color), pixels(Image.fromarray(color)))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), "no image; it needs 2 or 3 axes"),
        (np.zeros((2, 2, 2, 2)), "no image; it needs 2 or 3 axes"),
        (np.zeros((0, 4)), "at least one pixel"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.zeros((4, 4), complex), "no gray values"),
        (np.array([["a"]]), "no gray values"),
        (np.zeros((5, 7, 3)), "may be a color image or a volume"),
        (np.zeros((3, 5, 7), np.uint8), "may be a color image or a volume"),
        (np.zeros((3, 5, 3), np.uint8), "may be a color image or a volume"),
        (7, "cannot be a int"),
        ([np.zeros((4, 4))], "no image file given"),
        ([], "no image file given"),
        ("", "no image file given"),
    ],
)
def test_what_is_no_image_or_ambiguous_is_refused(array: object, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        as_image(array)  # type: ignore[arg-type]


def test_an_array_searches_like_its_scan(library: CaseLibrary) -> None:
    array = np.full((4, 4), 7.0)
    with CaseLookup(library, Oracle()) as lookup:  # type: ignore[arg-type]
        wanted = lookup.search(image=Scan(array.astype(np.float32)))
        for given in (array, Image.fromarray(array.astype(np.uint8))):
            found = lookup.search(image=given)
            assert [(h.case_id, h.score) for h in found] == [(h.case_id, h.score) for h in wanted]
        assert wanted[0].case_id == "case-7"


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.ones(7), "7 dimensions, the library's vectors of this model 8"),
        (np.ones((2, 8)), r"needs shape \(d,\), not \(2, 8\)"),
        (np.zeros(8), "all zeros"),
        (np.full(8, np.inf), "not finite"),
        ("effusion", r"needs shape \(d,\)"),
        ([["a"] * 8], "real numbers"),
        ([[1], [1, 2]], "needs shape"),
    ],
)
def test_a_vector_must_fit(library: CaseLibrary, vector: object, message: str) -> None:
    with (
        CaseLookup(library, Oracle()) as lookup,  # type: ignore[arg-type]
        pytest.raises(QueryError, match=message),
    ):
        lookup.search(vector=vector)  # type: ignore[arg-type]


def test_a_vector_joins_other_parts_with_weights(library: CaseLibrary) -> None:
    with CaseLookup(library, Oracle()) as lookup:  # type: ignore[arg-type]
        row = lookup.index.index.vector("case-9")
        alone = lookup.search(vector=row)
        assert alone[0].case_id == "case-9"
        assert alone.novelty_line.startswith("no novelty check: a vector")
        mixed = lookup.search(vector=row, case="case-2", weights={"vector": 0.9, "case": 0.1})
        assert mixed[0].case_id == "case-9"
        assert mixed.own_patient_cases == 2  # of the case, not of the vector
        assert mixed.to_json()["query"]["vector"] == 8
