"""Regions of volumes for a model of volumes, and the pixels that a box covers."""

from __future__ import annotations

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.attribution.region import InputFrame
from medembed.errors import QueryError, ScanError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup, Region
from medembed.lookup.other_images import OtherImages
from medembed.lookup.region_reader import box_weights
from medembed.model.mean_vectors import unit_rows
from medembed.preprocess import Preprocess
from medembed.scans import Scan

FINGERPRINT = "b" * 64


class Octants:
    """Stands in for a DualEncoder of volumes: its vector is the means of the eight octants."""

    fingerprint, dimensions, dim = FINGERPRINT, 3, 8
    preprocess = Preprocess(dimensions=3, size=8, window="range")

    def __init__(self) -> None:
        self.encoded = 0

    def encode_pixels(self, items, sources=None) -> np.ndarray:
        self.encoded += len(items)
        rows = [one[0, 0].reshape(2, 4, 2, 4, 2, 4).mean(axis=(1, 3, 5)).ravel() for one in items]
        return unit_rows(np.stack(rows))

    def encode_scans(self, scans) -> np.ndarray:
        return self.encode_pixels([self.preprocess.pixels(scan) for scan in scans])


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A library in which case i is bright in octant i, and other images of noise."""
    noise = np.random.default_rng(3).integers(90, 110, (8, 1, 1, 8, 8, 8)).astype(np.uint8)
    monkeypatch.setattr(
        OtherImages, "_pixels", lambda self, model, case, at: noise[int(case.case_id[-1])]
    )
    with CaseLibrary.create(tmp_path / "library") as library:
        library.add(make_case(i, patient_id=f"P-{i}") for i in range(8))
        names = [f"case-{i}" for i in range(8)]
        library.put_vectors(FINGERPRINT, "image", names, unit_rows(np.eye(8) + 0.1))
        with CaseLookup(library, Octants()) as lookup:
            yield lookup


def volume(*bright: int) -> Scan:
    pixels = np.random.default_rng(1).integers(90, 110, (8, 8, 8)).astype(np.float32)
    for octant in bright:
        z, y, x = np.unravel_index(octant, (2, 2, 2))
        pixels[4 * z : 4 * z + 4, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4] += 140
    pixels[0, 0, 0], pixels[-1, -1, -1] = 0, 255
    return Scan(pixels)


@pytest.mark.parametrize("octant", [1, 6])
def test_the_box_and_the_slice_choose_an_octant(asked, octant) -> None:
    z, y, x = np.unravel_index(octant, (2, 2, 2))
    box = (y / 2, x / 2, (y + 1) / 2, (x + 1) / 2)
    result = asked.search(image=volume(1, 6), region=Region(*box, slice=int(4 * z + 2)), k=8)
    assert result[0].case_id == f"case-{octant}"
    through = asked.search(image=volume(1, 6), region=Region(*box), k=8)
    assert through[0].case_id == f"case-{octant}"


def test_a_single_image_is_refused_by_a_model_of_volumes(asked) -> None:
    with pytest.raises(ScanError, match="single image"):
        asked.search(image=np.eye(8, dtype=np.float32), region=Region(0, 0, 0.5, 0.5))


def test_other_images_are_encoded_once(asked) -> None:
    asked.search(image=volume(1, 6), region=Region(0, 0, 0.5, 0.5))
    model = asked.model
    before = model.encoded
    asked.search(image=volume(2, 3), region=Region(0.5, 0, 1, 0.5))
    assert model.encoded - before == 4, "the four with the region in them"


def test_the_images_are_of_four_other_patients(asked) -> None:
    others = asked._regions._others_of(asked.index)
    from medembed.encoders.study_images import ScanSource

    seen = [one.patient_id for one in others.like(asked.model, ScanSource("PA", "CR"), {"P-0"})]
    assert len(set(seen)) == 4
    assert "P-0" not in seen


def test_a_library_without_images_says_so(asked, monkeypatch) -> None:
    monkeypatch.setattr(OtherImages, "_pixels", lambda *_: None)
    with pytest.raises(QueryError, match="no image of another patient can be read"):
        asked.search(image=volume(1), region=Region(0, 0, 0.5, 0.5))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({}, (40, 64)), ({}, (64, 40)), ({"resize": "shortest"}, (40, 64)), ({}, (3, 50, 50))],
)
def test_fractions_of_an_image_and_pixels_of_the_input_are_each_other_s_reverse(
    settings, shape
) -> None:
    preprocess = Preprocess(size=32, **settings)
    frame = InputFrame.of(preprocess, shape, (1.0,) * len(shape))
    box = ((0.3, 0.6), (0.4, 0.55))
    ends = np.array(frame.pixels(box))
    found = frame.fractions(ends[:, 0], ends[:, 1])
    np.testing.assert_allclose(found, box, atol=1e-9)


def test_a_part_that_was_cut_off_covers_no_pixels() -> None:
    frame = InputFrame.of(Preprocess(size=32, resize="shortest"), (40, 400), (1.0, 1.0))
    low, high = frame.pixels(((0.0, 1.0), (0.0, 0.1)))[1]
    assert low == high


def test_a_box_is_whole_within_and_fades_outside() -> None:
    weights = box_weights(((28.0, 56.0), (0.0, 224.0)), (224, 224))
    assert (weights[28:56] == 1).all()
    assert (weights[:19] == 0).all()
    assert (weights[66:] == 0).all()
    assert (np.diff(weights[19:29, 0]) > 0).all()
    tiny = box_weights(((10.2, 10.3), (10.2, 10.3)), (224, 224))
    assert 0.8 < tiny.max() <= 1


def test_the_pixels_of_one_slice_are_windowed_as_the_volume() -> None:
    pixels = np.arange(3 * 32 * 32, dtype=np.float32).reshape(3, 32, 32)
    preprocess = Preprocess(size=32, slices=3)
    np.testing.assert_array_equal(
        preprocess.pixels(Scan(pixels), 1), preprocess.pixels(Scan(pixels))[1:2]
    )


def test_what_is_kept_for_headers_of_queries_ends(asked, monkeypatch) -> None:
    from medembed.encoders.study_images import ScanSource

    others = asked._regions._others_of(asked.index)
    for i in range(100):
        (one, *_) = others.like(asked.model, ScanSource(f"view {i}", "CR"), ())
        for j in range(3):
            one.vector(asked.model, (0,), ScanSource(body_part=f"part {i} {j}"))
    assert len(others._kept) <= 32
    held = others.like(asked.model, ScanSource(), ())[0]
    for j in range(300):
        held.vector(asked.model, (0,), ScanSource(body_part=f"part {j}"))
    assert len(held._vectors) <= 256
