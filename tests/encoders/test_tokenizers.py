"""Text becomes the ids that it should, and the same ones each time."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medembed.encoders.tokenizers import LetterTokens, WordPieceTokens, read_tokens
from medembed.encoders.wordpiece import learn_wordpiece
from medembed.errors import ModelError

NOTES = [
    f"Right pleural effusion of {n} mm. No pneumothorax. Reported by Dr Quixwold{n}."
    for n in range(30)
]


def test_the_same_notes_teach_the_same_vocabulary() -> None:
    first = learn_wordpiece(NOTES, 300, 5, 32)
    assert first.files() == learn_wordpiece(NOTES, 300, 5, 32).files()


def test_a_word_of_one_note_is_no_piece_however_often_it_stands_there() -> None:
    notes = [*NOTES, "Zebrafinch " * 50]
    tokens = learn_wordpiece(notes, 500, 5, 32)
    vocabulary = json.loads(tokens.files()["tokenizer.json"])["model"]["vocab"]
    assert "effusion" in vocabulary
    assert "zebrafinch" not in vocabulary


def test_long_texts_are_cut_and_short_ones_masked() -> None:
    tokens = learn_wordpiece(NOTES, 300, 5, 12)
    ids, mask = tokens(["right effusion", "right effusion " * 40])
    assert ids.shape == mask.shape == (2, 12)
    assert mask[1].all()
    assert mask[0].sum() == 4  # [CLS] right effusion [SEP]
    assert (ids[0][mask[0] == 0] == tokens.pad_id).all()


def test_padding_to_a_length_changes_no_id() -> None:
    tokens = learn_wordpiece(NOTES, 300, 5, 12)
    short, _ = tokens(["right effusion"])
    padded, mask = tokens(["right effusion"], 12)
    assert padded.shape == (1, 12)
    assert np.array_equal(padded[mask == 1], short[0])


@pytest.mark.parametrize("tokens", [LetterTokens(5, 7), learn_wordpiece(NOTES, 200, 5, 16)])
def test_tokens_survive_their_files(tokens: LetterTokens | WordPieceTokens) -> None:
    again = read_tokens(tokens.files())
    for a, b in zip(tokens(NOTES[:3]), again(NOTES[:3]), strict=True):
        assert np.array_equal(a, b)
    assert again.max_length == tokens.max_length


@pytest.mark.parametrize(
    "files", [{}, {"tokens.json": b"{"}, {"tokens.json": b'{"kind": "pickle"}'}]
)
def test_a_broken_tokenizer_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(ModelError):
        read_tokens(files)
