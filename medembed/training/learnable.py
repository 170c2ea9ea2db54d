"""Checks, before training, that something can be learned.

Otherwise a training would run to its end with a harmless loss and leave a random model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from medembed.errors import ConfigError, LibraryError
from medembed.model.towers import build_towers
from medembed.training.batches import epoch_batches
from medembed.training.grad_cache import has_batch_norm
from medembed.training.lora import add_adapters

if TYPE_CHECKING:
    from torch import nn

    from medembed.encoders.tokenizers import Tokens
    from medembed.model.towers import Towers
    from medembed.training.cohort import TrainingCohort
    from medembed.training.settings import TrainingConfig

__all__ = [
    "NothingLearnedError",
    "diverged",
    "require_learnable",
    "require_parameters",
    "require_readable_notes",
    "require_rows",
    "require_trainable",
]

_EPOCHS_TRIED = 3
_ROWS = 256
_NOTES = 100
_built: set[str] = set()
"""Configurations whose towers were built by this process."""


class NothingLearnedError(ConfigError):
    """Training reached a state from which it cannot learn; its checkpoint is useless."""


def diverged(what: str) -> NothingLearnedError:
    """Return the error for values that are not finite."""
    return NothingLearnedError(
        f"training diverged: {what}; nothing was saved",
        where="optim.lr",
        hint="lower optim.lr (and optim.text_lr)",
    )


def require_trainable(config: TrainingConfig, train: TrainingCohort) -> None:
    """Refuse cases or encoders that cannot be trained, before any image is decoded.

    The encoders are built once and discarded: a checkpoint that is missing or does not fit should
    not be noticed after an hour of decoding.

    Raises
    ------
    LibraryError
        As :func:`require_learnable`.
    ConfigError, ModelError
        If the encoders cannot be built as configured.
    """
    require_learnable(config, train)
    sections = {"image", "text", "projection", "preprocess", "rerank", "lora"}
    key = config.model_dump_json(include=sections)
    if key in _built:
        return
    with torch.random.fork_rng(devices=[]):
        towers, _, _ = build_towers(
            config.image,
            config.text,
            config.projection,
            dimensions=config.preprocess.dimensions,
            size=config.preprocess.shape[1:],
            notes=[report.full.text for report in train.reports[:_NOTES]],
        )
        add_adapters(config, towers)
    require_parameters(towers)
    if config.rerank and not towers.text.token_width:
        raise ConfigError(
            f"the text encoder {config.text.encoder!r} does not show its tokens, which a reranker "
            "reads",
            where="rerank",
            hint="use another text.encoder, such as bert or minilm, or rerank=null",
        )
    _built.add(key)


def require_learnable(config: TrainingConfig, train: TrainingCohort) -> None:
    """Refuse training cases that are all alike; called before and after decoding.

    Parameters
    ----------
    config : TrainingConfig
    train : TrainingCohort
        Without rows before decoding.

    Raises
    ------
    LibraryError
        If all notes or all images are identical, or no two cases may share a batch.
    ConfigError
        If balancing leaves no batch.
    """
    n = len(train)
    if len({" ".join(report.full.text.lower().split()) for report in train.reports}) == 1:
        raise LibraryError(
            f"all {n} training cases have the same note",
            hint="ingest each case with its own report",
        )
    if len({name for names in train.scans for name in names}) == 1 or _one_image(train):
        raise LibraryError(
            f"all {n} training cases have the same image",
            hint="check the image paths in the source, and preprocess.window",
        )
    related = set(train.groups)
    if len(set(train.patients)) == 1 or (len(related) == 1 and related != {""}):
        of_one = "patient" if len(set(train.patients)) == 1 else "group_id"
        raise LibraryError(
            f"all {n} training cases have the same {of_one}; such cases never share a batch",
            hint=f"check the column {'patient_id' if of_one == 'patient' else of_one} in the "
            "source: a placeholder must not be used for all",
        )
    tried = range(min(config.epochs, _EPOCHS_TRIED))
    if any(epoch_batches(config, train, epoch) for epoch in tried):
        return
    if config.balance is not None:
        raise ConfigError(
            "balancing leaves no batch of two patients", where="balance", hint="remove balance"
        )
    raise LibraryError(
        f"no two of the {n} training cases may share a batch: they all share a patient or group",
        hint="check patient_id and group_id in the source",
    )


def _one_image(train: TrainingCohort) -> bool:
    """Return whether all cases have the same pixels; False before decoding."""
    if not train.rows:
        return False
    rows = np.concatenate(train.rows)
    first = train.pixels.rows(rows[:1])
    return all(
        (train.pixels.rows(rows[at : at + _ROWS]) == first).all()
        for at in range(0, len(rows), _ROWS)
    )


def require_readable_notes(tokens: Tokens, train: TrainingCohort) -> None:
    """Refuse notes that differ only in parts that the text tower does not read.

    Raises
    ------
    LibraryError
    """
    seen: set[bytes] = set()
    for report in train.reports:
        ids, mask = tokens([report.full.text])
        seen.add(ids[mask.astype(bool)].tobytes())
        if len(seen) > 1:
            return
    raise LibraryError(
        f"all {len(train)} notes are identical within the first {tokens.max_length} tokens "
        "of the text encoder",
        hint="raise text.max_length, or use a text encoder for this language",
    )


def require_parameters(towers: nn.Module) -> None:
    """Refuse a configuration without trainable weights.

    Raises
    ------
    ConfigError
    """
    names = [name for name, weight in towers.named_parameters() if weight.requires_grad]
    if all(name == "logit_scale" for name in names):
        raise ConfigError(
            "no trainable weights: both encoders are frozen and there is no projection",
            where="projection.kind",
            hint="add a projection or unfreeze an encoder",
        )


def require_rows(config: TrainingConfig, towers: Towers) -> None:
    """Refuse chunks so small that one may have a single row, if the batch is normalized.

    Raises
    ------
    ConfigError
    """
    trained = [side for side in (towers.image, towers.text) if has_batch_norm(side)]
    if config.optim.chunk is not None and config.optim.chunk < 3 and trained:
        raise ConfigError(
            "batch normalization needs chunks of at least 3 cases",
            where="optim.chunk",
            hint="raise optim.chunk, or leave it out",
        )
