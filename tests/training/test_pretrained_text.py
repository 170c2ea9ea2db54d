"""A pretrained text encoder is trained, saved, loaded and used; a bad one stops nothing midway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from support.small_pairs import note_of, small_config, write_library
from support.tiny_encoders import SMALL, save, unigram, wordpiece

from medembed.errors import MedEmbedError, ModelError
from medembed.model import DualEncoder, embed_library
from medembed.training import prepare, train


def t5(folder: Path) -> Path:
    unigram(folder)
    config = transformers.T5Config(
        vocab_size=95, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    save(transformers.T5ForConditionalGeneration(config), folder)
    return folder


def bert(folder: Path) -> Path:
    wordpiece(folder)
    config = transformers.BertConfig(vocab_size=90, max_position_embeddings=40, **SMALL)
    save(transformers.BertModel(config), folder)
    return folder


def config_of(folder: Path, **more: Any) -> Any:
    text = {"encoder": "hub", "max_length": 32, "options": {"source": str(folder)}, **more}
    return small_config(epochs=1, text=text)


@pytest.mark.usefixtures("bare_models")
@pytest.mark.parametrize(("make", "frozen"), [(t5, False), (bert, True)])
def test_it_is_trained_saved_and_used_and_its_folder_names_no_place(
    tmp_path: Path, make: Any, frozen: bool
) -> None:
    library = write_library(tmp_path)
    report = train(library, config_of(make(tmp_path / "encoder"), frozen=frozen))
    model = DualEncoder.load(report.folder)
    assert embed_library(library, model).notes == 48
    vectors = model.encode_notes([note_of("nodule", "left", 1), "effusion"])
    assert np.isfinite(vectors).all()
    for file in Path(report.folder).iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name
    assert model.training["config"]["text"]["options"]["source"] == "encoder"
    assert train(library, config_of(tmp_path / "encoder", frozen=frozen)).unchanged


@pytest.mark.parametrize("step", [prepare, train])
def test_an_encoder_that_cannot_be_loaded_stops_it_before_an_image_is_decoded(
    tmp_path: Path, step: Any
) -> None:
    library = write_library(tmp_path)
    folder = bert(tmp_path / "encoder")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        step(library, config_of(folder))
    with pytest.raises(MedEmbedError, match="projection kind none needs"):
        step(library, small_config(projection={"dim": 7, "kind": "none"}))
    assert not [path for path in library.path.rglob("pixels-*") if path.stat().st_size]
    assert not list((library.path / "models").glob("*"))
