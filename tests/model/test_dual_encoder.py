"""The model gives the vectors it promises, and its folder is known to be whole."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.errors import ModelError, QueryError
from medembed.model import DualEncoder
from medembed.model.mean_vectors import unit_rows
from medembed.model.onnx_side import OnnxSide
from medembed.model.towers import ProjectionSettings, build_towers, restore_text_side
from medembed.preprocess import Preprocess
from medembed.scans import Scan


def scans(n: int = 5, size: int = 40) -> list[Scan]:
    rng = np.random.default_rng(0)
    return [Scan(rng.normal(size=(size, size)).astype(np.float32)) for _ in range(n)]


TEXTS = ["right pleural effusion", "left", "No pneumothorax. " * 9, "heart size is normal"]


def test_the_toy_gives_quadrant_means_and_word_lengths(toy_folder: Path) -> None:
    model = DualEncoder.load(toy_folder)
    image = np.zeros((32, 32), np.float32)
    image[:16, :16], image[16:, 16:] = 4, 3
    assert np.allclose(model.encode_scans([Scan(image)]), [[0.8, 0, 0, 0.6]], atol=2e-3)
    assert np.allclose(
        model.encode_notes(["left lung", "a nodule at"]) * [[2], [5**0.5]],
        [[2, 0, 0, 0], [0, 1, 2, 0]],
    )


@pytest.mark.parametrize("which", ["toy", "small"])
def test_vectors_are_unit_float32_and_finite(which: str, request: pytest.FixtureRequest) -> None:
    model: DualEncoder = request.getfixturevalue(which)
    for vectors, n in ((model.encode_scans(scans()), 5), (model.encode_notes(TEXTS), 4)):
        assert vectors.dtype == np.float32
        assert vectors.shape == (n, model.dim)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_batches_and_single_items_give_the_same(small: DualEncoder) -> None:
    assert np.allclose(
        small.encode_scans(scans(), batch_size=2),
        np.concatenate([small.encode_scans([scan]) for scan in scans()]),
        atol=1e-5,
    )
    assert np.allclose(
        small.encode_notes(TEXTS, batch_size=3),
        np.concatenate([small.encode_notes([text]) for text in TEXTS]),
        atol=1e-5,
    )


def test_nothing_to_encode_gives_no_rows(small: DualEncoder) -> None:
    assert small.encode_scans([]).shape == (0, 8)
    assert small.encode_notes([]).shape == (0, 8)


def test_a_blank_text_is_refused(small: DualEncoder) -> None:
    with pytest.raises(QueryError):
        small.encode_notes(["effusion", "  \n"])
    with pytest.raises(QueryError, match="list"):  # not a vector for each letter
        small.encode_notes("effusion")


def test_a_row_of_zeros_still_becomes_a_unit_row() -> None:
    assert np.allclose(unit_rows(np.zeros((1, 4))), 0.5)


def test_a_volume_gives_the_mean_of_its_slices_unit_vectors(small: DualEncoder) -> None:
    volume = np.stack([scan.pixels for scan in scans(8, 32)])
    whole = small.encode_scans([Scan(volume)])
    pixels = small.preprocess.pixels(Scan(volume))
    by_hand = small.encode_pixels([pixels[i : i + 1] for i in range(8)]).mean(axis=0)
    assert np.allclose(whole[0], by_hand / np.linalg.norm(by_hand), atol=1e-5)


def test_scans_of_one_case_count_alike_however_many_slices(toy: DualEncoder) -> None:
    bright_left = np.zeros((1, 1, 32, 32), np.uint8)
    bright_left[..., :16, :16] = 255
    bright_right = np.zeros((7, 1, 32, 32), np.uint8)
    bright_right[..., 16:, 16:] = 255
    vectors = toy.encode_pixels([bright_left, bright_right], scans=["a", "a"])
    assert np.allclose(vectors, [[2**-0.5, 0, 0, 2**-0.5]], atol=1e-6)


@pytest.mark.parametrize("which", ["toy", "small"])
def test_a_loaded_model_gives_the_vectors_of_the_saved_one(
    which: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(f"{which}_folder")
    fresh: DualEncoder = request.getfixturevalue(which)
    loaded = DualEncoder.load(folder)
    assert (loaded.provider("image"), loaded.provider("text")) == ("CPUExecutionProvider",) * 2
    assert (fresh.provider("image"), fresh.provider("text")) == ("torch",) * 2
    assert np.abs(loaded.encode_scans(scans()) - fresh.encode_scans(scans())).max() <= 1e-5
    assert np.abs(loaded.encode_notes(TEXTS) - fresh.encode_notes(TEXTS)).max() <= 1e-5


def test_loading_leaves_the_random_numbers_of_the_process_alone(small_folder: Path) -> None:
    before = torch.get_rng_state()
    model = DualEncoder.load(small_folder)
    model.text_side()
    model.image_side()
    assert torch.equal(torch.get_rng_state(), before)


def test_several_threads_open_a_side_once(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def open_side(name: str, data: bytes, device: str) -> OnnxSide:
        opened.append(name)
        return OnnxSide(name, data, device)  # type: ignore[arg-type]

    monkeypatch.setattr("medembed.model.sides.OnnxSide", open_side)
    model = DualEncoder.load(small_folder)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.encode_notes(TEXTS), range(8)))
    assert opened == ["text"]
    assert all(np.array_equal(found[0], other) for other in found)


def test_several_threads_build_a_module_once(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def restore(architecture: dict[str, object]) -> torch.nn.Module:
        built.append(1)
        return restore_text_side(architecture)

    monkeypatch.setattr("medembed.model.torch_side.restore_text_side", restore)
    model = DualEncoder.load(small_folder)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.text_side(), range(8)))
    assert len(built) == 1
    assert all(found[0] is other for other in found)


def test_a_3d_pair_encodes_volumes(tmp_path: Path) -> None:
    pair, tokens, architecture = build_towers(
        ImageSettings(encoder="resnet10", grid=2, options={"widths": [4, 4, 4, 4]}),
        TextSettings(encoder="toy"),
        ProjectionSettings(dim=4),
        dimensions=3,
        size=(16, 16, 16),
    )
    model = DualEncoder(architecture, Preprocess(dimensions=3, size=16), tokens, pair)
    loaded = DualEncoder.load(model.save(tmp_path / "model"))
    volumes = [Scan(np.stack([s.pixels for s in scans(6)])) for _ in range(2)]
    vectors = loaded.encode_scans(volumes)
    assert loaded.dimensions == 3
    assert vectors.shape == (2, 4)
    assert np.abs(vectors - model.encode_scans(volumes)).max() <= 1e-5


def test_saving_a_loaded_model_keeps_its_fingerprint(toy_folder: Path, tmp_path: Path) -> None:
    first = DualEncoder.load(toy_folder)
    second = DualEncoder.load(first.save(tmp_path / "copy"))
    assert second.fingerprint == first.fingerprint


def copy_of(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_one_changed_weight_is_noticed(small_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(small_folder, tmp_path / "model")
    weights = load_file(folder / "weights.safetensors")
    weights["logit_scale"] = weights["logit_scale"] + 1e-3
    save_file(weights, folder / "weights.safetensors")
    model = DualEncoder.load(folder)
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        model.image_side()
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        _ = model.logit_scale
    with pytest.raises(ModelError, match=r"weights\.safetensors"):
        model.save(tmp_path / "copy")


@pytest.mark.parametrize(("name", "act"), [("image", "encode_scans"), ("text", "encode_notes")])
def test_one_changed_byte_of_a_side_is_never_run(
    small_folder: Path, tmp_path: Path, name: str, act: str
) -> None:
    folder = copy_of(small_folder, tmp_path / "model")
    data = bytearray((folder / f"{name}.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / f"{name}.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name}\.onnx"):
        getattr(DualEncoder.load(folder), act)(scans() if name == "image" else TEXTS)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokens.json"])
def test_one_changed_byte_is_noticed(small_folder: Path, tmp_path: Path, name: str) -> None:
    folder = copy_of(small_folder, tmp_path / "model")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=name):
        DualEncoder.load(folder)


@pytest.mark.parametrize(
    "name", ["tokens.json", "tokenizer.json", "image.onnx", "text.onnx", "weights.safetensors"]
)
def test_a_missing_file_is_noticed(small_folder: Path, tmp_path: Path, name: str) -> None:
    folder = copy_of(small_folder, tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        DualEncoder.load(folder)


@pytest.mark.parametrize(
    ("part", "key", "value"), [("preprocess", "mean", 0.4), ("architecture", "dimensions", 3)]
)
def test_changed_settings_are_noticed(
    small_folder: Path, tmp_path: Path, part: str, key: str, value: object
) -> None:
    folder = copy_of(small_folder, tmp_path / "model")
    about = json.loads((folder / "model.json").read_text())
    about[part][key] = value
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match=r"model\.json"):
        DualEncoder.load(folder)


def test_other_code_gives_another_fingerprint(
    small_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medembed.model.model_files.MODEL_VERSION", 99)
    with pytest.raises(ModelError):
        DualEncoder.load(small_folder)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"format": 1}'])
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        DualEncoder.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_damaged_account_of_the_training_is_one_line(toy_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(toy_folder, tmp_path / "model")
    assert DualEncoder.load(folder).training == {}
    (folder / "training.json").write_text('{"epochs": 3}')
    assert DualEncoder.load(folder).training == {"epochs": 3}
    for content in (b"{", b"[1]", b"\xff"):
        (folder / "training.json").write_bytes(content)
        with pytest.raises(ModelError, match=r"training\.json cannot be read"):
            DualEncoder.load(folder)


def test_a_folder_of_other_things_is_not_overwritten(toy: DualEncoder, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelError):
        toy.save(tmp_path)
    assert (tmp_path / "thesis.txt").is_file()


def test_no_file_of_a_folder_is_a_pickle(small_folder: Path) -> None:
    for file in small_folder.iterdir():
        assert file.suffix in (".json", ".safetensors", ".onnx")
        assert not file.read_bytes().startswith((b"\x80", b"PK"))
