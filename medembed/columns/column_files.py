"""The file of a library's columns: derived, signed with its key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medembed.columns.case_columns import IDENTIFIERS, TEXTS, CaseColumns
from medembed.columns.column import Coded, Column, Hashed, Listed
from medembed.columns.reading import Stamp
from medembed.errors import InputError
from medembed.index.library_index import COLUMNS_FOLDER
from medembed.index.sealed_files import Buffer, Content, read_sealed, write_sealed

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.library import CaseLibrary

__all__ = ["columns_folder", "hash_key", "read_file", "write_file"]

_FORMAT = 1
_ALIGNED = 8

Array = npt.NDArray[Any]


def columns_folder(library: CaseLibrary) -> Path:
    """Return where the columns are kept, beside the index files."""
    return library.path / "index" / COLUMNS_FOLDER


def hash_key(library: CaseLibrary) -> bytes:
    """Return the key of the hashes in the columns, derived from the library's."""
    return hashlib.blake2b(b"medembed columns", digest_size=32, key=library.key).digest()


def write_file(library: CaseLibrary, columns: CaseColumns, stamp: Stamp) -> None:
    """Write the columns of a state; the caller keeps others from writing."""
    arrays, values = columns.parts()
    layout: list[list[Any]] = []
    content: list[Buffer] = []
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        layout.append([name, plain.dtype.str, len(plain)])
        content += [plain.tobytes(), bytes(-plain.nbytes % _ALIGNED)]
    files: dict[str, Content] = {
        "arrays": content,
        "about": json.dumps({"layout": layout, "values": values}).encode(),
    }
    head = {"format": _FORMAT, "stamp": list(stamp), "library": library.library_id}
    write_sealed(columns_folder(library), head, files, library.key)


def read_file(library: CaseLibrary) -> tuple[CaseColumns, Stamp] | None:
    """Read the last columns that were written; None if there are none, or damaged ones."""
    try:
        head, files = read_sealed(columns_folder(library), library.key)
        if head["format"] != _FORMAT or head["library"] != library.library_id:
            return None
        about = json.loads(bytes(files["about"]))
        arrays = _arrays(about["layout"], files["arrays"])
        columns = _columns(arrays, about["values"], hash_key(library))
        return columns, Stamp(*map(int, head["stamp"]))
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return None


def _arrays(layout: list[tuple[str, str, int]], data: Buffer) -> dict[str, Array]:
    arrays, at = {}, 0
    for name, kind, length in layout:
        dtype = np.dtype(kind)
        arrays[name] = np.frombuffer(data, dtype, length, at) if length else np.zeros(0, dtype)
        at += arrays[name].nbytes + -arrays[name].nbytes % _ALIGNED
    return arrays


def _columns(arrays: dict[str, Array], values: dict[str, Any], key: bytes) -> CaseColumns:
    n = len(arrays["rows"])
    groups: dict[str, dict[str, Column]] = {"field": {}, "attribute": {}}
    for title, array in arrays.items():
        group, _, name = title.partition(" ")
        if group not in groups:
            continue
        if len(array) != n:
            raise ValueError("columns of different lengths")
        coded = values.get(title)
        groups[group][name] = Hashed(array, key) if coded is None else Coded(array, tuple(coded))
    if len(arrays["is read"]) != n:
        raise ValueError("columns of different lengths")
    findings: Listed[tuple[str, str]] = Listed(
        arrays["finding positions"],
        arrays["finding codes"],
        tuple((str(label), str(side)) for label, side in values["findings"]),
        n,
    )
    statements: Listed[tuple[str, str, str]] = Listed(
        arrays["statement positions"],
        arrays["statement codes"],
        tuple((str(label), str(status), str(side)) for label, status, side in values["statements"]),
        n,
    )
    return CaseColumns(
        arrays["rows"],
        arrays["seals"],
        arrays["ages"],
        _in_order(groups["field"]),
        groups["attribute"],
        findings,
        statements,
        arrays["is read"],
    )


def _in_order(fields: Mapping[str, Column]) -> dict[str, Column]:
    return {name: fields[name] for name in (*IDENTIFIERS, *TEXTS)}
