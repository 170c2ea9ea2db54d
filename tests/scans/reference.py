"""A second opinion on every file: another decoder's stored values, then textbook formulas.

The decoders are DCMTK's command-line tools (IJG's libjpeg, CharLS, its own RLE and byte order), and
SimpleITK's GDCM or an uncompressed twin of the same image for JPEG 2000, which DCMTK lacks. What
follows is written from DICOM PS3.3 C.7.6.3 and C.11 and shares no code with ``medembed.scans``.
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import data_store
import numpy as np
import pydicom
import pydicom.data
from pydicom import uid

ROOTS = {
    "pydicom": Path(pydicom.data.__file__).parent,
    "pydicom-data": Path(next(iter(data_store.__path__))) / "data",
}
NOT_SAMPLES = {".py", ".pyc", ".json", ".txt", ".md", ".toml", ".typed"}

TOOLS = {
    uid.JPEGBaseline8Bit: "dcmdjpeg",
    uid.JPEGExtended12Bit: "dcmdjpeg",
    uid.JPEGLossless: "dcmdjpeg",
    uid.JPEGLosslessSV1: "dcmdjpeg",
    uid.JPEGLSLossless: "dcmdjpls",
    uid.JPEGLSNearLossless: "dcmdjpls",
    uid.RLELossless: "dcmdrle",
}
LOSSY = {
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
}
# The same image without compression, as its makers published it.
TWINS = {
    f"pydicom-data/{name}_{kind}.dcm": f"pydicom-data/{name}_{twin}.dcm"
    for name in ("693", "MR2", "RG1", "RG3", "US1")
    for kind, twin in (("J2KR", "UNCR"), ("J2KI", "UNCI"))
    if name != "693" or kind == "J2KR"
} | {
    "pydicom/test_files/MR_small_jp2klossless.dcm": "pydicom/test_files/MR_small.dcm",
    "pydicom/test_files/examples_jpeg2k.dcm": "pydicom-data/US1_UNCR.dcm",
    "pydicom/test_files/SC_rgb_gdcm_KY.dcm": "pydicom-data/SC_rgb_gdcm2k_uncompressed.dcm",
    "pydicom/test_files/693_J2KI.dcm": "pydicom-data/693_UNCI.dcm",
    "pydicom/test_files/JPEG2000.dcm": "pydicom-data/JPEG2000_UNC.dcm",
    # written with 4-byte words, which DCMTK and GDCM take for the 2-byte words of OW
    "pydicom/test_files/rtdose_expb.dcm": "pydicom/test_files/rtdose.dcm",
    "pydicom/test_files/rtdose_expb_1frame.dcm": "pydicom/test_files/rtdose_1frame.dcm",
    "pydicom-data/emri_small_jpeg_2k_lossless.dcm": "pydicom-data/emri_small.dcm",
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm": "pydicom-data/emri_small.dcm",
    # a NumberOfFrames that is no number
    "pydicom/test_files/badVR.dcm": "pydicom/test_files/rtdose.dcm",
}
# DCMTK reads no segmented palettes, and takes a stray byte in the third for the end of the file.
SIMPLEITK = {
    "pydicom-data/gdcm-US-ALOKA-16.dcm",
    "pydicom-data/gdcm-US-ALOKA-16_big.dcm",
    "pydicom/test_files/SC_rgb_jpeg.dcm",
}


@dataclass(frozen=True)
class Opinion:
    """What another decoder says a file shows.

    ``pixels`` is float64 ``(frames, rows, columns)``, ``frames`` which of the file's frames these
    are, ``padded`` marks padding, ``unit`` is what one stored step is worth.
    """

    frames: list[int]
    pixels: np.ndarray
    padded: np.ndarray
    oracle: str
    encoding: str
    lossy: bool
    unit: float


def samples() -> list[str]:
    """Every file of the two packages that may be an image, as ``package/path``."""
    return sorted(
        f"{package}/{path.relative_to(root).as_posix()}"
        for package, root in ROOTS.items()
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in NOT_SAMPLES
    )


def path_of(name: str) -> Path:
    package, _, rest = name.partition("/")
    return ROOTS[package] / rest


def missing_tools() -> list[str]:
    tools = ("dcmconv", "dcmdjpeg", "dcmdjpls", "dcmdrle")
    return [tool for tool in tools if shutil.which(tool) is None]


def opinion(name: str) -> Opinion:
    """Ask another decoder about a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(path_of(name), force=True, stop_before_pixels=True)
        syntax = header.file_meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian)
        encoding = getattr(syntax, "name", "?").split(" (")[0]
        lossy = syntax in LOSSY
        if name in TWINS:
            twin = opinion(TWINS[name])
            oracle = f"{twin.oracle} on {TWINS[name].rpartition('/')[2]}"
            return replace(twin, oracle=oracle, encoding=encoding, lossy=lossy)
        if name in SIMPLEITK or (syntax.is_encapsulated and syntax not in TOOLS):
            return _by_simpleitk(name, encoding, lossy)
        tool = TOOLS.get(syntax, "dcmconv")
        ds = _converted(name, tool)
        n_frames = int(ds.get("NumberOfFrames", 1))
        frames = [0, n_frames // 2, n_frames - 1] if n_frames > 16 else list(range(n_frames))
        pixels, padded, unit = _meaning(ds, frames)
        return Opinion(frames, pixels, padded, f"DCMTK {tool}", encoding, lossy, unit)


def difference(pixels: np.ndarray, expected: Opinion) -> float:
    """Largest difference outside the padding, in stored steps.

    What float32 cannot tell apart, beyond 2**24, is no difference.
    """
    found = (pixels if pixels.ndim == 3 else pixels[None])[expected.frames].astype(np.float64)
    assert found.shape == expected.pixels.shape
    apart = np.abs(found - expected.pixels)
    apart[apart <= np.abs(expected.pixels) * 2.0**-23] = 0
    return float(apart[~expected.padded].max() / expected.unit)


def _converted(name: str, tool: str) -> pydicom.Dataset:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.dcm"
        subprocess.run(
            [tool, "+te", str(path_of(name)), str(out)],
            check=True,
            capture_output=True,
            timeout=60,
        )
        return pydicom.dcmread(out)


def _by_simpleitk(name: str, encoding: str, lossy: bool) -> Opinion:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path_of(name)))).astype(np.float64)
    if array.ndim == 4 or array.shape[-1] == 3:
        array = luminance(array.reshape(-1, *array.shape[-3:]))
    array = array.reshape(-1, *array.shape[-2:])
    frames = list(range(len(array)))
    padded = np.zeros(array.shape, bool)
    return Opinion(frames, array, padded, "SimpleITK (GDCM)", encoding, lossy, 1.0)


def luminance(rgb: np.ndarray) -> np.ndarray:
    return 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]


def _meaning(ds: pydicom.Dataset, frames: list[int]) -> tuple[np.ndarray, np.ndarray, float]:
    """Values, padding and the size of one stored step, from an uncompressed file."""
    stored = _stored(ds, frames)
    kind = ds.PhotometricInterpretation
    none = np.zeros(stored.shape[:3], bool)
    if kind == "PALETTE COLOR":
        return luminance(_palette(ds, stored)), none, 1.0
    if kind.startswith("YBR"):
        return luminance(_ybr_to_rgb(stored)), none, 1.0
    if kind == "RGB":
        return luminance(stored), none, 1.0
    padded = none
    if "PixelPaddingValue" in ds:
        padded = stored == ds.PixelPaddingValue
    low, high = (
        (-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1)
        if ds.PixelRepresentation
        else (0, 2**ds.BitsStored - 1)
    )
    if "ModalityLUTSequence" in ds:
        item = ds.ModalityLUTSequence[0]
        n, first, _ = item.LUTDescriptor
        table = np.array(item.LUTData, np.float64)
        assert len(table) == n
        return table[np.clip(stored.astype(int) - first, 0, n - 1)], padded, 1.0
    source = ds
    if "SharedFunctionalGroupsSequence" in ds:
        shared = ds.SharedFunctionalGroupsSequence[0]
        source = (shared.get("PixelValueTransformationSequence") or [pydicom.Dataset()])[0]
    slope = float(source.get("RescaleSlope", 1))
    intercept = float(source.get("RescaleIntercept", 0))
    values = stored * slope + intercept
    if kind == "MONOCHROME1":
        values = (low + high) * slope + 2 * intercept - values
    return values, padded, abs(slope)


def _stored(ds: pydicom.Dataset, frames: list[int]) -> np.ndarray:
    """Stored values as float64 ``(frames, rows, columns[, samples])``."""
    size = (ds.Rows, ds.Columns)
    n_bits = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated
    if ds.PhotometricInterpretation == "YBR_FULL_422":
        n_bits = n_bits * 2 // 3
    if ds.BitsAllocated == 1:  # frames are not padded to whole bytes
        bits = np.unpackbits(np.frombuffer(ds.PixelData, np.uint8), bitorder="little")
        parts = [bits[i * n_bits : (i + 1) * n_bits] for i in frames]
        return np.stack(parts).reshape(-1, *size).astype(np.float64)
    n_bytes = n_bits // 8
    parts = [ds.PixelData[i * n_bytes : (i + 1) * n_bytes] for i in frames]
    raw = np.frombuffer(b"".join(parts), f"<u{ds.BitsAllocated // 8}").astype(np.int64)
    if ds.PhotometricInterpretation == "YBR_FULL_422":
        y1, y2, cb, cr = raw.reshape(-1, 4).T
        pairs = np.stack([np.stack([y1, cb, cr], -1), np.stack([y2, cb, cr], -1)], 1)
        return pairs.reshape(-1, *size, 3).astype(np.float64)
    raw = raw >> (ds.HighBit + 1 - ds.BitsStored)
    raw &= 2**ds.BitsStored - 1
    if ds.PixelRepresentation:
        raw = np.where(raw >= 2 ** (ds.BitsStored - 1), raw - 2**ds.BitsStored, raw)
    if ds.SamplesPerPixel == 1:
        return raw.reshape(-1, *size).astype(np.float64)
    if ds.PlanarConfiguration:
        return np.moveaxis(raw.reshape(-1, 3, *size), 1, -1).astype(np.float64)
    return raw.reshape(-1, *size, 3).astype(np.float64)


def _ybr_to_rgb(ybr: np.ndarray) -> np.ndarray:
    y, cb, cr = ybr[..., 0], ybr[..., 1] - 128, ybr[..., 2] - 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1)
    return np.clip(np.rint(rgb), 0, 255)


def _palette(ds: pydicom.Dataset, stored: np.ndarray) -> np.ndarray:
    channels = []
    for colour in ("Red", "Green", "Blue"):
        n, first, bits = ds[f"{colour}PaletteColorLookupTableDescriptor"].value
        n = n or 65536
        data = ds[f"{colour}PaletteColorLookupTableData"].value
        table = np.frombuffer(data, "<u2" if len(data) >= 2 * n or bits == 16 else np.uint8)
        index = np.clip(stored.astype(int) - first, 0, n - 1)
        channels.append(table[index].astype(np.float64))
    return np.stack(channels, -1)
