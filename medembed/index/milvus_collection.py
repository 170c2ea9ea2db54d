"""One collection on a Milvus server: the vectors of one library and model, without any identity.

A row is a number made with the library's key, a partition whose name is made with it, the vector,
and a digest. Two rows in the partition of no site say what the collection holds, so that it is
never searched while it holds anything else.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from medembed.errors import IndexServerError, InputError, MedEmbedError
from medembed.privacy.private_files import private_folder

if TYPE_CHECKING:
    from pymilvus import MilvusClient

__all__ = [
    "BUCKETS",
    "MOST_HITS",
    "MilvusCollection",
    "collection_name",
    "collections_of",
    "connect",
]

URI, TOKEN = "MEDEMBED_MILVUS_URI", "MEDEMBED_MILVUS_TOKEN"
BUCKETS = 1024
"""Parts of a collection that can be compared without listing it."""
MOST_HITS = 16_384
"""Most hits of a query that Milvus returns."""

_PREFIX = "medembed"
_HOME = "_default"  # Milvus's own partition: the two rows about the collection
_STATE, _SUMS = -1, -2
_CONNECT_SECONDS, _SEARCH_SECONDS, _WRITE_SECONDS = 10.0, 30.0, 600.0
_BATCH_FLOATS = 1 << 20  # 4 MiB a message
_LISTED = 8192
_STATE_LENGTH = 16_384
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]
Sums = npt.NDArray[np.uint64]


def connect() -> MilvusClient:
    """Connect to the server that the environment names, once for each process and address.

    Raises
    ------
    IndexServerError
        If no server is named, the package is missing, or the server does not answer.
    """
    uri = os.environ.get(URI, "").strip()
    if not uri:
        raise IndexServerError("no index server is named", hint=f"set {URI} (and {TOKEN})")
    token = os.environ.get(TOKEN, "").strip()
    if token and uri.startswith("http://") and urlsplit(uri).hostname not in _LOOPBACK:
        raise IndexServerError(
            "the token would be sent unencrypted", where=URI, hint="use an address with https://"
        )
    return _client(uri, token, os.getpid())


@lru_cache(maxsize=4)
def _client(uri: str, token: str, _process: int) -> MilvusClient:
    try:
        from pymilvus import MilvusClient
    except ImportError:
        raise IndexServerError(
            "the package pymilvus is not installed", hint="pip install 'medembed[milvus]'"
        ) from None
    # its messages hold the address and what was asked
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
    with _server_errors("does not answer"):
        if "://" not in uri:
            private_folder(Path(uri))  # Milvus Lite would let every user of the machine read it
        return MilvusClient(uri, token=token, timeout=_CONNECT_SECONDS)


@contextmanager
def _server_errors(what: str) -> Iterator[None]:
    """Turn whatever pymilvus raises into one line, without its text, which may hold the address."""
    try:
        yield
    except MedEmbedError:
        raise
    except Exception as error:  # noqa: BLE001  pymilvus raises errors of gRPC and of its own
        said = str(error).lower()
        if "auth" in said or "permission" in said:
            raise IndexServerError(
                "the index server refused the credentials", hint=f"check {TOKEN}"
            ) from None
        code = getattr(error, "code", None)
        raise IndexServerError(
            f"the index server {what} ({type(error).__name__}"
            + (f", code {code})" if isinstance(code, int) else ")"),
            hint=f"check that it runs at the address in {URI}; "
            "medembed index LIBRARY --backend local searches without it",
        ) from None


def collection_name(library_id: str, fingerprint: str) -> str:
    """Return the name of the collection of a library and model; both only as digests."""
    return f"{_of_library(library_id)}{hashlib.sha256(fingerprint.encode()).hexdigest()[:32]}"


def _of_library(library_id: str) -> str:
    return f"{_PREFIX}_{hashlib.sha256(library_id.encode()).hexdigest()[:32]}_"


def collections_of(client: MilvusClient, library_id: str) -> list[str]:
    """Return the names of the collections of a library."""
    with _server_errors("does not answer"):
        return [
            name
            for name in client.list_collections(timeout=_SEARCH_SECONDS)
            if name.startswith(_of_library(library_id))
        ]


class MilvusCollection:
    """Reads and writes one collection.

    Parameters
    ----------
    client : MilvusClient
    name : str
    dim : int
        Dimension of the vectors.
    """

    def __init__(self, client: MilvusClient, name: str, dim: int) -> None:
        self._client = client
        self.name = name
        self.dim = dim
        self._partitions: set[str] = set()

    def create(self) -> None:
        """Create and load the collection, if it is not there."""
        from pymilvus import DataType

        client = self._client
        with _server_errors("cannot create a collection"):
            if not client.has_collection(self.name, timeout=_SEARCH_SECONDS):
                schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
                schema.add_field("case", DataType.INT64, is_primary=True)
                schema.add_field("bucket", DataType.INT16)
                schema.add_field("digest", DataType.INT64)
                schema.add_field("state", DataType.VARCHAR, max_length=_STATE_LENGTH)
                schema.add_field("vector", DataType.FLOAT_VECTOR, dim=max(self.dim, 2))
                made = client.prepare_index_params()
                made.add_index("vector", index_type="FLAT", metric_type="IP")
                client.create_collection(
                    self.name,
                    schema=schema,
                    index_params=made,
                    consistency_level="Strong",  # a search sees what was written before it
                    timeout=_WRITE_SECONDS,
                )
            client.load_collection(self.name, timeout=_WRITE_SECONDS)
            self._partitions = set(client.list_partitions(self.name, timeout=_SEARCH_SECONDS))

    def drop(self) -> None:
        """Drop the collection."""
        with _server_errors("cannot drop a collection"):
            self._client.drop_collection(self.name, timeout=_WRITE_SECONDS)

    # what the collection holds

    def state(self) -> str:
        """Return what stands for the content, empty while it is being changed or is not there."""
        return self._about(_STATE)

    def sums(self) -> Sums | None:
        """Return the sum of each bucket as of the last complete change, None if unknown."""
        kept = self._about(_SUMS) if self.state() else ""
        if len(kept) != 16 * BUCKETS:
            return None
        return np.frombuffer(bytes.fromhex(kept), dtype="<u8").astype(np.uint64)

    def _about(self, row: int) -> str:
        with _server_errors("does not answer"):
            if not self._partitions:
                if not self._client.has_collection(self.name, timeout=_SEARCH_SECONDS):
                    return ""
                self.create()  # loads it
            found = self._client.get(
                self.name,
                [row],
                output_fields=["state"],
                partition_names=[_HOME],
                timeout=_SEARCH_SECONDS,
            )
        return str(found[0]["state"]) if found else ""

    def mark(self, state: str, sums: Sums | None = None) -> None:
        """Say what the collection holds: empty before a change, the new content after it."""
        rows = [self._row(_STATE, state)]
        if sums is not None:  # first: the state makes them valid
            rows.insert(0, self._row(_SUMS, sums.astype("<u8").tobytes().hex()))
        with _server_errors("cannot be written"):
            for row in rows:
                self._client.upsert(self.name, [row], partition_name=_HOME, timeout=_WRITE_SECONDS)

    def _row(self, number: int, state: str) -> dict[str, Any]:
        vector = np.zeros(max(self.dim, 2), dtype=np.float32)
        vector[0] = 1
        return {"case": number, "bucket": -1, "digest": 0, "state": state, "vector": vector}

    def listing(self, buckets: Sequence[int] | None = None) -> tuple[Keys, Keys]:
        """Return numbers and digests of the rows, of all buckets or of some."""
        where = "bucket >= 0" if buckets is None else f"bucket in {[int(b) for b in buckets]}"
        keys: list[int] = []
        digests: list[int] = []
        with _server_errors("cannot be listed"):
            pages = self._client.query_iterator(
                self.name,
                batch_size=_LISTED,
                filter=where,
                output_fields=["case", "digest"],
                timeout=_WRITE_SECONDS,
            )
            while page := pages.next():
                keys += [row["case"] for row in page]
                digests += [row["digest"] for row in page]
            pages.close()
        return np.array(keys, dtype=np.int64), np.array(digests, dtype=np.int64)

    # changing it

    def send(
        self,
        partition: str,
        keys: Keys,
        buckets: npt.NDArray[np.int16],
        digests: Keys,
        vectors: Floats,
        rows: npt.NDArray[np.intp],
    ) -> None:
        """Write ``rows`` of ``vectors`` into a partition, replacing those of the same number."""
        step = max(1, _BATCH_FLOATS // max(self.dim, 1))
        with _server_errors("cannot be written"):
            if partition not in self._partitions:
                self._client.create_partition(self.name, partition, timeout=_WRITE_SECONDS)
                self._partitions.add(partition)
            for at in range(0, len(keys), step):
                here = slice(at, at + step)
                names = ("case", "bucket", "digest", "vector", "state")
                columns = (
                    keys[here].tolist(),
                    buckets[here].tolist(),
                    digests[here].tolist(),
                    self._padded(vectors[rows[here]]),
                    [""] * len(keys[here]),
                )
                batch = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
                self._client.upsert(
                    self.name, batch, partition_name=partition, timeout=_WRITE_SECONDS
                )

    def _padded(self, rows: Floats) -> Floats:
        """Give vectors of one dimension the second one that Milvus requires."""
        return np.pad(rows, ((0, 0), (0, 1))) if self.dim == 1 else rows

    def delete(self, keys: Keys) -> None:
        """Delete rows by number."""
        with _server_errors("cannot be written"):
            for at in range(0, len(keys), _LISTED):
                self._client.delete(
                    self.name, ids=keys[at : at + _LISTED].tolist(), timeout=_WRITE_SECONDS
                )

    def settle(self, *, compact: bool = False) -> None:
        """Have the server write what it holds in memory, and rewrite files with deleted rows."""
        with _server_errors("cannot be written"):
            self._client.flush(self.name, timeout=_WRITE_SECONDS)
            if compact:
                self._client.compact(self.name, timeout=_WRITE_SECONDS)

    # searching

    def search(
        self, queries: Floats, limit: int, partitions: Sequence[str], where: str
    ) -> list[tuple[Keys, Floats]]:
        """Return numbers and inner products of the nearest rows of each query, best first."""
        if limit > MOST_HITS:
            raise InputError(f"a server returns at most {MOST_HITS} hits")
        with _server_errors("cannot search"):
            found = self._client.search(
                self.name,
                data=self._padded(queries),
                anns_field="vector",
                limit=limit,
                filter=where,
                partition_names=list(partitions),
                output_fields=["case"],
                search_params={"metric_type": "IP"},
                timeout=_SEARCH_SECONDS,
            )
        return [
            (
                np.array([hit["case"] for hit in hits], dtype=np.int64),
                np.array([hit["distance"] for hit in hits], dtype=np.float32),
            )
            for hits in found
        ]
