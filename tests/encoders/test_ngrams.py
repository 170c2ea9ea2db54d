"""The n-gram text encoder: what it sees of order, padding, and a model that keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_pairs import write_library

from medembed.config import load_config
from medembed.encoders.ngrams import NgramText
from medembed.errors import ConfigError
from medembed.model import DualEncoder
from medembed.training import train


@pytest.fixture
def encoder() -> NgramText:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NgramText(20, 16, 64).eval()


def features(encoder: NgramText, *texts: list[int]) -> torch.Tensor:
    length = max(map(len, texts))
    ids = torch.tensor([[*text, *[0] * (length - len(text))] for text in texts])
    mask = torch.tensor([[1] * len(text) + [0] * (length - len(text)) for text in texts])
    with torch.no_grad():
        return encoder(ids, mask)


def test_padding_changes_nothing(encoder: NgramText) -> None:
    alone = [features(encoder, text)[0] for text in ([5], [5, 6], [5, 6, 7, 8])]
    padded = features(encoder, [5], [5, 6], [5, 6, 7, 8], [9] * 11)
    torch.testing.assert_close(padded[:3], torch.stack(alone))


def test_it_tells_apart_texts_of_the_same_words(encoder: NgramText) -> None:
    # "right effusion, left nodule" and "left effusion, right nodule"
    one, other = features(encoder, [3, 10, 4, 11], [4, 10, 3, 11])
    assert (one - other).abs().max() > 0.1


def test_a_model_with_it_is_kept_and_serves_the_same(tmp_path: Path) -> None:
    options = ["text.encoder=ngrams", "text.options={vocabulary: 60, width: 8, buckets: 32}"]
    config = load_config("toy", [*options, "epochs=2"])
    with write_library(tmp_path / "library", 30) as library:
        report = train(library, config)
    model = DualEncoder.load(report.folder)
    assert "torch" not in " ".join(report.remarks)  # both sides were exported
    texts = ["left nodule", "nodule", "No left pleural effusion at the base. " * 40]
    served = model.encode_notes(texts)
    one_by_one = np.concatenate([model.encode_notes([text]) for text in texts])
    np.testing.assert_allclose(served, one_by_one, atol=1e-5)
    ids, mask = model.tokens(texts)
    with torch.no_grad():
        rows = model.text_side()(torch.from_numpy(ids), torch.from_numpy(mask))
    rows = torch.nn.functional.normalize(rows, dim=-1).numpy()
    np.testing.assert_allclose(served, rows, atol=1e-4)


def test_it_needs_notes() -> None:
    from medembed.encoders.ngrams import NGRAMS

    with pytest.raises(ConfigError, match="vocabulary"):
        NGRAMS.build(NGRAMS.options(), 64, [])
