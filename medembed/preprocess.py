"""Turn a :class:`~medembed.scans.Scan` into the pixels that an encoder reads.

The preprocessing is saved with the model, as JSON, and is part of its fingerprint: the same scan
yields the same pixels in training, in a library and in a query. Pixels are 8 bits deep, so that
cached pixels equal those of a fresh scan exactly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from medembed.errors import ConfigError, ScanError
from medembed.scans import Scan, Window

__all__ = ["PREPROCESS_VERSION", "Preprocess"]

PREPROCESS_VERSION = 1
"""Increased whenever the same settings would yield different pixels than before."""

_MAX_SAMPLES = 1 << 20


@dataclass(frozen=True)
class Preprocess:
    """Settings of the preprocessing; calling it turns a scan into pixels.

    Parameters
    ----------
    dimensions : {2, 3}
        Dimensions of the encoder's input. A 2D encoder reads a volume as ``slices`` images.
    size : int or tuple of int
        ``(height, width)`` or ``(depth, height, width)`` in pixels; a single number sets all axes.
    slices : int
        Evenly spaced slices of a volume that a 2D encoder reads; all slices if it has fewer.
    spacing_mm : tuple of float or None
        3D only: resample to this spacing ``(depth, height, width)``, then crop or pad around the
        center. None fits the whole volume into ``size``, keeping its proportions in mm.
    window : str
        Maps values in stored units to [0, 1]: ``"percentile"``, ``"range"`` (minimum to maximum),
        or ``"file"`` (the first window of the file, else percentiles).
    hu_window : str
        The same for scans in Hounsfield units: one of the above, the name of a preset in
        :data:`medembed.scans.PRESETS`, or ``"center/width"``.
    percentiles : tuple of float
        Lower and upper percentile, in percent.
    mean, std : float
        Subtracted from and divided into the pixels, in units of [0, 1].

    Raises
    ------
    ConfigError
        If a setting is invalid.
    """

    dimensions: Literal[2, 3] = 2
    size: int | tuple[int, ...] = 224
    slices: int = 8
    spacing_mm: tuple[float, float, float] | None = None
    window: str = "percentile"
    hu_window: str = "-300/1400"
    percentiles: tuple[float, float] = (0.5, 99.5)
    mean: float = 0.5
    std: float = 0.25

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  read by pydantic, no field

    def __post_init__(self) -> None:
        size = (self.size,) * self.dimensions if isinstance(self.size, int) else tuple(self.size)
        object.__setattr__(self, "size", size)
        if self.dimensions not in (2, 3):
            raise ConfigError(f"dimensions must be 2 or 3, not {self.dimensions}")
        if len(size) != self.dimensions or min(size) < 1:
            raise ConfigError(f"size must be {self.dimensions} positive numbers")
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ConfigError("percentiles must be between 0 and 100, the lower one first")
        if self.slices < 1 or self.std <= 0:
            raise ConfigError("slices and std must be positive")
        if self.spacing_mm is not None and (self.dimensions == 2 or min(self.spacing_mm) <= 0):
            raise ConfigError("spacing_mm must be positive and needs dimensions: 3")
        if self.window not in ("percentile", "range", "file"):
            raise ConfigError("window must be percentile, range or file", where="preprocess.window")
        if self.hu_window not in ("percentile", "range", "file"):
            _named_window(self.hu_window)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item: ``(1, h, w)`` or ``(1, d, h, w)``."""
        size = self.size
        return (1, *(size if isinstance(size, tuple) else (size,) * self.dimensions))

    @property
    def config(self) -> dict[str, Any]:
        """The settings as JSON values, as :meth:`from_config` reads them."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Preprocess:
        """Create the preprocessing from its :attr:`config`."""
        known = {f.name for f in fields(cls)}
        unknown = set(config) - known
        if unknown:
            raise ConfigError(f"unknown preprocessing setting {sorted(unknown)[0]!r}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in config.items()
        }
        return cls(**values)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over the settings and :data:`PREPROCESS_VERSION`."""
        text = json.dumps([PREPROCESS_VERSION, self.config], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, scan: Scan) -> npt.NDArray[np.float32]:
        """Return the pixels as the encoder reads them.

        Returns
        -------
        float32 array, shape ``(n, 1, h, w)`` or ``(1, 1, d, h, w)``
        """
        return self.normalize(self.pixels(scan))

    def normalize(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scale 8-bit pixels for the encoder: ``(pixels / 255 - mean) / std``."""
        scaled = pixels.astype(np.float32) / np.float32(255)
        return (scaled - np.float32(self.mean)) / np.float32(self.std)

    def pixels(self, scan: Scan) -> npt.NDArray[np.uint8]:
        """Return windowed and resized pixels, not yet normalized.

        Returns
        -------
        uint8 array, shape ``(n, 1, h, w)`` or ``(1, 1, d, h, w)``

        Raises
        ------
        ScanError
            If a 3D encoder is given a single image.
        """
        values = scan.pixels
        spacing = scan.spacing_mm or (1.0,) * values.ndim
        low, high = self._limits(scan)
        if self.dimensions == 3:
            if not scan.is_volume:
                raise ScanError("this model reads volumes, but the scan is a single image")
            box = _fit_volume(_unit(values, low, high), spacing, self.shape[1:], self.spacing_mm)
            unit = box[None, None]
        else:
            if scan.is_volume:
                depth = values.shape[0]
                at = np.unique(((np.arange(self.slices) + 0.5) * depth / self.slices).astype(int))
                values = values[at]
            else:
                values = values[None]
            unit = _fit_images(_unit(values, low, high), spacing[-2:], self.shape[1:])
        return np.rint(unit * 255).clip(0, 255).astype(np.uint8)

    def _limits(self, scan: Scan) -> tuple[float, float]:
        how = self.hu_window if scan.units == "HU" else self.window
        if how == "file":
            if scan.windows:
                return _ends(scan.windows[0])
            how = "percentile"
        if how == "range":
            return float(scan.pixels.min()), float(scan.pixels.max())
        if how == "percentile":
            flat = scan.pixels.reshape(-1)
            step = -(-flat.size // _MAX_SAMPLES)
            low, high = np.percentile(flat[::step], self.percentiles)
            return float(low), float(high)
        return _ends(_named_window(how))


def _named_window(text: str) -> Window:
    center, slash, width = text.partition("/")
    if slash:
        try:
            return Window(float(center), float(width), text)
        except (ValueError, ScanError) as error:
            raise ConfigError(
                f"{text!r} is not a window; use center/width", where="preprocess.hu_window"
            ) from error
    from medembed.scans import PRESETS

    if text not in PRESETS:
        raise ConfigError(
            f"unknown window preset {text!r}",
            where="preprocess.hu_window",
            hint=f"presets: {', '.join(PRESETS)}",
        )
    preset: Window = PRESETS[text]
    return preset


def _ends(window: Window) -> tuple[float, float]:
    return window.center - window.width / 2, window.center + window.width / 2


def _unit(values: npt.NDArray[np.float32], low: float, high: float) -> torch.Tensor:
    """Scale values to [0, 1]; a constant image becomes 0 everywhere."""
    width = high - low
    if not width > 0:
        return torch.zeros(values.shape, dtype=torch.float32)
    scaled = (values.astype(np.float32) - np.float32(low)) / np.float32(width)
    return torch.from_numpy(np.clip(scaled, 0, 1, dtype=np.float32))


def _inner_size(
    lengths: tuple[int, ...], spacing: tuple[float, ...], size: tuple[int, ...]
) -> tuple[int, ...]:
    """Largest size within ``size`` that keeps the proportions in mm."""
    extent = [n * s for n, s in zip(lengths, spacing, strict=True)]
    scale = min(s / e for s, e in zip(size, extent, strict=True))
    return tuple(max(1, min(s, round(e * scale))) for s, e in zip(size, extent, strict=True))


def _resize(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize ``(n, h, w)`` to ``(n, *size)``: bilinear with antialiasing."""
    if tuple(images.shape[1:]) == size:
        return images
    return functional.interpolate(
        images[:, None], size=size, mode="bilinear", antialias=True, align_corners=False
    )[:, 0]


def _place(values: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """Crop or zero-pad the last ``len(size)`` axes around their center."""
    for axis, wanted in enumerate(size, start=values.ndim - len(size)):
        excess = values.shape[axis] - wanted
        if excess > 0:
            values = values.narrow(axis, excess // 2, wanted)
    margins: list[int] = []
    for axis, wanted in reversed(list(enumerate(size, start=values.ndim - len(size)))):
        missing = wanted - values.shape[axis]
        margins += [missing // 2, missing - missing // 2]
    return functional.pad(values, margins)


def _fit_images(
    images: torch.Tensor, spacing: tuple[float, ...], size: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    height, width = _inner_size(tuple(images.shape[1:]), spacing, size)
    return _place(_resize(images, (height, width)), size)[:, None].numpy()


def _fit_volume(
    volume: torch.Tensor,
    spacing: tuple[float, ...],
    size: tuple[int, ...],
    target: tuple[float, float, float] | None,
) -> npt.NDArray[np.float32]:
    if target is None:
        depth, height, width = _inner_size(tuple(volume.shape), spacing, size)
    else:
        # crop first, one voxel wider than needed, so that a large volume is not resampled whole
        reach = tuple(
            int(np.ceil(n * t / s)) + 2 for n, t, s in zip(size, target, spacing, strict=True)
        )
        volume = _place(volume, tuple(min(r, n) for r, n in zip(reach, volume.shape, strict=True)))
        depth, height, width = (
            max(1, round(n * s / t)) for n, s, t in zip(volume.shape, spacing, target, strict=True)
        )
    volume = _resize(volume, (height, width))  # (d, h, w) in plane, antialiased
    flat = volume.reshape(1, volume.shape[0], height * width)
    volume = _resize(flat, (depth, height * width)).reshape(depth, height, width)
    return _place(volume, size).numpy()
