"""Random changes to a batch of images."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch.nn import functional

from medembed.encoders.settings import Settings

__all__ = ["ImageAugmentation", "augment"]


class ImageAugmentation(Settings):
    """Random changes to training images; on volumes only those of intensity.

    Parameters
    ----------
    rotate_degrees, scale, shift : float
        Maximum; ``shift`` as a fraction of the image's edge.
    contrast, brightness, noise : float
        Maximum change of contrast (as a factor), of brightness, and maximum standard deviation of
        the noise, for pixels in [0, 1].
    mirror : float
        Probability of flipping an image left to right and swapping the sides in its report, 2D
        only. Meant for images with left and right opposite each other, such as frontal chest
        radiographs and axial slices.
    """

    rotate_degrees: float = Field(default=5.0, ge=0, le=180)
    scale: float = Field(default=0.08, ge=0, lt=1)
    shift: float = Field(default=0.04, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    brightness: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.02, ge=0, lt=1)
    mirror: float = Field(default=0.0, ge=0, le=1)


def augment(
    images: torch.Tensor,
    mirror: npt.NDArray[np.bool_],
    settings: ImageAugmentation,
    rng: np.random.Generator,
    rows: npt.NDArray[np.int64] | None = None,
) -> torch.Tensor:
    """Rotate, scale, shift and mirror images; change the intensity of images and volumes.

    Parameters
    ----------
    images : Tensor ``(n, 1, h, w)`` or ``(n, 1, d, h, w)``
        In [0, 1].
    mirror : bool array ``(n,)``
        Which images to flip along their last axis.
    settings : ImageAugmentation
    rng : Generator
        Source of all random numbers.
    rows : int64 array, optional
        Positions of the images in a batch of which ``mirror`` lists every image. They are changed
        as they would be with all others of the batch present.

    Returns
    -------
    Tensor
        Same shape as the images, in [0, 1].
    """
    drawn, n = len(mirror), len(images)
    rows = np.arange(drawn) if rows is None else rows
    if images.ndim == 4:
        images = _move(images, mirror, settings, rng, rows)
    else:
        flipped = torch.from_numpy(mirror[rows]).to(images.device).view(n, 1, 1, 1, 1)
        images = torch.where(flipped, images.flip(-1), images)
    axes = (n,) + (1,) * (images.ndim - 1)

    def draw(limit: float) -> torch.Tensor:
        values = rng.uniform(-limit, limit, size=drawn).astype(np.float32)[rows]
        return torch.from_numpy(values).to(images.device).view(axes)

    if settings.contrast or settings.brightness:
        middle = images.mean(dim=tuple(range(1, images.ndim)), keepdim=True)
        contrast, brightness = draw(settings.contrast), draw(settings.brightness)
        images = (images - middle) * (1 + contrast) + middle + brightness
    if settings.noise:
        noise = rng.standard_normal((drawn, *images.shape[1:]), dtype=np.float32)
        images = (
            images + torch.from_numpy(noise[rows]).to(images.device) * draw(settings.noise).abs()
        )
    return images.clamp(0, 1)


def _move(
    images: torch.Tensor,
    mirror: npt.NDArray[np.bool_],
    settings: ImageAugmentation,
    rng: np.random.Generator,
    rows: npt.NDArray[np.int64],
) -> torch.Tensor:
    n = len(mirror)
    angle = rng.uniform(-1, 1, n) * math.radians(settings.rotate_degrees)
    zoom = 1 + rng.uniform(-1, 1, n) * settings.scale
    shift = rng.uniform(-2, 2, (n, 2)) * settings.shift  # grid_sample's image is 2 wide
    flip = np.where(mirror, -1.0, 1.0)
    theta = np.zeros((n, 2, 3), dtype=np.float32)
    theta[:, 0, 0] = np.cos(angle) * zoom * flip
    theta[:, 0, 1] = -np.sin(angle) * zoom
    theta[:, 1, 0] = np.sin(angle) * zoom * flip
    theta[:, 1, 1] = np.cos(angle) * zoom
    theta[:, :, 2] = shift
    theta = theta[rows]
    moved = settings.rotate_degrees or settings.scale or settings.shift
    if not moved:
        flipped = torch.from_numpy(mirror[rows]).to(images.device).view(len(rows), 1, 1, 1)
        return torch.where(flipped, images.flip(-1), images)
    grid = functional.affine_grid(
        torch.from_numpy(theta).to(images.device), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
