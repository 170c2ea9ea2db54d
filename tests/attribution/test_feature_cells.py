"""What a score loses without a cell of the encoder's features, with a model known by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from support.linear_toy import linear_toy

from medembed.attribution.case_images import CaseImages
from medembed.attribution.feature_cells import feature_losses, feature_places
from medembed.encoders.study_images import ScanSource
from medembed.errors import ModelError
from medembed.model import toy_model
from medembed.model.dual_encoder import DualEncoder
from medembed.model.feature_head import cut_head, feature_grid
from medembed.scans import Scan

FOURTH = np.array([0.0, 0, 0, 1])
"""The toy model's value of the lower right quadrant."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    return DualEncoder.load(linear_toy().save(tmp_path_factory.mktemp("toy") / "model"))


def case_of(model: DualEncoder) -> CaseImages:
    pixels = np.zeros((32, 32), dtype=np.float32)
    pixels[:16, :16], pixels[16:, 16:] = 1, 0.5
    return CaseImages.of(model, [Scan(pixels)], [ScanSource()])


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_each_cell_loses_what_its_features_added(saved: DualEncoder, runtime: str) -> None:
    images = case_of(saved if runtime == "onnx" else linear_toy())
    usual = np.zeros(4, dtype=np.float32)
    found = feature_losses(images, 0, lambda rows: rows @ FOURTH, (7, 7), lambda *_: usual)
    assert found is not None
    expected = np.zeros((7, 7))
    own = np.float64(np.rint(127.5) / 255)  # pixels have 256 steps
    whole = own / np.hypot(1, own)
    expected[3:, 3:] = whole  # the middle cells belong to the lower right of 2 × 2
    expected[:3, :3] = whole - 1  # alone, the quadrant would be the whole vector
    np.testing.assert_allclose(found.reshape(7, 7), expected, atol=1e-3)


def test_what_others_show_too_carries_nothing(saved: DualEncoder) -> None:
    images = case_of(saved)
    own = images.features(0)
    found = feature_losses(images, 0, lambda rows: rows @ FOURTH, (7, 7), lambda *_: own)
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_the_head_alone_makes_the_vectors_of_the_whole_file(saved: DualEncoder) -> None:
    pixels = np.random.default_rng(0).random((3, *saved.preprocess.shape), dtype=np.float32)
    features = saved.sides.run("image", pixels, output="features")
    np.testing.assert_array_equal(
        saved.sides.run("head", features), saved.sides.run("image", pixels)
    )


def test_a_model_without_places_or_features_is_explained_by_pixels_alone(saved, tmp_path) -> None:
    score, usual = (lambda rows: rows @ FOURTH), (lambda *_: np.zeros(4, np.float32))
    plain = DualEncoder.load(toy_model().save(tmp_path / "toy"))  # its features are its vectors
    assert feature_losses(case_of(plain), 0, score, (7, 7), usual) is None
    assert feature_losses(case_of(saved), 0, score, (7, 7), lambda *_: None) is None
    assert feature_losses(case_of(saved), 0, score, (4, 4, 4), usual) is None
    with pytest.raises(ModelError, match="no features"):
        cut_head(b"not a file")


def test_image_sets_must_keep_the_same_places(saved: DualEncoder) -> None:
    def grid_of(*sets: dict) -> tuple[int, ...] | None:
        return feature_grid(SimpleNamespace(dimensions=3, architecture={"image_sets": sets}))

    seven = {"pooling": "grid", "grid": 7}
    assert feature_grid(saved) == (2, 2)
    assert grid_of(seven, seven) == (7, 7, 7)
    assert grid_of(seven, {"pooling": "grid", "grid": 4}) is None
    assert grid_of(seven, {"pooling": "own", "grid": 7}) is None


@pytest.mark.parametrize("kept", [(7, 7), (14, 14), (4, 4), (1, 9)])
def test_each_place_of_the_features_belongs_to_a_cell(kept: tuple[int, ...]) -> None:
    places = feature_places((7, 7), kept)
    assert places.any(axis=0).all()
    assert places.any(axis=1).all()
    if kept == (7, 7):
        np.testing.assert_array_equal(places, np.eye(49, dtype=bool))
    if kept == (14, 14):
        assert (places.sum(axis=1) == 4).all()
