"""Opening what may be hostile: regular files only, never more than they hold."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal

from medembed.errors import ScanError

__all__ = [
    "MAX_PIXELS",
    "BoundedBytes",
    "BoundedFile",
    "Opener",
    "check_size",
    "file_from",
    "open_descriptor",
    "open_file",
    "sniff",
]

Kind = Literal["dicom", "image", "nifti"]

MAX_PIXELS = 2**29
"""Pixels of one scan at most, 2 GiB as float32; :class:`medembed.scans.Limits` may be tighter."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GZIP = b"\x1f\x8b"
# ContentInfo of PKCS #7 envelopedData: a DICOM file secured by PS3.15 annex B, or S/MIME
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")


class BoundedFile(io.BufferedReader):
    """A file whose ``read(n)`` never allocates more than the file still holds.

    An element that claims 4 GB in a file of 400 bytes would else allocate 4 GB.

    Attributes
    ----------
    size : int
        Bytes in the file when it was opened.
    ran_short : bool
        Whether a read wanted more than there was. A look for one more element at the very end,
        8 bytes that are not there, does not count.
    """

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__(raw)
        self.size = os.fstat(raw.fileno()).st_size
        self.ran_short = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, or what is left."""
        left = max(0, self.size - self.tell())
        if size is None or size < 0:
            return super().read(left)
        self.ran_short |= _is_short(size, left)
        return super().read(min(size, left))


class BoundedBytes(io.BytesIO):
    """Bytes in memory, with :attr:`ran_short` as :class:`BoundedFile` has it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.size = len(content)
        self.ran_short = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, or what is left."""
        if size is not None and size >= 0:
            self.ran_short |= _is_short(size, max(0, self.size - self.tell()))
        return super().read(size)


Opener = Callable[[str | Path], AbstractContextManager[BoundedFile]]
"""Opens a file by its name, as :func:`open_file` does."""


def _is_short(wanted: int, left: int) -> bool:
    return left < wanted and not (left == 0 and wanted == 8)


@contextmanager
def open_file(path: str | Path) -> Iterator[BoundedFile]:
    """Open a regular file for reading.

    Raises
    ------
    ScanError
        ``not-found``, ``not-a-file`` (directory, pipe, device, loop of links), ``no-permission``
        or ``empty``.
    """
    try:
        with file_from(open_descriptor(path)) as file:
            yield file
    except ScanError as error:
        if error.where:
            raise
        raise ScanError(error.what, where=str(path), hint=error.hint, reason=error.reason) from None


def open_descriptor(path: str | Path) -> int:
    """Open a regular file for reading; the descriptor is the caller's to close.

    Raises
    ------
    ScanError
        ``not-found``, ``not-a-file`` or ``no-permission``.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        # a device may act when it is opened, so look before; and again, for it may have changed
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ScanError("this is not a regular file", reason="not-a-file")
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ScanError("there is no such file", reason="not-found") from None
    except PermissionError:
        raise ScanError("this file may not be read", reason="no-permission") from None
    except (OSError, ValueError):  # a loop of links, a name too long or with a zero byte
        raise ScanError("this path does not lead to a file", reason="not-a-file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ScanError("this is not a regular file", reason="not-a-file")
    return descriptor


@contextmanager
def file_from(descriptor: int) -> Iterator[BoundedFile]:
    """Read an open file from its start, and close it at the end.

    Raises
    ------
    ScanError
        ``empty``.
    """
    with io.FileIO(descriptor) as raw, BoundedFile(raw) as file:
        if file.size == 0:
            raise ScanError("this file holds no bytes", reason="empty")
        yield file


def sniff(file: BoundedFile) -> Kind:
    """Say by its first bytes what a file is; the name of the file plays no part.

    Raises
    ------
    ScanError
        ``not-a-scan`` or ``encrypted``.
    """
    file.seek(0)
    start = file.read(min(540, file.size))
    file.seek(0)
    if start[128:132] == b"DICM":
        return "dicom"
    if start.startswith((_PNG, _JPEG)):
        return "image"
    if _is_nifti(start) or (start.startswith(_GZIP) and _is_nifti(_unzipped_start(file))):
        return "nifti"
    if start[:1] == b"\x30" and _ENVELOPED in start[:40]:
        raise ScanError(
            "this file is encrypted", hint="export it without encryption", reason="encrypted"
        )
    if _looks_like_dicom_without_preamble(start):
        return "dicom"
    raise ScanError(
        "this file is neither DICOM nor PNG, JPEG or NIfTI",
        hint="scans are read in these four formats",
        reason="not-a-scan",
    )


def _is_nifti(start: bytes) -> bool:
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2")


def _unzipped_start(file: BoundedFile) -> bytes:
    try:
        return gzip.GzipFile(fileobj=file).read(540)
    except (OSError, EOFError, zlib.error):
        return b""
    finally:
        file.seek(0)


def _looks_like_dicom_without_preamble(start: bytes) -> bool:
    """Whether the file starts with an element of group 0002 or 0008, as old files do."""
    if len(start) < 16:
        return False
    little = start[:2] in (b"\x02\x00", b"\x08\x00")
    big = start[:2] in (b"\x00\x02", b"\x00\x08")
    if not (little or big) or start[4:6] == b"\x00\x00":
        return False
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    order: Literal["little", "big"] = "little" if little else "big"
    element = int.from_bytes(start[2:4], order)
    length = int.from_bytes(start[4:8], order)
    return explicit or (element < 0x3000 and length < 1024)


def check_size(*lengths: int) -> None:
    """Refuse a claim of more than :data:`MAX_PIXELS` pixels before anything is allocated."""
    total = 1
    for length in lengths:
        if length <= 0:
            raise ScanError("an axis without pixels", reason="corrupt")
        total *= length
    if total > MAX_PIXELS:
        raise ScanError(
            f"more than {MAX_PIXELS} pixels are claimed",
            hint="choose a single frame, or split the file",
            reason="too-large",
        )
