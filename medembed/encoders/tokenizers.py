"""Turn text into token ids without importing transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from medembed.errors import ModelError

__all__ = ["LetterTokens", "Tokens", "WordPieceTokens", "read_tokens"]

TokenArrays = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Tokens(Protocol):
    """Turn texts into ids and a mask of ones and zeros, both int64 ``(n, t)``."""

    max_length: int

    def __call__(self, texts: Sequence[str], length: int | None = None) -> TokenArrays:
        """Encode texts, padded to ``length`` or to the longest of the batch."""
        ...

    def files(self) -> dict[str, bytes]:
        """Files that a model folder keeps of the tokenizer, by name."""
        ...


def _stack(rows: list[list[int]], pad: int, length: int | None, left: bool = False) -> TokenArrays:
    width = length or max((len(row) for row in rows), default=1)
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(len(row))
        ids[i, place] = row
        mask[i, place] = 1
    return ids, mask


_USUAL: dict[str, Any] = {
    "prompt": "", "pad_to": 0, "pad_side": "right", "masked": True, "keep_spaces": False,
    "cut": "right",
}  # fmt: skip


class WordPieceTokens:
    """A tokenizer of the ``tokenizers`` library, read from its JSON.

    Parameters
    ----------
    text : str
        ``tokenizer.json``.
    max_length : int
        Longer texts are truncated before the closing special token.
    pad : str
        The padding token; the vocabulary must contain it.
    prompt : str
        Put before every text.
    pad_to : int
        Tokens to which every text is padded, for encoders that were trained so; 0 pads to the
        longest of a batch.
    pad_side : {"right", "left"}
        Where padding goes; it matters only to encoders that read it.
    masked : bool
        Whether padding is masked. Some encoders read it as if it were text.
    keep_spaces : bool
        Leave spaces and line breaks as they are, which some tokenizers tell apart.
    cut : {"right", "left"}
        The end of a long text that is left out.
    """

    def __init__(
        self,
        text: str,
        max_length: int,
        pad: str = "[PAD]",
        *,
        prompt: str = "",
        pad_to: int = 0,
        pad_side: str = "right",
        masked: bool = True,
        keep_spaces: bool = False,
        cut: str = "right",
    ) -> None:
        from tokenizers import Tokenizer

        self.max_length = max_length
        self.pad = pad
        self.prompt = prompt
        self.pad_to = pad_to
        self.pad_side = pad_side
        self.masked = masked
        self.keep_spaces = keep_spaces
        self.cut = cut
        self._text = text
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length, direction=cut)
        pad_id = self._tokenizer.token_to_id(pad)
        if pad_id is None:
            raise ModelError(f"the tokenizer has no token {pad!r}")
        self._pad_id = int(pad_id)

    @property
    def size(self) -> int:
        """Number of tokens in the vocabulary."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def pad_id(self) -> int:
        """Id of the padding token."""
        return self._pad_id

    def __call__(self, texts: Sequence[str], length: int | None = None) -> TokenArrays:
        """Encode ``texts``; see :class:`Tokens`."""
        kept = texts if self.keep_spaces else [" ".join(text.split()) for text in texts]
        encoded = self._tokenizer.encode_batch([self.prompt + text for text in kept])
        rows = [e.ids or [self._pad_id] for e in encoded]  # nothing of the text may be known
        ids, mask = _stack(rows, self._pad_id, self.pad_to or length, self.pad_side == "left")
        return ids, mask if self.masked else np.ones_like(mask)

    def files(self) -> dict[str, bytes]:
        """``tokenizer.json`` and ``tokens.json``."""
        about: dict[str, Any] = {
            "kind": "tokenizers", "max_length": self.max_length, "pad": self.pad,
        }  # fmt: skip
        about |= {  # only what differs, so that models from before keep their fingerprint
            name: getattr(self, name)
            for name, usual in _USUAL.items()
            if getattr(self, name) != usual
        }
        return {"tokenizer.json": self._text.encode(), "tokens.json": json.dumps(about).encode()}


class LetterTokens:
    """The toy model's tokenizer: a word's id is its number of letters modulo ``width``.

    Examples
    --------
    >>> ids, mask = LetterTokens(width=4)(["left effusion", "a"])
    >>> ids.tolist(), mask.tolist()
    ([[0, 0], [1, 0]], [[1, 1], [1, 0]])
    """

    def __init__(self, width: int = 4, max_length: int = 64) -> None:
        self.width = width
        self.max_length = max_length

    def __call__(self, texts: Sequence[str], length: int | None = None) -> TokenArrays:
        """Encode ``texts``; see :class:`Tokens`."""
        rows = [
            [len(word) % self.width for word in re.findall(r"[a-z]+", text.lower())]
            for text in texts
        ]
        return _stack([row[: self.max_length] or [0] for row in rows], 0, length)

    def files(self) -> dict[str, bytes]:
        """``tokens.json``."""
        about = {"kind": "letters", "width": self.width, "max_length": self.max_length}
        return {"tokens.json": json.dumps(about).encode()}


def read_tokens(files: Mapping[str, bytes]) -> Tokens:
    """Read the files that :meth:`Tokens.files` returned.

    Raises
    ------
    ModelError
        If they are incomplete or of an unknown kind.
    """
    try:
        about: dict[str, Any] = json.loads(files["tokens.json"])
        if about["kind"] == "letters":
            return LetterTokens(int(about["width"]), int(about["max_length"]))
        if about["kind"] == "tokenizers":
            text = files["tokenizer.json"].decode()
            further = {name: about[name] for name in _USUAL if name in about}
            return WordPieceTokens(text, int(about["max_length"]), str(about["pad"]), **further)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError("the model's tokenizer cannot be read") from error
    raise ModelError("the model's tokenizer is of an unknown kind")
