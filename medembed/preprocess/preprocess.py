"""Turn a :class:`~medembed.scans.Scan` into the pixels that an encoder reads.

The preprocessing is saved with the model, as JSON, and is part of its fingerprint: the same scan
yields the same pixels in training, in a library and in a query. Pixels are 8 or 16 bits deep, so
that cached pixels equal those of a fresh scan exactly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from medembed.errors import ConfigError, ScanError
from medembed.preprocess.resize import (
    FILTERS,
    Interpolation,
    fit_volume,
    fitting_size,
    place,
    resize,
)
from medembed.scans import Scan, Window

__all__ = ["PREPROCESS_VERSION", "Pixels", "Preprocess"]

PREPROCESS_VERSION = 1
"""Increased whenever the same settings would yield different pixels than before."""

Pixels: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_MAX_SAMPLES = 1 << 20
_CHUNK = 1 << 16
_WINDOWS = ("percentile", "range", "file", "display")
_SINCE_FORMAT_3 = ("resize", "crop_from", "interpolation", "bits")
"""Settings that are left out of the configuration, and so of the fingerprint, at their default."""


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
        ``"file"`` (the first window of the file, else percentiles), or ``"display"``: a picture of
        8 bits (no window, all values from 0 to 255) is left as it is, anything else as ``"file"``.
    hu_window : str
        The same for scans in Hounsfield units: one of the above, the name of a preset in
        :data:`medembed.scans.PRESETS`, or ``"center/width"``.
    percentiles : tuple of float
        Lower and upper percentile, in percent.
    mean, std : float or tuple of float
        Subtracted from and divided into the pixels, in units of [0, 1]. A value for each channel
        repeats the gray pixels that often: three values, three channels.
    resize : {"fit", "shortest", "squash"}
        ``"fit"`` keeps the proportions in mm and pads with 0; ``"shortest"`` keeps them and fills
        ``size``, cutting off what is outside; ``"squash"`` gives them up. Volumes of a 3D encoder
        are always fitted.
    crop_from : int or tuple of int or None
        ``"shortest"`` and ``"squash"`` only: resize to these pixels, and keep the ``size`` pixels
        around the center. A single number is the shorter edge (or both, if squashed).
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos"}
        Antialiased when an image becomes smaller; volumes of a 3D encoder: bilinear only.
    bits : {8, 16}
        Depth of the pixels. With 16, what a radiograph of 10 to 16 bits resolves reaches the
        network, at twice the size of the cache.

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
    mean: float | tuple[float, ...] = 0.5
    std: float | tuple[float, ...] = 0.25
    resize: Literal["fit", "shortest", "squash"] = "fit"
    crop_from: int | tuple[int, ...] | None = None
    interpolation: Interpolation = "bilinear"
    bits: Literal[8, 16] = 8

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
        self._check_channels()
        self._check_resize()
        if self.slices < 1:
            raise ConfigError("slices must be positive")
        if self.spacing_mm is not None and (self.dimensions == 2 or min(self.spacing_mm) <= 0):
            raise ConfigError("spacing_mm must be positive and needs dimensions: 3")
        if self.window not in _WINDOWS:
            raise ConfigError(
                "window must be percentile, range, file or display", where="preprocess.window"
            )
        if self.hu_window not in _WINDOWS[:3]:
            _named_window(self.hu_window)
        if self.bits not in (8, 16):
            raise ConfigError(f"bits must be 8 or 16, not {self.bits}")

    def _check_channels(self) -> None:
        lengths = set()
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, (tuple, list)):
                object.__setattr__(self, name, tuple(float(v) for v in value))
                lengths.add(len(value))
        if len(lengths) > 1 or 0 in lengths:
            raise ConfigError("mean and std need the same number of values, one for each channel")
        mean, std = self.mean_and_std()
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            raise ConfigError("mean must be finite and std must be positive")

    def _check_resize(self) -> None:
        if self.resize not in ("fit", "shortest", "squash"):
            raise ConfigError(f"resize must be fit, shortest or squash, not {self.resize}")
        if self.interpolation not in FILTERS:
            raise ConfigError(f"interpolation must be one of {', '.join(FILTERS)}")
        if self.dimensions == 3 and (self.resize, self.interpolation) != ("fit", "bilinear"):
            raise ConfigError("a 3D encoder's input is fitted and interpolated bilinearly")
        if self.crop_from is None:
            return
        if self.resize == "fit":
            raise ConfigError("crop_from needs resize: shortest or resize: squash")
        edges = self.crop_from if isinstance(self.crop_from, (tuple, list)) else (self.crop_from,)
        object.__setattr__(self, "crop_from", edges[0] if len(edges) == 1 else tuple(edges))
        if len(edges) > 2 or min(edges) < 1 or (len(edges) == 2 and self.resize == "shortest"):
            raise ConfigError(
                "crop_from must be one positive number, or height and width if resize is squash"
            )

    @property
    def channels(self) -> int:
        """Number of channels of the encoder's input."""
        return max(len(v) if isinstance(v, tuple) else 1 for v in (self.mean, self.std))

    @property
    def full_scale(self) -> int:
        """Largest value of a pixel: 255 or 65535."""
        return (1 << self.bits) - 1

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Type of :meth:`pixels`."""
        return np.dtype(np.uint8) if self.bits == 8 else np.dtype(np.uint16)

    def mean_and_std(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return mean and std, each of shape ``(channels, 1, 1)`` or ``(channels, 1, 1, 1)``."""
        shape = (-1,) + (1,) * self.dimensions
        mean, std = (np.array(v, np.float32).reshape(shape) for v in (self.mean, self.std))
        return mean, std

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one item of :meth:`pixels`: ``(1, h, w)`` or ``(1, d, h, w)``."""
        size = self.size
        return (1, *(size if isinstance(size, tuple) else (size,) * self.dimensions))

    @property
    def config(self) -> dict[str, Any]:
        """The settings as JSON values, as :meth:`from_config` reads them."""
        values = asdict(self)
        for added in fields(self):
            if added.name in _SINCE_FORMAT_3 and values[added.name] == added.default:
                del values[added.name]
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
        float32 array, shape ``(n, channels, h, w)`` or ``(1, channels, d, h, w)``
        """
        return self.normalize(self.pixels(scan))

    def normalize(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Scale pixels for the encoder: ``(pixels / full_scale - mean) / std`` in each channel.

        Parameters
        ----------
        pixels : uint8 or uint16 array, shape ``(n, 1, …)``

        Returns
        -------
        float32 array, shape ``(n, channels, …)``
        """
        mean, std = self.mean_and_std()
        scaled = pixels.astype(np.float32) / np.float32(self.full_scale)
        return (scaled - mean) / std

    def pixels(self, scan: Scan, slice_at: int | None = None) -> Pixels:
        """Return windowed and resized pixels, not yet normalized.

        Parameters
        ----------
        scan : Scan
        slice_at : int, optional
            The only slice of a volume that a 2D encoder is to read, from 0. Default: those of
            :meth:`slices_of`.

        Returns
        -------
        uint8 or uint16 array, shape ``(n, 1, h, w)`` or ``(1, 1, d, h, w)``

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
            box = fit_volume(
                values, spacing, self.shape[1:], self.spacing_mm, lambda one: _unit(one, low, high)
            )
            return cast(Pixels, self._quantized(box)[None, None])
        if scan.is_volume:
            values = values[self.slices_of(len(values)) if slice_at is None else [slice_at]]
        else:
            values = values[None]
        images = [self._image(one, spacing[-2:], low, high) for one in values]
        return cast(Pixels, np.stack(images)[:, None])

    def slices_of(self, depth: int) -> npt.NDArray[np.int64]:
        """Return which slices of a volume of ``depth`` slices a 2D encoder reads."""
        return np.unique(((np.arange(self.slices) + 0.5) * depth / self.slices).astype(np.int64))

    def extent(self, lengths: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[float, ...]:
        """Return the lengths of a whole image or volume in pixels of the encoder's input.

        Image and input have the same center; what is longer than the input was cut off, what is
        shorter was padded.
        """
        if self.dimensions == 2:
            return tuple(map(float, self._inner_size(lengths[-2:], spacing[-2:])))
        if self.spacing_mm is None:
            return tuple(map(float, fitting_size(lengths, spacing, self.shape[1:])))
        return tuple(n * s / t for n, s, t in zip(lengths, spacing, self.spacing_mm, strict=True))

    def _image(
        self, values: npt.NDArray[np.float32], spacing: tuple[float, ...], low: float, high: float
    ) -> Pixels:
        """Window and resize one image ``(h, w)``.

        If the image fills the input, 8-bit pixels are rounded before they are resized: the image
        processors of published encoders, which fill it too, resize pictures of 8 bits. Otherwise
        pixels are rounded once, at the end.
        """
        early = self.bits == 8 and self.resize != "fit"
        image = _rounded(values, low, high) if early else _unit(values, low, high)
        image = resize(image, self._inner_size(image.shape, spacing), self.interpolation)
        image = place(image, self.shape[1:])
        return cast(Pixels, image if image.dtype == self.dtype else self._quantized(image))

    def _inner_size(self, lengths: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[int, ...]:
        """Height and width before :func:`place` cuts off or pads the rest."""
        size = self.shape[1:]
        if self.resize == "fit":
            return fitting_size(lengths, spacing, size)
        wanted = size if self.crop_from is None else self.crop_from
        if self.resize == "squash":
            return wanted if isinstance(wanted, tuple) else (wanted, wanted)
        least = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        extent = [n * s for n, s in zip(lengths, spacing, strict=True)]
        height, width = (n / e for n, e in zip(least, extent, strict=True))
        if height >= width:  # the height is what is filled exactly; the width exceeds
            return least[0], int(least[0] * extent[1] / extent[0])
        return int(least[1] * extent[0] / extent[1]), least[1]

    def _quantized(self, unit: npt.NDArray[np.float32]) -> Any:
        """Round values in [0, 1] to pixels."""
        return (
            np.rint(unit * np.float32(self.full_scale)).clip(0, self.full_scale).astype(self.dtype)
        )

    def _limits(self, scan: Scan) -> tuple[float, float]:
        how = self.hu_window if scan.units == "HU" else self.window
        if how in ("file", "display"):
            if scan.windows:
                return _ends(scan.windows[0])
            if how == "display" and scan.pixels.min() >= 0 and scan.pixels.max() <= 255:
                return 0.0, 255.0
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


def _unit(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.float32]:
    """Scale values to [0, 1]; a constant image becomes 0 everywhere."""
    out = np.zeros(values.shape, np.float32)
    width = high - low
    if not width > 0:
        return out
    for rows in _chunks(values):
        part = np.subtract(values[rows], np.float32(low), out=out[rows])
        part /= np.float32(width)
        np.clip(part, 0, 1, out=part)
    return out


def _rounded(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Scale values to 0 to 255 and round them; a constant image becomes 0 everywhere."""
    out = np.zeros(values.shape, np.uint8)
    width = high - low
    if not width > 0:
        return out
    for rows in _chunks(values):
        part = values[rows] - np.float32(low)
        part *= np.float32(255 / width)
        np.clip(part, 0, 255, out=part)
        out[rows] = np.rint(part, out=part)
    return out


def _chunks(values: npt.NDArray[np.float32]) -> Iterator[slice]:
    """Rows that the processor's cache holds."""
    step = max(1, _CHUNK // values.shape[1])
    return (slice(at, at + step) for at in range(0, len(values), step))
