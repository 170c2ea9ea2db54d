"""Make a network of transformers with the weights of a checkpoint, all of them accounted for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from medembed.encoders.checkpoint import refuse_keys
from medembed.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from medembed.encoders.checkpoint import Checkpoint

__all__ = ["load_net", "quiet", "read_config"]

_BUFFERS = (r"(^|\.)position_ids$", r"\.rotary_emb\.inv_freq$", r"(^|\.)num_batches_tracked$")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' tables and progress bars off the user's screen; errors say the same."""
    from transformers.utils import logging as talk

    level, bar = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity(talk.CRITICAL)
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bar:
            talk.enable_progress_bar()


def read_config(checkpoint: Checkpoint) -> Any:
    """Return the settings of the network in ``config.json``.

    Raises
    ------
    ModelError
        If there are none, transformers does not know the type, the checkpoint has its own code,
        or its weights are quantized.
    """
    values = checkpoint.config
    kind = values.get("model_type")
    if not values:
        raise ModelError(
            "it has no config.json", where=checkpoint.name, hint="give the folder that has one"
        )
    if any(name.startswith("AutoModel") for name in values.get("auto_map") or {}):
        raise ModelError(
            f"its network (type {kind!r}) is defined by its own code, which is not run",
            where=checkpoint.name,
            hint="if transformers' own class gives the same, remove auto_map from config.json",
        )
    if values.get("quantization_config"):
        raise ModelError(
            "its weights are quantized",
            where=checkpoint.name,
            hint="give the checkpoint before it was quantized",
        )
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"transformers does not know the type {kind!r} of its network",
            where=checkpoint.name,
            hint="use a newer transformers, or an encoder of another type",
        ) from error


def load_net(
    kind: type[Any] | None,
    config: Any,
    tensors: Mapping[str, torch.Tensor],
    *,
    name: str,
    drop: Iterable[str] = (),
    optional: Iterable[str] = (),
) -> nn.Module:
    """Build a network in float32 and load its weights.

    Names of weights that changed between versions of transformers are mapped by transformers.

    Parameters
    ----------
    kind : type or None
        A class of transformers; None is the one of the configuration's type, without a head.
    config : PretrainedConfig
    tensors : mapping of str to Tensor
        As :meth:`Checkpoint.tensors` returns them.
    name : str
        Of the checkpoint, for messages.
    drop : iterable of str
        Regular expressions, searched in the checkpoint's keys: heads and towers not used here.
    optional : iterable of str
        Regular expressions, searched in the network's keys: these may be missing.

    Raises
    ------
    ModelError
        If a key is missing, unexpected, of another shape, quantized or not finite.
    """
    import torch
    from transformers import MODEL_MAPPING

    config.use_cache = False  # a text is read once; nothing is generated
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            net, found = (kind or MODEL_MAPPING[type(config)]).from_pretrained(
                None,
                config=config,
                state_dict=dict(tensors),
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below with both shapes
            )
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError) as error:
        raise ModelError(
            "its settings do not make a network that its weights fit", where=name
        ) from error
    wrong = sorted(found["mismatched_keys"])
    if wrong:
        key, given, expected = wrong[0]
        raise ModelError(
            f"{key} has the shape {tuple(given)}, and by its settings it should have "
            f"{tuple(expected)}",
            where=name,
        )
    missing = _without(found["missing_keys"], (*optional, *_BUFFERS))
    unexpected = _without(found["unexpected_keys"], (*drop, *_BUFFERS))
    refuse_keys(name, missing, unexpected, len(net.state_dict()))
    for key, weight in cast("nn.Module", net).named_parameters():
        if not weight.is_floating_point():
            raise ModelError(
                f"{key} is quantized",
                where=name,
                hint="give the checkpoint before it was quantized",
            )
        if not torch.isfinite(weight).all() and not any(re.search(each, key) for each in optional):
            raise ModelError(f"{key} has values that are not finite", where=name)
    return cast("nn.Module", net.eval())


def _without(keys: Iterable[str], patterns: Iterable[str]) -> list[str]:
    compiled = [re.compile(each) for each in patterns]
    return sorted(key for key in keys if not any(each.search(key) for each in compiled))
