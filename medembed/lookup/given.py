"""What may be given as the image or the vector of a query, and what it means."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError, QueryError, ScanError
from medembed.scans import Scan
from medembed.unit_vectors import unit_rows

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageQuery", "as_image", "as_images", "as_vector"]

ImageQuery: TypeAlias = (
    "str | Path | Scan | Image | npt.NDArray[Any] | Sequence[str | Path] "
    "| Sequence[Sequence[str | Path] | Scan | Image | npt.NDArray[Any] | str | Path]"
)

_WHOLE = (".png", ".jpg", ".jpeg", ".nii", ".nii.gz")
"""Files with these names are an image each, never one of a series."""

_PIL_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F", "P", "RGB", "RGBA")


def as_image(image: ImageQuery) -> tuple[Scan | None, tuple[Path, ...]]:
    """Return the scan that ``image`` is, or the files that it names.

    Parameters
    ----------
    image : path, sequence of paths, Scan, PIL image, or array
        A gray or color PIL image. An array ``(h, w)`` of gray values, ``(h, w, 3)`` or
        ``(h, w, 4)`` of 8-bit color, or ``(d, h, w)`` of a volume's slices. Values of an array are
        taken as stored; for Hounsfield units or a known spacing, build a
        :class:`medembed.Scan`.

    Raises
    ------
    QueryError
        If it is something else, or an array could be a color image as well as a volume.
    """
    if isinstance(image, Scan):
        return image, ()
    if isinstance(image, np.ndarray):
        return _scan(_gray(image)), ()
    if _is_pil(image):
        return _scan(_decoded(image)), ()
    if isinstance(image, str | Path):
        return None, _files([image])
    if isinstance(image, Sequence):
        return None, _files(cast(Sequence[str | Path], image))  # which refuses anything else
    raise QueryError(
        f"an image cannot be a {type(image).__name__}",
        where="image",
        hint="give a path, several paths of one series, a Scan, a PIL image or a numpy array",
    )


def as_images(image: ImageQuery) -> list[tuple[Scan | None, tuple[Path, ...]]]:
    """Return the scan or the files of each of one or several images.

    Several paths are sorted first: each folder, PNG, JPEG or NIfTI file is an image; the others are
    the files of one series. A sequence may hold arrays, scans and paths, or the paths of a series.

    Raises
    ------
    QueryError
        As :func:`as_image`.
    """
    if isinstance(image, str | Path) or not isinstance(image, Sequence):
        return [as_image(image)]
    if not all(isinstance(one, str | Path) for one in image):
        if not image:
            raise QueryError("no image file given", hint="give paths, or one array or image")
        return [as_image(one) for one in image]
    files = _files([one for one in image if isinstance(one, str | Path)])
    alone = [path for path in files if path.is_dir() or path.name.lower().endswith(_WHOLE)]
    series = tuple(path for path in files if path not in alone)
    return [*([(None, series)] if series else []), *((None, (path,)) for path in alone)]


def as_vector(vector: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return a query's vector ``(d,)``, scaled to length 1, from shape ``(d,)`` or ``(1, d)``.

    Raises
    ------
    QueryError
        If it has another shape, a value that is not finite, or is all zeros.
    """
    try:
        row = np.asarray(vector)
    except ValueError:
        row = np.empty(0)
    if row.ndim == 2 and len(row) == 1:
        row = row[0]
    if row.ndim != 1 or not row.size:
        raise QueryError(
            f"a query's vector needs shape (d,), not {row.shape}",
            where="vector",
            hint="search with one vector at a time",
        )
    try:
        unit: npt.NDArray[np.float32] = unit_rows(row[np.newaxis])[0]
    except InputError as error:
        raise QueryError(error.what, where="vector") from None
    return unit


def _is_pil(image: object) -> TypeGuard[Image]:
    """Whether it is a PIL image; if PIL was never imported, nothing is one."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def _decoded(image: Image) -> npt.NDArray[np.float32]:
    from PIL import ImageOps

    from medembed.scans.plain_image import gray_pixels

    if image.mode not in _PIL_MODES:
        raise QueryError(
            f"a PIL image of mode {image.mode!a} is neither gray nor RGB",
            where="image",
            hint='convert it: image.convert("RGB")',
        )
    try:
        return gray_pixels(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError):  # opened lazily, and its file is broken
        raise QueryError("the PIL image cannot be decoded", where="image") from None


def _gray(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if array.dtype.kind not in "buif":
        raise QueryError(f"an image of {array.dtype} has no gray values", where="image")
    shape = array.shape
    if array.ndim == 2:
        return array.astype(np.float32)
    if array.ndim != 3 or not array.size:
        raise QueryError(
            f"an array of shape {shape} is no image; it needs 2 or 3 axes", where="image"
        )
    if 1 in (shape[0], shape[2]):
        return np.squeeze(array, axis=0 if shape[0] == 1 else 2).astype(np.float32)
    channels_last, channels_first = shape[2] in (3, 4), shape[0] in (3, 4)
    if channels_last and not channels_first and array.dtype == np.uint8:
        from PIL import Image

        from medembed.scans.plain_image import gray_pixels

        return gray_pixels(Image.fromarray(array))
    if channels_last or channels_first:
        raise QueryError(
            f"an array of shape {shape} and type {array.dtype} may be a color image or a volume",
            where="image",
            hint="give color as uint8 (h, w, 3), a volume as Scan(pixels)",
        )
    return array.astype(np.float32)


def _scan(pixels: npt.NDArray[np.float32]) -> Scan:
    try:
        return Scan(pixels)
    except ScanError as error:
        raise QueryError(error.what, where="image") from None


def _files(given: Sequence[str | Path]) -> tuple[Path, ...]:
    if not given or not all(isinstance(path, str | Path) and str(path) for path in given):
        raise QueryError("no image file given", hint="give paths, or one array or image")
    files = tuple(Path(path) for path in given)
    for path in files:
        if not path.exists():
            raise QueryError("file not found", where="image", hint="check the path")
    return files
