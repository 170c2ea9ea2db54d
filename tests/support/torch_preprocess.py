"""The former preprocessing in torch, as an oracle: float32 throughout, rounded once at the end."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional


def resize(images: torch.Tensor, size: tuple[int, int], mode: str = "bilinear") -> torch.Tensor:
    if tuple(images.shape[1:]) == size:
        return images
    return functional.interpolate(
        images[:, None], size=size, mode=mode, antialias=True, align_corners=False
    )[:, 0]


def gray(unit: torch.Tensor, bits: int = 8) -> np.ndarray:
    top = 2**bits - 1
    return np.rint(unit.numpy().astype(np.float64) * top).clip(0, top)


def unit(values: np.ndarray, low: float, high: float) -> torch.Tensor:
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return torch.from_numpy(np.clip(scaled, 0, 1, dtype=np.float32))


def volume(values: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    """Resize in plane, then in depth."""
    depth, height, width = size
    slices = resize(values, (height, width))
    flat = resize(slices.reshape(1, len(slices), -1), (depth, height * width))
    return flat.reshape(size)
