"""The tokenizer of a checkpoint, read by transformers and kept as ``tokenizer.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medembed.encoders.tokenizers import WordPieceTokens
from medembed.encoders.transformers_net import quiet
from medembed.errors import ModelError

if TYPE_CHECKING:
    from medembed.encoders.checkpoint import Checkpoint

__all__ = ["HubTokenizer", "read_tokenizer"]

_FILES = (
    "tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.model", "spm.model", "sentencepiece.model", "entity_vocab.json",
)  # fmt: skip
_PROBE = "No Pleural Effusion,  3.5 cm nodule (left).\nHeart size is normal;\n\nété Ünïcode\t&c."
_UNLIMITED = 1_000_000  # transformers writes 1e30 where there is no limit


@dataclass(frozen=True)
class HubTokenizer:
    """A checkpoint's tokenizer.

    Parameters
    ----------
    text : str
        ``tokenizer.json``.
    pad : str
        The padding token.
    limit : int or None
        Tokens that it allows.
    masked : bool
        Whether its padding is masked.
    cut : str
        The end of a long text that it leaves out.
    pad_side : str
        Where it pads. A text encoder that masks its padding gives the same vector on either side.
    size : int
        Highest id plus one.
    """

    text: str
    pad: str
    limit: int | None
    masked: bool
    cut: str
    pad_side: str
    size: int

    def tokens(self, max_length: int, *, pad_to: int = 0, prompt: str = "") -> WordPieceTokens:
        """Return it as :class:`medembed.encoders.tokenizers.Tokens`."""
        return WordPieceTokens(
            self.text,
            max_length,
            self.pad,
            prompt=prompt,
            pad_to=pad_to,
            pad_side=self.pad_side if pad_to else "right",
            masked=self.masked,
            keep_spaces=True,
            cut=self.cut,
        )


def read_tokenizer(checkpoint: Checkpoint, *, lower: bool = False) -> HubTokenizer:
    """Read the tokenizer of a checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
    lower : bool
        Lower the case of a text first.

    Raises
    ------
    ModelError
        If there is none, or it cannot be written as ``tokenizer.json``.
    """
    if not any(checkpoint.has(name) for name in _FILES):
        raise ModelError(
            "it has no tokenizer",
            where=checkpoint.name,
            hint="put its tokenizer.json beside its config.json",
        )
    from transformers import AutoTokenizer

    only_spm = not (checkpoint.has("tokenizer.json") or checkpoint.has("vocab.txt")) and not (
        checkpoint.has("vocab.json")
    )
    hint = (
        "install sentencepiece once and save it with AutoTokenizer(…).save_pretrained, which "
        "writes tokenizer.json"
        if only_spm
        else "give its tokenizer.json"
    )
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                checkpoint.folder, trust_remote_code=False, local_files_only=True
            )
            backend = getattr(tokenizer, "backend_tokenizer", None)
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise ModelError(
            "its tokenizer cannot be read", where=checkpoint.name, hint=hint
        ) from error
    except Exception as error:
        # the tokenizers library raises plain exceptions for a file that it cannot read
        raise ModelError("its tokenizer cannot be read", where=checkpoint.name) from error
    if backend is None or not backend.get_vocab_size():
        raise ModelError(
            "its tokenizer cannot be written as tokenizer.json", where=checkpoint.name, hint=hint
        )
    expected = tokenizer(_PROBE)["input_ids"]
    backend.no_padding()
    backend.no_truncation()
    if backend.encode(_PROBE).ids != list(expected):
        raise ModelError(
            "its tokenizer changes texts in a way that tokenizer.json cannot hold",
            where=checkpoint.name,
        )
    pad = tokenizer.pad_token or tokenizer.eos_token or tokenizer.unk_token
    if pad is None:  # any will do, since it is masked
        pad = backend.id_to_token(0)
    limit = int(min(tokenizer.model_max_length, _UNLIMITED))
    return HubTokenizer(
        _lowered(backend).to_str() if lower else backend.to_str(),
        str(pad),
        None if limit == _UNLIMITED else limit,
        "attention_mask" in tokenizer.model_input_names,
        tokenizer.truncation_side,
        tokenizer.padding_side,
        max(backend.get_vocab().values()) + 1,
    )


def _lowered(backend: Any) -> Any:
    from tokenizers.normalizers import Lowercase, Sequence

    before = backend.normalizer
    backend.normalizer = Sequence([Lowercase(), *([] if before is None else [before])])
    return backend
