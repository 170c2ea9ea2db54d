"""What a Milvus collection should hold of some cases: numbers, digests, partitions, sums.

The library's key makes the numbers of cases and the names of partitions, so that the server learns
neither a case id nor a site. The digest of a row stands for its vector and its partition; the
sums of the digests, by bucket, tell in which part of a collection anything differs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medembed.errors import InputError
from medembed.index.milvus_collection import BUCKETS

__all__ = ["Content", "case_numbers", "content_of", "row_sums", "state_of"]

_MOST_SITES = 1000
"""Milvus has at most 1,024 partitions in a collection; beyond this, one holds all cases."""
_BLOCK_ROWS = 1 << 13

Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Content:
    """Rows of an index as a server should hold them.

    Parameters
    ----------
    keys : int64 array, shape ``(n,)``
        Number of each case, at least 0.
    by_key : int array, shape ``(n,)``
        Rows in the order of their numbers.
    digests : int64 array, shape ``(n,)``
    partition_of : int array, shape ``(n,)``
        Position in ``partitions``.
    partitions : tuple of str
    sums : uint64 array, shape ``(BUCKETS,)``
    """

    keys: Keys
    by_key: Rows
    digests: Keys
    partition_of: Rows
    partitions: tuple[str, ...]
    sums: Words

    @property
    def state(self) -> str:
        """What stands for all of it."""
        return state_of(self.sums)

    @property
    def buckets(self) -> npt.NDArray[np.int16]:
        """Bucket of each row."""
        return _buckets(self.keys)

    def rows(self, keys: Keys) -> Rows:
        """Return the rows of some numbers, -1 for one that no row has."""
        if not self.keys.size:
            return np.full(keys.shape, -1, dtype=np.intp)
        ordered = self.keys[self.by_key]
        at = np.minimum(np.searchsorted(ordered, keys), ordered.size - 1)
        return np.where(ordered[at] == keys, self.by_key[at], -1).astype(np.intp)


def content_of(
    case_ids: Sequence[str], vectors: Floats, key: bytes, sites: Mapping[str, str] | None = None
) -> Content:
    """Derive what a server should hold of cases.

    Parameters
    ----------
    case_ids : sequence of str
    vectors : float32 array, shape ``(n, d)``
    key : bytes
        The library's secret key.
    sites : mapping of str to str, optional
        Site of each case; those that it lacks have none.

    Raises
    ------
    InputError
        If two cases get the same number: likely only from a billion cases on.
    """
    own = _own_key(key)
    keys = case_numbers(case_ids, key)
    by_key = np.argsort(keys, kind="stable").astype(np.intp)
    if (np.diff(keys[by_key]) == 0).any():
        raise InputError("two cases get the same number", hint="keep the index local")
    named = sites or {}
    of_case = [named.get(name, "") for name in case_ids]
    distinct = sorted(set(of_case))
    if len(distinct) > _MOST_SITES:
        distinct, of_case = [""], [""] * len(of_case)
    position = {site: at for at, site in enumerate(distinct)}
    partition_of = np.array([position[site] for site in of_case], dtype=np.intp)
    partitions = tuple(f"site_{_hashed(own, 'site', site).hex()}" for site in distinct)
    salts = np.array([int(name[5:], 16) for name in partitions], dtype=np.uint64)
    digests = _mixed(_vector_words(vectors, own) ^ salts[partition_of]).view(np.int64)
    return Content(keys, by_key, digests, partition_of, partitions, row_sums(keys, digests))


def case_numbers(case_ids: Sequence[str], key: bytes) -> Keys:
    """Return the number of each case on the server; without the key, it tells nothing."""
    own = _own_key(key)
    raw = b"".join(_hashed(own, "case", name) for name in case_ids)
    return (np.frombuffer(raw, dtype="<u8") >> np.uint64(1)).astype(np.int64)


def row_sums(keys: Keys, digests: Keys) -> Words:
    """Return for each bucket the sum, modulo 2**64, of what stands for its rows."""
    sums = np.zeros(BUCKETS, dtype=np.uint64)
    with np.errstate(over="ignore"):
        np.add.at(sums, _buckets(keys), _mixed(_mixed(keys.view(np.uint64)) ^ digests.view("<u8")))
    return sums


def state_of(sums: Words) -> str:
    """Return what stands for a whole collection with these sums."""
    return hashlib.sha256(sums.astype("<u8").tobytes()).hexdigest()[:32]


def _own_key(key: bytes) -> bytes:
    return hmac.new(key, b"medembed index server", hashlib.sha256).digest()


def _hashed(own: bytes, kind: str, text: str) -> bytes:
    person = kind.encode()
    return hashlib.blake2b(text.encode(), digest_size=8, key=own, person=person).digest()


def _buckets(keys: Keys) -> npt.NDArray[np.int16]:
    return (keys % BUCKETS).astype(np.int16)


def _vector_words(vectors: Floats, own: bytes) -> Words:
    """Return a keyed hash of each row: a sum of its words times secret odd numbers."""
    rng = np.random.default_rng(int.from_bytes(own[:16], "little"))
    factors = rng.integers(0, 2**63, vectors.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    words = np.empty(len(vectors), dtype=np.uint64)
    for at in range(0, len(vectors), _BLOCK_ROWS):
        block = np.ascontiguousarray(vectors[at : at + _BLOCK_ROWS], dtype="<f4")
        words[at : at + _BLOCK_ROWS] = (block.view("<u4").astype(np.uint64) * factors).sum(axis=1)
    return words


def _mixed(words: Words) -> Words:
    """Spread each bit over all (the finalizer of splitmix64; Steele, Lea and Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
