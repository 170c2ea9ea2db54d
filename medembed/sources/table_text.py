"""Encoding detection for csv files, and marking of invalid bytes."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from medembed.errors import SourceError

__all__ = ["BAD_BYTE", "Encoding", "find_encoding", "is_zipped", "open_text"]

Encoding = Literal["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]

BAD_BYTE = "\udcff"
"""Replaces invalid bytes in the text; no valid file contains it."""

_BLOCK = 2**20
# longer marks first: the UTF-32 mark starts like the UTF-16 one
_MARKS: tuple[tuple[bytes, Encoding], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a parquet file"),
)
_MOST_ZEROS = 0.2  # ASCII text in UTF-16 has half of its bytes zero, in UTF-32 three in four
_ONE_SIDE = 0.95  # share of the zeros in every other byte that shows UTF-16 without a mark
_LONGEST_LINE = 2**26  # characters; a packed file may expand to any length


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return BAD_BYTE, error.end


def _as_control(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("medembed-mark", _mark)
codecs.register_error("medembed-control", _as_control)


@dataclass(frozen=True)
class _Seen:
    """Whether a file has bytes invalid in UTF-8, and valid characters beyond ASCII."""

    bad: bool
    beyond_ascii: bool


def find_encoding(path: Path) -> Encoding:
    """Find the encoding of a csv file.

    A byte order mark decides. Without one it is UTF-8, unless it has bytes that are invalid in
    UTF-8 and no valid characters beyond ASCII: then it is Windows-1252, as in browsers. UTF-16
    without a mark shows by its zeros: the column names are ASCII.

    Raises
    ------
    SourceError
        If it is not text, or a packed file that is cut off or damaged.

    References
    ----------
    WHATWG Encoding Standard, section 6 (decode) and the index windows-1252.
    """
    try:
        return _encoding_of(path)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise SourceError(
            "the gzip file is cut off or damaged", where=path.name, hint="copy it again"
        ) from None


def _encoding_of(path: Path) -> Encoding:
    with _open_bytes(path) as file:
        head = file.read(4096)
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise SourceError(
                f"{what}, not a csv file",
                where=path.name,
                hint="save the sheet as CSV UTF-8",
            )
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
    if marked is None and head.count(0) > _MOST_ZEROS * len(head):
        marked = _utf_16(head)
        if marked is None:
            raise SourceError("not a text file", where=path.name, hint="save it as CSV UTF-8")
    seen = _look_through(path, marked or "utf-8")
    if marked is not None:
        return marked
    return "cp1252" if seen.bad and not seen.beyond_ascii else "utf-8-sig"


def _utf_16(head: bytes) -> Encoding | None:
    """Return the byte order of UTF-16 without a mark: in which byte of each pair the zeros are."""
    second = head[1::2].count(0) / head.count(0)
    if second >= _ONE_SIDE:
        return "utf-16-le"
    return "utf-16-be" if second <= 1 - _ONE_SIDE else None


def _look_through(path: Path, encoding: str) -> _Seen:
    bad = beyond_ascii = False
    length = 0
    with _open(path, encoding, "medembed-mark") as file:
        while block := file.read(_BLOCK):
            end = block.rfind("\n")
            length = length + len(block) if end < 0 else len(block) - end
            if length > _LONGEST_LINE:
                raise SourceError(
                    f"a line has more than {_LONGEST_LINE:,} characters: not a table",
                    where=path.name,
                )
            if not block.isascii():
                bad = bad or BAD_BYTE in block
                beyond_ascii = beyond_ascii or re.search(r"[^\x00-\x7f\udcff]", block) is not None
    return _Seen(bad, beyond_ascii)


def open_text(path: Path, encoding: Encoding) -> io.TextIOWrapper:
    """Open the file, keeping its line ends.

    Invalid bytes become :data:`BAD_BYTE`; the five undefined bytes of Windows-1252 become control
    characters, as in browsers.
    """
    return _open(path, encoding, "medembed-control" if encoding == "cp1252" else "medembed-mark")


def is_zipped(path: Path) -> bool:
    """Return whether a file is gzip, by its first bytes: its name may say otherwise."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _open(path: Path, encoding: str, errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(_open_bytes(path), encoding=encoding, errors=errors, newline="")


def _open_bytes(path: Path) -> BinaryIO:
    if is_zipped(path):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")
