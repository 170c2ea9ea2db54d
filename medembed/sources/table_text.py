"""Encoding detection for csv files, and marking of invalid bytes."""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medembed.errors import SourceError

__all__ = ["BAD_BYTE", "Encoding", "find_encoding", "open_text"]

Encoding = Literal["utf-8-sig", "utf-16", "utf-32", "cp1252"]

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
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"PAR1", "a parquet file"),
)
_MOST_ZEROS = 0.2  # ASCII text in UTF-16 has half of its bytes zero, in UTF-32 three in four


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
    UTF-8 and no valid characters beyond ASCII: then it is Windows-1252, as in browsers.

    Raises
    ------
    SourceError
        If it is not text, or UTF-16 without a mark.

    References
    ----------
    WHATWG Encoding Standard, section 6 (decode) and the index windows-1252.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise SourceError(
                f"{what}, not a csv file",
                where=path.name,
                hint="save the sheet as CSV UTF-8",
            )
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if head.count(0) > _MOST_ZEROS * len(head):
        raise SourceError(
            "UTF-16 without a byte order mark, or not a text file",
            where=path.name,
            hint="save it as CSV UTF-8",
        )
    seen = _look_through(path)
    return "cp1252" if seen.bad and not seen.beyond_ascii else "utf-8-sig"


def _look_through(path: Path) -> _Seen:
    bad = beyond_ascii = False
    with path.open(encoding="utf-8", errors="medembed-mark", newline="") as file:
        while block := file.read(_BLOCK):
            if not block.isascii():
                bad = bad or BAD_BYTE in block
                beyond_ascii = beyond_ascii or re.search(r"[^\x00-\x7f\udcff]", block) is not None
    return _Seen(bad, beyond_ascii)


def open_text(path: Path, encoding: Encoding) -> io.TextIOWrapper:
    """Open the file, keeping its line ends.

    Invalid bytes become :data:`BAD_BYTE`; the five undefined bytes of Windows-1252 become control
    characters, as in browsers.
    """
    errors = "medembed-control" if encoding == "cp1252" else "medembed-mark"
    return path.open(encoding=encoding, errors=errors, newline="")
