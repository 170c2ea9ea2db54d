"""What a sentence-transformers folder does after its encoder: ``modules.json`` and its parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medembed.encoders.pooled_head import ACTIVATIONS
from medembed.errors import ModelError

if TYPE_CHECKING:
    import torch

    from medembed.encoders.checkpoint import Checkpoint

__all__ = ["SentenceFolder", "read_sentence_folder"]

_MODES = {
    "cls": "cls",
    "lasttoken": "last",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
}
_OLD_MODES = {  # of versions before 5.4
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
_ENCODER_KEYS = (
    "max_seq_length", "do_lower_case", "transformer_task", "modality_config",
    "module_output_name", "unpad_inputs",
)  # fmt: skip


@dataclass(frozen=True)
class SentenceFolder:
    """The parts of a sentence-transformers folder.

    Parameters
    ----------
    encoder : Checkpoint
        Folder of the transformers encoder.
    pooling : str or None
        As :class:`medembed.encoders.transformer_text.TransformerText` names it; None is the
        encoder's own.
    head : list of dict
        Layers after the pooling.
    weights : dict of str to Tensor
        Of those layers.
    max_length : int or None
    lower : bool
        Whether texts are lower-cased first.
    prompts : dict of str to str
    default_prompt : str
        Put before every text unless another is chosen.
    """

    encoder: Checkpoint
    pooling: str | None = None
    head: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    max_length: int | None = None
    lower: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str = ""
    includes_prompt: bool = True


def read_sentence_folder(checkpoint: Checkpoint) -> SentenceFolder | None:
    """Read ``modules.json`` and what it names.

    Returns
    -------
    SentenceFolder or None
        None if the folder is none of sentence-transformers.

    Raises
    ------
    ModelError
        If it has a module or a setting that cannot be honored.
    """
    modules = checkpoint.read_json("modules.json")
    if modules is None:
        return None
    try:
        named = [(str(each["type"]).rsplit(".", 1)[-1], str(each["path"])) for each in modules]
        kinds = [kind for kind, _ in named]
        foreign = [
            str(each["type"])
            for each in modules
            if not str(each["type"]).startswith("sentence_transformers.")
        ]
        if foreign:
            raise ModelError(
                f"its module {foreign[0]} is defined by its own code, which is not run",
                where=checkpoint.name,
            )
        if kinds == ["CLIPModel"]:
            return SentenceFolder(checkpoint.part(named[0][1]))
        if not named or kinds[0] != "Transformer":
            raise _refusal(checkpoint, kinds[0] if kinds else "none")
        encoder = checkpoint.part(named[0][1])
        about = _encoder_settings(encoder)
        pooling, includes_prompt = None, True
        head: list[dict[str, Any]] = []
        weights: dict[str, torch.Tensor] = {}
        for kind, path in named[1:]:
            part = checkpoint.part(path)
            if kind == "Pooling" and pooling is None and not head:
                pooling, includes_prompt = _pooling(part)
            elif kind in ("Dense", "LayerNorm", "Normalize") and pooling is not None:
                spec = _layer(kind, part)
                if kind != "Normalize":
                    tensors = part.tensors()
                    weights |= {f"{len(head)}.{key}": value for key, value in tensors.items()}
                head.append(spec)
            elif kind != "Dropout":  # which does nothing when a text is encoded
                raise _refusal(checkpoint, kind)
        prompts = checkpoint.read_json("config_sentence_transformers.json") or {}
        known = {str(k): str(v) for k, v in (prompts.get("prompts") or {}).items()}
        default = prompts.get("default_prompt_name")
        return SentenceFolder(
            encoder, pooling, head, weights,
            int(about["max_seq_length"]) if about.get("max_seq_length") else None,
            bool(about.get("do_lower_case")), known,
            known[default] if default is not None else "", includes_prompt,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            "its modules.json, or a file that it names, is not valid", where=checkpoint.name
        ) from error


def _refusal(checkpoint: Checkpoint, kind: str) -> ModelError:
    return ModelError(
        f"its module {kind} of sentence-transformers is not supported here",
        where=checkpoint.name,
        hint="supported are Transformer, Pooling, Dense, LayerNorm, Normalize and CLIPModel",
    )


def _encoder_settings(encoder: Checkpoint) -> dict[str, Any]:
    about: dict[str, Any] = encoder.read_json("sentence_bert_config.json") or {}
    strange = {
        key: value
        for key, value in about.items()
        if key not in _ENCODER_KEYS and value not in (None, {}, [], False)
    }
    if about.get("transformer_task", "feature-extraction") != "feature-extraction":
        strange["transformer_task"] = about["transformer_task"]
    text = (about.get("modality_config") or {}).get("text") or {}
    if text.get("method_output_name", "last_hidden_state") != "last_hidden_state":
        strange["modality_config"] = text
    if strange:
        raise ModelError(
            f"its setting {min(strange)} of sentence-transformers is not supported here",
            where=encoder.name,
        )
    return about


def _pooling(part: Checkpoint) -> tuple[str, bool]:
    about = part.config
    if "pooling_mode" in about:
        stated = about["pooling_mode"]
        modes = [_MODES[each] for each in ([stated] if isinstance(stated, str) else stated)]
    else:
        modes = [mode for key, mode in _OLD_MODES.items() if about.get(key)]
    if not modes:
        raise ModelError("its 1_Pooling names no way to pool", where=part.name)
    return "+".join(modes), bool(about.get("include_prompt", True))


def _layer(kind: str, part: Checkpoint) -> dict[str, Any]:
    about = part.config
    names = {about.get("module_input_name"), about.get("module_output_name")}
    if names - {None, "sentence_embedding"}:
        raise ModelError(f"its module {kind} does not work on the pooled vector", where=part.name)
    if kind == "Normalize":
        return {"kind": "unit"}
    if kind == "LayerNorm":
        return {"kind": "layer_norm", "in": int(about["dimension"])}
    activation = str(about.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rsplit(".", 1)[-1]
    if not activation.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise ModelError(f"the activation {name} of its Dense is not known", where=part.name)
    return {
        "kind": "dense",
        "in": int(about["in_features"]),
        "out": int(about["out_features"]),
        "bias": bool(about.get("bias", True)),
        "activation": name,
        "residual": bool(about.get("use_residual", False)),
    }
