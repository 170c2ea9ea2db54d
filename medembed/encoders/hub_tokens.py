"""The tokenizer of a checkpoint, read by transformers and kept as ``tokenizer.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medembed.encoders.siglip_tokenizer import siglip_tokenizer
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
    tokenizer, backend, expected = _read(checkpoint)
    backend.no_padding()
    backend.no_truncation()
    if expected is not None and backend.encode(_PROBE).ids != expected:
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


def _read(checkpoint: Checkpoint) -> tuple[Any, Any, list[int] | None]:
    """Return the tokenizer, its fast form, and what it makes of a probe if it has no other."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    about = checkpoint.read_json("tokenizer_config.json") or {}
    has_fast = checkpoint.has("tokenizer.json")
    is_siglip = about.get("tokenizer_class") == "SiglipTokenizer"
    hint = "give its tokenizer.json"
    if not (has_fast or checkpoint.has("vocab.txt") or checkpoint.has("vocab.json")):
        hint = (
            "install sentencepiece once and save it with AutoTokenizer, which writes tokenizer.json"
        )
    try:
        with quiet():
            if is_siglip:  # transformers has it in Python alone
                given = (
                    {"tokenizer_file": str(checkpoint.folder / "tokenizer.json")}
                    if has_fast
                    else {"tokenizer_object": siglip_tokenizer(checkpoint, about)}
                )
                names = about.get("model_input_names", ["input_ids", "attention_mask"])
                tokenizer = PreTrainedTokenizerFast(
                    **given,
                    pad_token=_plain(about.get("pad_token")) or "</s>",
                    model_max_length=about.get("model_max_length", 64),
                    padding_side=about.get("padding_side", "right"),
                    model_input_names=names,
                )
                return tokenizer, tokenizer.backend_tokenizer, None
            try:
                tokenizer = AutoTokenizer.from_pretrained(
                    checkpoint.folder, trust_remote_code=False, local_files_only=True
                )
            except Exception:
                if not has_fast:
                    raise
                # its class needs a package or a version that is not there; the file does not
                tokenizer = PreTrainedTokenizerFast.from_pretrained(
                    checkpoint.folder, local_files_only=True
                )
            backend = getattr(tokenizer, "backend_tokenizer", None)
            if backend is None or not backend.get_vocab_size():
                raise ValueError("no fast tokenizer")
            return tokenizer, backend, list(tokenizer(_PROBE)["input_ids"])
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises plain exceptions for a file it cannot read
        raise ModelError(
            "its tokenizer cannot be read", where=checkpoint.name, hint=hint
        ) from error


def _plain(token: Any) -> str | None:
    """Return the text of a token, which older files wrap."""
    return token.get("content") if isinstance(token, dict) else token


def _lowered(backend: Any) -> Any:
    from tokenizers.normalizers import Lowercase, Sequence

    before = backend.normalizer
    backend.normalizer = Sequence([Lowercase(), *([] if before is None else [before])])
    return backend
