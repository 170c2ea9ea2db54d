"""What a training needs in order to learn anything, checked before it costs time.

A training without it would run to its end, with a harmless loss, and leave a model of chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medembed.errors import ConfigError, LibraryError
from medembed.training.batches import epoch_batches

if TYPE_CHECKING:
    from torch import nn

    from medembed.encoders.tokenizers import Tokens
    from medembed.training.cohort import Cohort
    from medembed.training.settings import TrainingConfig

__all__ = [
    "NothingLearntError",
    "diverged",
    "require_learnable",
    "require_parameters",
    "require_readable_notes",
]

_EPOCHS_TRIED = 3
_ROWS = 256


class NothingLearntError(ConfigError):
    """A training came to a state that it cannot learn from; its checkpoint is of no use."""


def diverged(what: str) -> NothingLearntError:
    """Say that numbers are no longer finite."""
    return NothingLearntError(
        f"training diverged: {what}; nothing was saved",
        where="optim.lr",
        hint="lower optim.lr (and optim.text_lr)",
    )


def require_learnable(config: TrainingConfig, train: Cohort) -> None:
    """Refuse training cases that hold nothing to tell apart; before decoding, and again after.

    Parameters
    ----------
    config : TrainingConfig
    train : Cohort
        Without rows as long as nothing was decoded.

    Raises
    ------
    LibraryError
        Where all notes or all images are the same, or no two cases may share a batch.
    ConfigError
        Where it is the balance that leaves no batch.
    """
    n = len(train)
    if len({" ".join(report.full.text.lower().split()) for report in train.reports}) == 1:
        raise LibraryError(
            f"the notes of all {n} training cases are the same, so images cannot be told by them",
            hint="ingest each case with its own report",
        )
    if len({name for names in train.scans for name in names}) == 1 or _one_picture(train):
        raise LibraryError(
            f"the images of all {n} training cases are the same, so notes cannot be told by them",
            hint="check the image paths in the source, and preprocess.window",
        )
    related = set(train.groups)
    if len(set(train.patients)) == 1 or (len(related) == 1 and related != {""}):
        of_one = "patient" if len(set(train.patients)) == 1 else "group_id"
        raise LibraryError(
            f"all {n} training cases have one {of_one}, and cases of one never share a batch",
            hint=f"check the column {'patient_id' if of_one == 'patient' else of_one} in the "
            "source: a placeholder must not stand for everybody",
        )
    tried = range(min(config.epochs, _EPOCHS_TRIED))
    if any(epoch_batches(config, train, epoch) for epoch in tried):
        return
    if config.balance is not None:
        raise ConfigError(
            "the balance leaves no batch of two patients", where="balance", hint="leave balance out"
        )
    raise LibraryError(
        f"no two of the {n} training cases may share a batch: each two are of one patient or group",
        hint="check patient_id and group_id in the source",
    )


def _one_picture(train: Cohort) -> bool:
    """Whether all cases show the same pixels; False as long as nothing was decoded."""
    if not train.rows:
        return False
    rows = np.concatenate(train.rows)
    first = train.pixels.rows(rows[:1])
    return all(
        (train.pixels.rows(rows[at : at + _ROWS]) == first).all()
        for at in range(0, len(rows), _ROWS)
    )


def require_readable_notes(tokens: Tokens, train: Cohort) -> None:
    """Refuse notes that differ only in what the text side does not read.

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
        f"the text side reads the same of all {len(train)} notes (its first {tokens.max_length} "
        "tokens, in its vocabulary)",
        hint="raise text.max_length, or take another text encoder for this language",
    )


def require_parameters(towers: nn.Module) -> None:
    """Refuse a configuration in which no weight can change.

    Raises
    ------
    ConfigError
    """
    names = [name for name, weight in towers.named_parameters() if weight.requires_grad]
    if all(name == "logit_scale" for name in names):
        raise ConfigError(
            "there is nothing to learn: no side has a weight that may change",
            where="projection.kind",
            hint="take a projection, or unfreeze an encoder",
        )
