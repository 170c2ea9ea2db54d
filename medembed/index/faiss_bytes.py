"""FAISS indexes as bytes.

``faiss.serialize_index`` hands a C++ vector to Python through SWIG, whose types are shared by all
modules of a process: once SimpleITK has been imported, it fails. Callbacks pass bytes only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from medembed.errors import InputError

__all__ = ["index_at", "index_from_bytes", "index_to_bytes"]

_SLACK_BYTES = 1 << 20


def index_to_bytes(index: Any) -> bytes:
    """Serialize a FAISS index."""
    import faiss

    library: Any = faiss
    parts: list[bytes] = []
    writer = library.PyCallbackIOWriter(lambda part: parts.append(bytes(part)))
    library.write_index(index, writer)
    del writer  # it keeps what it has not handed over yet
    return b"".join(parts)


def index_at(data: memoryview) -> Any:
    """Use what :func:`index_to_bytes` wrote where it lies, as :func:`index_from_bytes` otherwise.

    Codes are not copied, so that ``data`` must live as long as the index.
    """
    import faiss

    library: Any = faiss
    there: Any = np.frombuffer(data, dtype=np.uint8)
    return _read(library.ZeroCopyIOReader(library.swig_ptr(there), there.size), len(data))


def index_from_bytes(data: memoryview) -> Any:
    """Read what :func:`index_to_bytes` wrote. Check a digest of ``data`` first: FAISS does not.

    Raises
    ------
    InputError
        If FAISS cannot read it.
    """
    import faiss

    library: Any = faiss
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        part = bytes(data[at : at + size])
        at += len(part)
        return part

    return _read(library.PyCallbackIOReader(read), len(data))


def _read(reader: Any, size: int) -> Any:
    import faiss

    before = faiss.get_deserialization_vector_byte_limit()
    faiss.set_deserialization_vector_byte_limit(size + _SLACK_BYTES)
    try:
        return faiss.read_index(reader)
    except RuntimeError:
        raise InputError("an index file that FAISS cannot read") from None
    finally:
        faiss.set_deserialization_vector_byte_limit(before)
