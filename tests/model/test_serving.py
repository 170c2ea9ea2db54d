"""A saved model encodes on ONNX Runtime, the same as in torch, and says where it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_pairs import write_library
from torch import nn

from medembed.encoders import IMAGE_ENCODERS
from medembed.encoders.settings import ImageSettings, TextSettings
from medembed.encoders.tokenizers import LetterTokens
from medembed.encoders.transformer_text import TransformerText
from medembed.errors import ModelError
from medembed.index import open_index
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library, toy_model
from medembed.model.activation import activate
from medembed.model.mean_vectors import unit_rows
from medembed.model.onnx_export import TOLERANCE, export_image_side, export_text_side
from medembed.model.onnx_side import OUTPUT, OnnxSide, OutputName, default_threads, usable_cores
from medembed.model.torch_side import TorchSide
from medembed.model.towers import ImageSide, ProjectionSettings, TextSide, build_towers
from medembed.preprocess import Preprocess
from medembed.scans import Scan

ENCODERS = [
    ("resnet10", 2, {"widths": [4, 4, 8, 8]}),
    ("resnet10", 3, {"widths": [4, 4, 8, 8]}),
    pytest.param("densenet121", 2, {"init_features": 4, "growth_rate": 4}, marks=pytest.mark.slow),
    pytest.param("densenet121", 3, {"init_features": 4, "growth_rate": 4}, marks=pytest.mark.slow),
    ("vit", 2, {"patch": 8, "width": 16, "depth": 1, "heads": 2}),
    pytest.param(
        "vit", 3, {"patch": 8, "width": 16, "depth": 1, "heads": 2}, marks=pytest.mark.slow
    ),
    pytest.param("efficientnet-lite0", 2, {"stride": 8}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("encoder", "dimensions", "options"), ENCODERS)
def test_an_image_side_gives_the_same_vectors_for_any_number_of_images(
    encoder: str, dimensions: int, options: dict[str, object]
) -> None:
    entry = IMAGE_ENCODERS[encoder]
    size = (32,) * dimensions
    settings = ImageSettings(
        encoder=encoder, pooling="grid", grid=3, max_pool=True, batch_norm=True
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = entry.restore(entry.options(**options), dimensions, size)
        side = ImageSide(net, settings, dimensions, ProjectionSettings(dim=8))
        with torch.no_grad():
            side(torch.randn(6, 1, *size))  # in training mode: running means that are not 0
    side.eval()
    preprocess = Preprocess(dimensions=dimensions, size=size)  # type: ignore[arg-type]
    exported = export_image_side(side, preprocess)
    assert exported.data is not None, exported.about
    assert exported.about["max_difference"] <= 1e-5
    ours, theirs = OnnxSide("image", exported.data), TorchSide(side)
    for n in (1, 5, 7):  # 5 and 7 are not among the sizes that the export checks
        pixels = np.random.default_rng(n).normal(size=(n, 1, *size)).astype(np.float32)
        assert np.abs(unit_rows(ours.run(pixels)) - unit_rows(theirs.run(pixels))).max() <= 1e-5


def text_config(kind: str) -> object:
    import transformers

    values = {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
    }
    if kind == "Qwen2":
        values["num_key_value_heads"] = 2
    return getattr(transformers, f"{kind}Config")(**values)


@pytest.mark.parametrize(
    "kind",
    [
        "Bert",
        *(
            pytest.param(kind, marks=pytest.mark.slow)
            for kind in ("Roberta", "MPNet", "DebertaV2", "Qwen2")
        ),
    ],
)
def test_a_text_side_gives_the_same_vectors_for_any_length_and_padding(kind: str) -> None:
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = AutoModel.from_config(text_config(kind))
        side = TextSide(TransformerText(net, "mean"), ProjectionSettings(dim=8)).eval()
    exported = export_text_side(side, LetterTokens(width=30, max_length=48), ["chest", "lung " * 9])
    assert exported.data is not None, exported.about
    ours, theirs = OnnxSide("text", exported.data), TorchSide(side)
    rng = np.random.default_rng(0)
    for n, length in ((1, 1), (1, 48), (3, 17), (12, 5)):
        ids = rng.integers(1, 40, (n, length))
        mask = (np.arange(length) < rng.integers(1, length + 1, (n, 1))).astype(np.int64)
        found, expected = ours.run(ids, mask), theirs.run(ids, mask)
        assert np.abs(unit_rows(found) - unit_rows(expected)).max() <= 1e-5


class Untraceable(nn.Module):
    """What it computes depends on the values, so that no graph of it can be made."""

    width = 1

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * 2.0 if float(images.sum()) > 0 else images * 1.0


def with_image_encoder(net: nn.Module) -> DualEncoder:
    towers, tokens, architecture = build_towers(
        ImageSettings(encoder="toy", pooling="grid", grid=2),
        TextSettings(encoder="toy"),
        ProjectionSettings(dim=4, kind="none"),
        dimensions=2,
        size=(32, 32),
    )
    towers.image.encoder = net
    return DualEncoder(architecture, Preprocess(size=32), tokens, towers)


def test_a_side_that_cannot_be_exported_runs_in_torch_and_says_so(tmp_path: Path) -> None:
    model = with_image_encoder(Untraceable())
    remarks = model.export()
    assert len(remarks) == 1
    assert "image side runs in torch" in remarks[0]
    assert "cannot be exported" in remarks[0]
    loaded = DualEncoder.load(model.save(tmp_path / "model"))
    assert loaded.serving["image"]["runtime"] == "torch"
    assert loaded.serving["image"]["reason"] in remarks[0]
    assert loaded.provider("image") == "torch"
    assert loaded.provider("text") == "CPUExecutionProvider"
    scan = Scan(np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32))
    assert loaded.encode_scans([scan]).shape == (1, 4)


def test_an_export_that_differs_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    run = OnnxSide.run

    def wrong(self: OnnxSide, *inputs: np.ndarray, output: OutputName = OUTPUT) -> np.ndarray:
        rows = run(self, *inputs, output=output)
        rows[-1, 0] += 10 * TOLERANCE * np.linalg.norm(rows[-1])
        return rows

    monkeypatch.setattr(OnnxSide, "run", wrong)
    model = toy_model()
    remarks = model.export()
    assert len(remarks) == 2
    assert all("differ from torch's by up to" in remark for remark in remarks)


def test_the_same_weights_have_one_fingerprint_whatever_the_exporter_writes(
    toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medembed.model.onnx_export._LARGEST", -1)  # nothing is exported
    other = DualEncoder.load(toy_model().save(tmp_path / "other"))
    known = DualEncoder.load(toy_folder)
    assert (other.provider("text"), known.provider("text")) == ("torch", "CPUExecutionProvider")
    assert other.fingerprint == known.fingerprint


def test_the_onnx_file_also_returns_the_features_of_an_image(toy_folder: Path) -> None:
    saved, side = DualEncoder.load(toy_folder), toy_model().image_side()
    pixels = np.random.default_rng(0).random((3, *saved.preprocess.shape), dtype=np.float32)
    with torch.no_grad():
        expected = side.features(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(
        saved.sides.run("image", pixels, output="features"), expected, atol=1e-5
    )


def test_two_exports_are_the_same_to_the_byte(small: DualEncoder) -> None:
    first, second = (export_text_side(small.text_side(), small.tokens) for _ in range(2))
    assert first == second
    assert first.data is not None
    assert str(Path.cwd()).encode() not in first.data  # no stack traces with paths


def test_a_training_that_replaces_the_folder_changes_nothing_of_a_loaded_model(
    small: DualEncoder, toy: DualEncoder, tmp_path: Path
) -> None:
    folder = small.save(tmp_path / "model")
    loaded = DualEncoder.load(folder)
    toy.save(folder)
    assert DualEncoder.load(folder).dim == 4
    assert np.abs(loaded.encode_notes(["a"]) - small.encode_notes(["a"])).max() <= 1e-5
    assert loaded.logit_scale == pytest.approx(small.logit_scale)


def test_a_run_takes_the_cores_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert default_threads() == usable_cores() >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert default_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "10000")
    assert default_threads() == usable_cores()
    for nonsense in ("", "0", "all"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert default_threads() == usable_cores()


def test_cuda_that_is_not_there_is_one_line(toy_folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    model = DualEncoder.load(toy_folder, device="cuda")
    with pytest.raises(ModelError, match="cuda") as caught:
        model.encode_notes(["a"])
    assert "\n" not in str(caught.value)


HEAVY = "sorted({'torch', 'monai', 'transformers', 'onnx'} & set(sys.modules))"


@pytest.fixture(scope="module")
def served(small: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose active model is a saved pair, with vectors and an index."""
    folder = tmp_path_factory.mktemp("served")
    with write_library(folder, 14) as library:
        small.save(library.path / "models" / "small")
        activate(library, "small")
        embed_library(library, DualEncoder.load(library.path / "models" / "small"))
        open_index(library, small.fingerprint)
        return library.path


@pytest.mark.parametrize(
    "words",
    [
        ["search", "{library}", "--text", "right effusion"],
        ["search", "{library}", "--image", "{library}/../scans/003-0.png"],
        ["search", "{library}", "--case", "C-001"],
        ["embed", "{library}"],
    ],
)
def test_verbs_that_serve_load_no_torch(served: Path, words: list[str]) -> None:
    with CaseLibrary.open(served) as library:
        library.drop_vectors("none")
        if words[0] == "embed":
            library.drop_vectors(library.embedding_sets()[0].fingerprint)
    given = [word.format(library=served) for word in words]
    code = (
        "import sys\n"
        "from medembed.cli import run\n"
        "try:\n    run()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print({HEAVY}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *given, "--json"], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip().splitlines()[-1] == "[]"
    answer = json.loads(done.stdout)
    assert answer["images"] == 14 if words[0] == "embed" else len(answer["hits"]) == 10


def test_a_lookup_that_searches_by_everything_loads_no_torch(served: Path) -> None:
    code = (
        "import sys\n"
        "from medembed.library import CaseLibrary\n"
        "from medembed.lookup import CaseLookup\n"
        f"with CaseLibrary.open({str(served)!r}) as library, CaseLookup(library) as lookup:\n"
        "    lookup.model.warm_up()\n"
        "    case = next(iter(library.cases()))\n"
        "    image = library.scan_files(case)[0][0]\n"
        "    parts = dict(text='left nodule', image=image, case=case.case_id)\n"
        "    assert lookup.search(**parts, where='finding=nodule').hits\n"
        f"print({HEAVY})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
