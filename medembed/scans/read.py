"""Reading of files to :class:`Scan` and :class:`ScanHeader`, in this process."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from medembed.errors import ScanError
from medembed.scans.geometry import along_normal, axes_of, rounding_mm, slice_distance
from medembed.scans.header import ScanHeader
from medembed.scans.pixel_digest import frame_digest
from medembed.scans.safe_open import BoundedFile, Opener, check_size, open_file, sniff
from medembed.scans.scan import Scan
from medembed.scans.series import Series, group_series

__all__ = [
    "Files",
    "header_from",
    "inspect_file",
    "inspect_from",
    "listed",
    "read_header",
    "read_scan",
    "scan_from",
]

Files = str | Path | Sequence[str | Path]
T = TypeVar("T")


def read_header(file: str | Path) -> ScanHeader:
    """Read the header of a file, without its pixels.

    Runs in this process without limits; for files of unknown origin use
    :meth:`medembed.scans.ScanReader.header`.

    Parameters
    ----------
    file : str or Path

    Raises
    ------
    ScanError
        Has the path in ``where`` and a code in ``reason``.
    """
    return header_from(file, open_file)


def inspect_file(file: str | Path) -> ScanHeader:
    """Read a header and decode all pixels, in one pass.

    Returns
    -------
    ScanHeader
        Includes ``frame_digests``, ``file_sha256`` and all ``remarks``.

    Raises
    ------
    ScanError
        Has the path in ``where`` and a code in ``reason``.
    """
    return inspect_from(file, open_file)


def read_scan(files: Files, *, frame: int | None = None) -> Scan:
    """Read one image or one volume.

    Runs in this process without limits; for files of unknown origin use
    :meth:`medembed.scans.ScanReader.read`.

    Parameters
    ----------
    files : str, Path or sequence of them
        One file; the DICOM files of one volume in any order; or a folder with only those.
    frame : int, optional
        Only this frame of one multi-frame file, counted from 0.

    Returns
    -------
    Scan

    Raises
    ------
    ScanError
        Has the path in ``where`` and a code in ``reason`` (docs/reference/scans.md).
    """
    paths = listed(files)
    return scan_from(paths, frame, open_file, where=str(Path(paths[0]).parent))


def listed(files: Files) -> list[str | Path]:
    """Return the given files, or the files of a given folder.

    Raises
    ------
    ScanError
        ``not-found`` or ``empty`` if there are none.
    """
    if not isinstance(files, str | Path):
        if not files:
            raise ScanError("no file given", reason="not-found")
        return list(files)
    try:
        if not Path(files).is_dir():
            return [files]
        inside: list[str | Path] = sorted(p for p in Path(files).iterdir() if not p.is_dir())
    except PermissionError:
        raise ScanError(
            "no permission to read this folder", where=str(files), reason="no-permission"
        ) from None
    except (OSError, ValueError):  # opening the file reports the cause
        return [files]
    if not inside:
        raise ScanError("this folder has no files", where=str(files), reason="empty")
    return inside


def header_from(file: str | Path, opener: Opener) -> ScanHeader:
    """Like :func:`read_header`, with a given opener."""
    return _read(file, opener, _header)


def inspect_from(file: str | Path, opener: Opener) -> ScanHeader:
    """Like :func:`inspect_file`, with a given opener.

    The error for a file whose header can be read has it as ``header``.
    """
    try:
        return _read(file, opener, _inspected)
    except ScanError as error:
        with suppress(ScanError):
            error.header = header_from(file, opener)
        raise


def scan_from(
    paths: Sequence[str | Path], frame: int | None, opener: Opener, *, where: str
) -> Scan:
    """Like :func:`read_scan`, with a given opener.

    Parameters
    ----------
    paths : sequence of str or Path
        At least one.
    frame : int or None
    opener : callable
    where : str
        Name of all files for error messages.
    """
    if len(paths) == 1:
        return _read(paths[0], opener, lambda file: _scan(file, frame))
    if frame is not None:
        raise ScanError(
            "a frame can only be chosen from a single file", where=where, reason="no-such-frame"
        )
    found = group_series((path, header_from(path, opener)) for path in paths)
    if len(found) > 1 or found[0].error is not None:
        # the pixels identify slices that were sent twice
        found = group_series((path, inspect_from(path, opener)) for path in paths)
    series = _only(found, len(paths), where)
    if len(series.files) == 1:
        return scan_from(series.files, None, opener, where=where)
    return _stack(series, opener, where)


def _only(found: list[Series], n_files: int, where: str) -> Series:
    if len(found) > 1:
        raise ScanError(
            f"{n_files} files form {len(found)} series, not one volume",
            where=where,
            hint="select the files of one series",
            reason="several-series",
        )
    if found[0].error is not None:
        error = found[0].error
        raise ScanError(error.what, where=where, hint=error.hint, reason=error.reason)
    return found[0]


def _stack(series: Series, opener: Opener, where: str) -> Scan:
    """Read the slices of a volume in their order."""
    first = series.headers[0]
    check_size(len(series.files), first.rows, first.columns)
    pixels = np.empty((len(series.files), first.rows, first.columns), np.float32)
    lead: Scan | None = None
    remarks: dict[str, None] = {}
    for i, file in enumerate(series.files):
        one = scan_from([file], None, opener, where=where)
        remarks.update(dict.fromkeys(one.remarks))
        lead = lead or one
        if one.pixels.shape != pixels.shape[1:] or one.units != lead.units:
            raise ScanError("slices differ in size or units", where=where, reason="mixed-geometry")
        pixels[i] = one.pixels
    if lead is None:
        raise ScanError("no file given", where=where, reason="not-found")
    spacing = None
    if lead.spacing_mm is not None and first.orientation is not None:
        positions = [h.position or () for h in series.headers]
        places = along_normal(positions, first.orientation)
        rounding = rounding_mm(positions, first.orientation)
        spacing = (slice_distance(places, rounding), *lead.spacing_mm)
    pixels.setflags(write=False)  # else Scan would copy it
    return Scan(
        pixels=pixels,
        spacing_mm=spacing,
        units=lead.units,
        modality=lead.modality,
        view=lead.view,
        windows=lead.windows,
        voi_luts=lead.voi_luts,
        study_uid=lead.study_uid,
        series_uid=lead.series_uid,
        instance_uids=tuple(h.instance_uid for h in series.headers),
        remarks=tuple(remarks),
        body_part=lead.body_part,
        axes=() if first.orientation is None else axes_of(first.orientation),
    )


def _read(path: str | Path, opener: Opener, how: Callable[[BoundedFile], T]) -> T:
    """Open and read a file; any error becomes a ScanError with its path."""
    with _one_line_errors(str(path)), opener(path) as file:
        return how(file)


@contextmanager
def _one_line_errors(where: str) -> Iterator[None]:
    try:
        yield
    except ScanError as error:
        if error.where:
            raise
        raise ScanError(error.what, where=where, hint=error.hint, reason=error.reason) from None
    except MemoryError:
        raise ScanError(
            "reading this file needs more memory than allowed", where=where, reason="too-large"
        ) from None
    except RecursionError:
        raise ScanError(
            "sequences are nested too deeply", where=where, reason="nested-too-deep"
        ) from None
    except (EOFError, zlib.error):
        raise ScanError("the file is cut off", where=where, reason="truncated") from None
    except Exception as fault:  # noqa: BLE001 - a parser fed with hostile bytes raises anything
        # the message may quote the header: only the type is safe to show
        raise ScanError(
            f"the file cannot be decoded ({type(fault).__name__})", where=where, reason="corrupt"
        ) from None


def _header(file: BoundedFile) -> ScanHeader:
    kind = sniff(file)
    if kind == "image":
        from medembed.scans.plain_image import image_header

        return image_header(file)
    if kind == "nifti":
        from medembed.scans.nifti import nifti_header

        return nifti_header(file)
    from medembed.scans.dicom_file import parse, quiet
    from medembed.scans.dicom_header import header_of

    with quiet():
        return header_of(parse(file, pixels=False))


def _inspected(file: BoundedFile) -> ScanHeader:
    if sniff(file) == "dicom":
        from medembed.scans.dicom_file import parse, quiet
        from medembed.scans.dicom_header import header_of
        from medembed.scans.dicom_scan import scan_of

        with quiet():
            parsed = parse(file, pixels=True)
            header = header_of(parsed)
            scan = scan_of(parsed)  # collects all remarks
    else:
        header, scan = _header(file), _scan(file, None)
    remarks = dict.fromkeys((*header.remarks, *scan.remarks))
    frames = scan.pixels if scan.is_volume else scan.pixels[None]
    digests = tuple(frame_digest(frame) for frame in frames)
    return replace(
        header, remarks=tuple(remarks), frame_digests=digests, file_sha256=_sha256_of(file)
    )


def _sha256_of(file: BoundedFile) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def _scan(file: BoundedFile, frame: int | None) -> Scan:
    kind = sniff(file)
    if kind == "image":
        from medembed.scans.plain_image import image_scan

        if frame not in (None, 0):
            raise ScanError("the file has 1 frame", reason="no-such-frame")
        return image_scan(file)
    if kind == "nifti":
        from medembed.scans.nifti import nifti_scan

        return nifti_scan(file, frame)
    from medembed.scans.dicom_file import parse, quiet
    from medembed.scans.dicom_scan import scan_of

    with quiet():
        return scan_of(parse(file, pixels=True), frame)
