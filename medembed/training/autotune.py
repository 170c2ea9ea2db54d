"""Measure which precision and memory layout is fastest on this machine."""

from __future__ import annotations

import copy
import math
import time

import torch
from torch import nn

from medembed.training.feature_feeders import Mode
from medembed.training.settings import TrainingConfig

__all__ = ["fastest_mode"]

_GAIN = 0.9
"""Another mode than float32 must take less than this fraction of its time."""

_PROBED = 16
"""Number of images in the timed batch."""


def fastest_mode(
    config: TrainingConfig, side: nn.Module, images: torch.Tensor
) -> tuple[Mode, dict[str, float]]:
    """Time one forward and backward step in each mode that the configuration allows.

    Parameters
    ----------
    config : TrainingConfig
        ``precision`` and ``channels_last``; nothing is measured if neither is ``"auto"``.
    side : Module
        Image tower; a copy is run.
    images : Tensor ``(n, 1, …)``
        A batch in [0, 1].

    Returns
    -------
    mode : Mode
    seconds : dict of str to float
        Time of each mode by name; empty if nothing was measured.
    """
    precisions = [False, True] if config.precision == "auto" else [config.precision == "bfloat16"]
    layouts = [False, True] if config.channels_last == "auto" else [config.channels_last]
    if images.ndim != 4 or not images.is_cuda:
        layouts = [False]
    half = config.precision == "float16"
    modes = [Mode(p, c, half) for p in precisions for c in layouts]
    if len(modes) == 1:
        return modes[0], {}
    images = images[:_PROBED]
    best, shortest = modes[0], _time(copy.deepcopy(side), images, modes[0])
    measured = {str(best): shortest}
    for mode in modes[1:]:
        seconds = _time(copy.deepcopy(side), images, mode, give_up=2 * shortest)
        measured[str(mode)] = seconds
        if seconds < _GAIN * shortest:
            best, shortest = mode, seconds
    return best, measured


def _time(side: nn.Module, images: torch.Tensor, mode: Mode, give_up: float = math.inf) -> float:
    """Return the seconds of the fastest of three steps after a warm-up step.

    Stops after a step that takes longer than ``give_up``, like bfloat16 on a processor without
    instructions for it.
    """
    side.train()
    if mode.channels_last:
        side.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = images.contiguous(memory_format=torch.channels_last)
    times: list[float] = []
    for step in range(4):
        start = time.perf_counter()
        with mode.autocast(images.device.type):
            out = side(images)
        out.float().square().mean().backward()
        if images.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        if step > 0 and times[-1] > give_up:
            break
    return min(times[1:])
