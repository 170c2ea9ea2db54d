"""SigLIP's sentencepiece model gives the ids of transformers; golden/make_siglip_tokenizer.py."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from medembed.encoders.checkpoint import open_checkpoint
from medembed.encoders.hub_tokens import read_tokenizer
from medembed.encoders.tokenizers import read_tokens
from medembed.errors import ModelError

GOLDEN = Path(__file__).parent / "golden" / "siglip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files as published for SigLIP and MedSigLIP, without tokenizer.json."""
    model = gzip.decompress((GOLDEN / "spiece.model.gz").read_bytes())
    (tmp_path / "spiece.model").write_bytes(model)
    about = {
        "tokenizer_class": "SiglipTokenizer",
        "pad_token": {"content": "</s>", "__type": "AddedToken"},
        "eos_token": "</s>",
        "model_max_length": 64,
        "do_lower_case": True,
        "model_input_names": ["input_ids"],
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(about))
    return tmp_path


def test_ids_are_those_of_transformers_with_sentencepiece(folder: Path) -> None:
    golden = json.loads((GOLDEN / "ids.json").read_text())
    tokenizer = read_tokenizer(open_checkpoint(str(folder)))
    assert (tokenizer.limit, tokenizer.pad, tokenizer.masked) == (64, "</s>", False)
    tokens = tokenizer.tokens(64, pad_to=64)
    for each in (tokens, read_tokens(tokens.files())):
        ids, mask = each(golden["texts"])
        assert ids.shape == (len(golden["texts"]), 64)
        assert mask.all()  # SigLIP reads its padding
        for row, expected in zip(ids.tolist(), golden["ids"], strict=True):
            assert row == expected + [1] * (64 - len(expected))


def test_a_tokenizer_json_beside_it_is_preferred(folder: Path) -> None:
    first = read_tokenizer(open_checkpoint(str(folder)))
    (folder / "tokenizer.json").write_text(first.text)
    (folder / "spiece.model").write_bytes(b"damaged")
    again = read_tokenizer(open_checkpoint(str(folder))).tokens(64)
    for a, b in zip(again(["Left nodule."]), first.tokens(64)(["Left nodule."]), strict=True):
        assert (a == b).all()


def test_a_damaged_model_is_refused(folder: Path) -> None:
    (folder / "spiece.model").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ModelError, match=r"spiece\.model cannot be read"):
        read_tokenizer(open_checkpoint(str(folder)))
