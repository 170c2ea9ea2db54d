"""An int8 variant is a model of its own, and its loss is measured, not promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import write_library

from medembed.errors import ModelError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup, Region
from medembed.model import DualEncoder, embed_library
from medembed.model.activation import activate
from medembed.model.int8 import Int8Loss, make_int8, measure_int8_loss


@pytest.fixture(scope="module")
def library(small: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseLibrary]:
    with write_library(tmp_path_factory.mktemp("int8"), 14) as library:
        small.save(library.path / "models" / "small")
        activate(library, "small")
        embed_library(library, DualEncoder.load(library.path / "models" / "small"))
        yield library


@pytest.fixture(scope="module")
def int8(library: CaseLibrary) -> DualEncoder:
    return make_int8(library, DualEncoder.load(library.path / "models" / "small"), "small")


def test_it_has_a_fingerprint_and_vectors_of_its_own(
    library: CaseLibrary, small: DualEncoder, int8: DualEncoder
) -> None:
    assert int8.precision == "int8"
    assert int8.made_from == small.fingerprint != int8.fingerprint
    assert int8.logit_scale == pytest.approx(small.logit_scale)
    texts = ["right pleural effusion", "nodule", "No pneumothorax. " * 5]
    exact, rounded = small.encode_notes(texts), int8.encode_notes(texts)
    assert not np.array_equal(exact, rounded)
    assert (exact * rounded).sum(axis=1).min() > 0.9
    report = embed_library(library, int8, make_active=False)
    assert (report.images, report.notes, report.activated) == (14, 14, False)
    assert library.active_model == "small"
    loss = measure_int8_loss(library, small.fingerprint, int8.fingerprint)
    assert (loss.n_cases, loss.n_queries, loss.n_pairs) == (14, 14, 14)
    assert loss.overlap_at_10 is not None
    assert 0.5 < loss.overlap_at_10 <= 1


def test_made_again_it_is_the_one_that_is_there(library: CaseLibrary, int8: DualEncoder) -> None:
    source = DualEncoder.load(library.path / "models" / "small")
    before = (library.path / "models" / "small-int8" / "model.json").stat().st_mtime_ns
    assert make_int8(library, source, "small").fingerprint == int8.fingerprint
    assert (library.path / "models" / "small-int8" / "model.json").stat().st_mtime_ns == before


def test_its_onnx_files_belong_to_its_fingerprint(int8: DualEncoder, tmp_path: Path) -> None:
    import hashlib
    import json

    folder = int8.save(tmp_path / "copy")
    assert DualEncoder.load(folder).fingerprint == int8.fingerprint
    about = json.loads((folder / "model.json").read_text())
    about["digests"]["text.onnx"] = hashlib.sha256(b"").hexdigest()
    (folder / "model.json").write_text(json.dumps(about))
    (folder / "text.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model\.json"):
        DualEncoder.load(folder)


def test_it_cannot_be_trained_further_or_quantized_again(
    library: CaseLibrary, int8: DualEncoder
) -> None:
    with pytest.raises(ModelError, match="int8"):
        int8.text_side()
    with pytest.raises(ModelError, match="already"):
        make_int8(library, int8, "small-int8")


def test_a_model_that_runs_in_torch_has_none(
    library: CaseLibrary, small: DualEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="runs in torch"):
        make_int8(library, DualEncoder.load(Path(__file__).with_name("format_1")), "old")


def test_the_loss_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def rows(n: int) -> np.ndarray:
        drawn = rng.normal(size=(n, 6)).astype(np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    with write_library(tmp_path, 30) as library:
        names = library.find()
        sets = {(f, kind): rows(30) for f in ("a" * 64, "b" * 64) for kind in ("image", "note")}
        sets["b" * 64, "image"][:] = sets["a" * 64, "image"] + 0.3 * rows(30)
        sets["b" * 64, "image"] /= np.linalg.norm(sets["b" * 64, "image"], axis=1, keepdims=True)
        for (fingerprint, kind), vectors in sets.items():
            library.put_vectors(fingerprint, kind, names, vectors)
        loss = measure_int8_loss(library, "a" * 64, "b" * 64)
        place = {name: at for at, name in enumerate(names)}
        order = [place[name] for name in library.vectors("a" * 64, "image")[0]]
        assert order == list(range(30))

    def nearest(fingerprint: str, kind: str, at: int, without: int | None) -> list[int]:
        gallery = sets[fingerprint, "image"]
        scores = [float(sets[fingerprint, kind][at] @ row) for row in gallery]
        ranked = sorted(range(30), key=lambda i: -scores[i])
        return [i for i in ranked if i != without][:10]

    shared = [
        len(set(nearest("a" * 64, "image", at, at)) & set(nearest("b" * 64, "image", at, at)))
        for at in range(30)
    ]
    recall = {
        f: np.mean([at in nearest(f * 64, "note", at, None) for at in range(30)]) for f in "ab"
    }
    expected = Int8Loss(30, 30, sum(shared) / 300, 30, float(recall["a"]), float(recall["b"]))
    assert loss == expected
    assert 0.3 < sum(shared) / 300 < 1


def test_nothing_is_said_of_a_library_that_is_too_small(tmp_path: Path) -> None:
    with write_library(tmp_path, 4) as library:
        assert measure_int8_loss(library, "a", "b") == Int8Loss(0)


def test_a_marked_region_is_encoded_by_the_variant(
    library: CaseLibrary, small: DualEncoder, int8: DualEncoder
) -> None:
    embed_library(library, int8, make_active=False)
    name = library.find()[0]
    found = []
    for model in (small.fingerprint, int8.fingerprint):
        with CaseLookup(library, model) as lookup:
            result = lookup.search(case=name, region=Region(0.1, 0.2, 0.7, 0.6), k=5)
            assert result.fingerprint == model
            assert len(result) == 5
            found.append(result.parts["case"])
    assert float(found[0] @ found[1]) > 0.7
    assert not np.array_equal(*found)
