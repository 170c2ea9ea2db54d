"""What a training reports, and how a finished one is recognized."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from medembed.training.choices import run_key

__all__ = ["TrainReport", "finished_training"]


@dataclass(frozen=True)
class TrainReport:
    """Result of :func:`medembed.training.train`.

    Parameters
    ----------
    folder : str
        Folder of the model.
    name, fingerprint : str
    n_train, n_val : int
        Cases with a scan and a note.
    refused : dict of str to int
        Number of unreadable scans by reason.
    history : list of dict
        One entry per epoch.
    best : dict
        The entry of the selected weights.
    chosen : dict
        Numerical setup: ``device``, ``bfloat16``, ``channels_last``, ``threads``. Together with
        configuration and cases it determines the weights bit for bit.
    why : dict of str to str
        Reason for each choice.
    collapse : dict
        Whether the model distinguishes cases: :class:`medembed.training.collapse.CollapseCheck`.
        A collapsed model is kept in its folder but never activated automatically.
    remarks : list of str
        Further notes for the user.
    seconds : float
        Training time.
    unchanged : bool
        Whether the same training was already done, so that nothing had to run.
    """

    folder: str
    name: str
    fingerprint: str
    n_train: int
    n_val: int
    refused: dict[str, int]
    history: list[dict[str, float]]
    best: dict[str, float]
    chosen: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    collapse: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    unchanged: bool = False

    @property
    def collapsed(self) -> bool:
        """Whether the model collapsed and is unusable."""
        return bool(self.collapse.get("collapsed"))

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain data."""
        return asdict(self)


def finished_training(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the report of this training if it is finished, else None."""
    try:
        kept: dict[str, Any] = json.loads((folder / "training.json").read_bytes())
    except (OSError, ValueError):
        return None
    held, chosen = kept.pop("key", None), kept.get("chosen")
    if held != (key if chosen is None else run_key(key, chosen)):
        return None
    names = {each.name for each in fields(TrainReport)}
    return {name: value for name, value in kept.items() if name in names}
