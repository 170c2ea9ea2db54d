"""SigLIP's tokenizer (``spiece.model``) as ``tokenizer.json``, without the sentencepiece package.

Before sentencepiece's own normalization a text is lower-cased, its ASCII punctuation removed and
its spaces joined; transformers does that in Python, so that the tokenizer of SigLIP and MedSigLIP
has no fast form of its own.

References
----------
Zhai et al. 2023, Sigmoid Loss for Language Image Pre-Training; big_vision, ``canonicalize_text``.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any

from medembed.errors import ModelError

if TYPE_CHECKING:
    from medembed.encoders.checkpoint import Checkpoint

__all__ = ["siglip_tokenizer"]

_UNIGRAM = 1  # ModelProto.TrainerSpec.model_type


def siglip_tokenizer(checkpoint: Checkpoint, about: dict[str, Any]) -> Any:
    """Convert ``spiece.model``.

    Parameters
    ----------
    checkpoint : Checkpoint
    about : dict
        Content of ``tokenizer_config.json``.

    Returns
    -------
    tokenizers.Tokenizer

    Raises
    ------
    ModelError
        If it is damaged or no unigram model.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers.convert_slow_tokenizer import import_protobuf

    name = "spiece.model"
    proto = import_protobuf().ModelProto()
    try:
        proto.ParseFromString((checkpoint.folder / name).read_bytes())
        pieces = [(piece.piece, piece.score) for piece in proto.pieces]
        if proto.trainer_spec.model_type != _UNIGRAM:
            raise ValueError("not a unigram model")
        backend = Tokenizer(models.Unigram(pieces, proto.trainer_spec.unk_id, byte_fallback=False))
    except Exception as error:  # protobuf and tokenizers raise plain exceptions
        raise ModelError(f"{name} cannot be read", where=checkpoint.name) from error
    steps: list[Any] = [normalizers.Lowercase()] if about.get("do_lower_case", True) else []
    steps += [
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
    ]
    if proto.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    steps += [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    backend.normalizer = normalizers.Sequence(steps)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    end = str(about.get("eos_token") or "</s>")
    end_id = backend.token_to_id(end)
    if end_id is None:
        raise ModelError(f"{name} has no token {end!r}", where=checkpoint.name)
    backend.add_special_tokens([AddedToken(end, normalized=False)])
    backend.post_processor = TemplateProcessing(single=f"$A {end}", special_tokens=[(end, end_id)])
    return backend
