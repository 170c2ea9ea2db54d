"""Safe opening of untrusted files: regular files only, with bounded reads."""

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
"""Maximum pixels of one scan, 2 GiB as float32; :class:`medembed.scans.Limits` may be tighter."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GZIP = b"\x1f\x8b"
# ContentInfo of PKCS #7 envelopedData: a DICOM file secured by PS3.15 annex B, or S/MIME
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")


class BoundedFile(io.BufferedReader):
    """A file whose ``read(n)`` never allocates more than the rest of the file.

    Otherwise an element that declares 4 GB in a file of 400 bytes would allocate 4 GB.

    Attributes
    ----------
    size : int
        Bytes in the file when it was opened.
    ran_short : bool
        Whether a read asked for more than was left. A look for one more element at the very end (8
        missing bytes) does not count.
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
    """Bytes in memory, with :attr:`ran_short` like :class:`BoundedFile`."""

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
"""Opens a file by name, like :func:`open_file`."""


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
    """Open a regular file for reading; the caller closes the descriptor.

    Raises
    ------
    ScanError
        ``not-found``, ``not-a-file`` or ``no-permission``.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        # opening a device can have effects, so check before; and again, in case it changed
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ScanError("this is not a regular file", reason="not-a-file")
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ScanError("file not found", reason="not-found") from None
    except PermissionError:
        raise ScanError("no permission to read this file", reason="no-permission") from None
    except (OSError, ValueError):  # a loop of links, a name too long or with a zero byte
        raise ScanError("this path is not a file", reason="not-a-file") from None
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
            raise ScanError("this file is empty", reason="empty")
        yield file


def sniff(file: BoundedFile) -> Kind:
    """Detect the format of a file by its first bytes; its name is ignored.

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
        "not a DICOM, PNG, JPEG or NIfTI file",
        hint="use one of these formats",
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
    """Return whether the file starts with an element of group 0002 or 0008, like old files."""
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
    """Refuse more than :data:`MAX_PIXELS` declared pixels before allocating anything."""
    total = 1
    for length in lengths:
        if length <= 0:
            raise ScanError("an image dimension is 0", reason="corrupt")
        total *= length
    if total > MAX_PIXELS:
        raise ScanError(
            f"the file declares more than {MAX_PIXELS} pixels",
            hint="choose a single frame, or split the file",
            reason="too-large",
        )
