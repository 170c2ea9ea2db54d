"""Reading of PNG and JPEG files to :class:`Scan`."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from medembed.errors import ScanError
from medembed.scans.header import ScanHeader
from medembed.scans.luminance import luminance
from medembed.scans.safe_open import BoundedFile, check_size
from medembed.scans.scan import Scan

__all__ = ["gray_pixels", "image_header", "image_scan"]

_SIDEWAYS = (5, 6, 7, 8)  # values of EXIF Orientation that swap rows and columns
_ORIENTATION = 0x0112


def image_header(file: BoundedFile) -> ScanHeader:
    """Read the size of a PNG or JPEG; its modality is unknown."""
    image = _open(file)
    columns, rows = image.size
    if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
        rows, columns = columns, rows
    return ScanHeader(
        format="image",
        n_frames=1,
        rows=rows,
        columns=columns,
        has_pixels=True,
        photometric="MONOCHROME2" if image.mode in ("1", "L", "I", "I;16", "I;16B") else "RGB",
    )


def image_scan(file: BoundedFile) -> Scan:
    """Decode a PNG or JPEG.

    Gray images of up to 16 bits keep their values. Color becomes luminance (ITU-R BT.601),
    transparent pixels become black, and the EXIF orientation is applied. PNG color with 16 bits per
    sample is read with 8, as in Pillow.

    Raises
    ------
    ScanError
        ``truncated``, ``corrupt`` or ``too-large``.
    """
    image = _open(file)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as fault:
        cut = "truncated" in str(fault) or "Truncated" in str(fault)
        raise ScanError(
            "the file is cut off" if cut else "the image data cannot be decoded",
            reason="truncated" if cut else "corrupt",
        ) from None
    image = ImageOps.exif_transpose(image)
    return Scan(gray_pixels(image))


def _open(file: BoundedFile) -> Image.Image:
    file.seek(0)
    try:
        with warnings.catch_warnings():
            # Pillow's own guard against bombs; check_size below is ours
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=("PNG", "JPEG"))
    except Image.DecompressionBombError:
        raise ScanError("the image is too large", reason="too-large") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise ScanError("the image header cannot be read", reason="corrupt") from None
    check_size(*image.size)
    return image


def gray_pixels(image: Image.Image) -> npt.NDArray[np.float32]:
    """Return a decoded image as gray values ``(rows, columns)``; color becomes luminance."""
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    if image.mode in ("I", "I;16", "I;16B", "F") or (image.mode == "L" and not has_alpha):
        return np.asarray(image, np.float32)
    if image.mode == "1":
        return np.asarray(image.convert("L"), np.float32)
    if has_alpha:
        samples = np.asarray(image.convert("RGBA"), np.float32)  # (rows, columns, 4)
        color, alpha = samples[..., :3], samples[..., 3] / np.float32(255)
        return luminance(color) * alpha
    samples = np.asarray(image.convert("RGB"), np.float32)  # (rows, columns, 3)
    return luminance(samples)
