"""Search for bytes in every file of a folder: the proof that an erasure left nothing.

Run as a program, it reads the needles from stdin and writes what it found to stdout
(:func:`search_apart`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["SHORTEST", "ByteSearch", "files_below", "search_apart", "text_forms"]

SHORTEST = 5
"""Fewest bytes to search for: fewer are found by chance in gigabytes of numbers."""

_CHUNK = 16 << 20
_KEY = 4  # bytes of a needle that are compared at once
_TAIL = 8  # from the end of a needle: ids differ there, and paths before their suffix


def text_forms(text: str) -> set[bytes]:
    """Return a text as it stands in a file: in UTF-8, and escaped as in JSON."""
    return {
        text.encode("utf-8", "surrogatepass"),
        json.dumps(text, ensure_ascii=True)[1:-1].encode("ascii"),
        json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass"),
    }


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its folders; symbolic links are not followed."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if not path.is_symlink() and path.is_file():
                yield path


class ByteSearch:
    """Finds which of some byte strings occur in files, all in one pass over each.

    Parameters
    ----------
    needles : sequence of bytes
        Each of at least :data:`SHORTEST` bytes.

    Examples
    --------
    >>> sorted(ByteSearch([b"P-000017", b"absent"]).in_bytes(b"a case of P-000017 here"))
    [b'P-000017']
    """

    def __init__(self, needles: Sequence[bytes]) -> None:
        self.needles = sorted(set(needles))
        if any(len(needle) < SHORTEST for needle in self.needles):
            raise ValueError(f"a needle has fewer than {SHORTEST} bytes")
        self._longest = max(map(len, self.needles), default=0)
        self._starts = np.zeros(1 << 16, dtype=np.bool_)  # first two bytes of any key
        self._of_key: dict[int, list[tuple[int, bytes]]] = {}
        for needle in self.needles:
            at = max(0, len(needle) - _TAIL)
            key = needle[at : at + _KEY]
            self._starts[int.from_bytes(key[:2], "little")] = True
            self._of_key.setdefault(int.from_bytes(key, "little"), []).append((at, needle))
        self._keys = np.array(sorted(self._of_key), dtype=np.uint32)

    def in_bytes(self, data: bytes) -> set[bytes]:
        """Return the needles that occur in ``data``."""
        found: set[bytes] = set()
        if len(data) < _KEY or not self.needles:
            return found
        octets = np.frombuffer(data, dtype=np.uint8)
        places, keys = self._places(octets)
        for place, key in zip(places.tolist(), keys.tolist(), strict=True):
            for at, needle in self._of_key[key]:
                if place >= at and data.startswith(needle, place - at):
                    found.add(needle)
        return found

    def _places(
        self, octets: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint32]]:
        """Return where the key of a needle stands, and the key."""
        pairs = octets[:-1] | (octets[1:].astype(np.uint16) << np.uint16(8))
        places = np.flatnonzero(self._starts[pairs][: len(octets) - _KEY + 1])
        keys = np.zeros(len(places), dtype=np.uint32)
        for i in range(_KEY):
            keys |= octets[places + i].astype(np.uint32) << np.uint32(8 * i)
        wanted = np.isin(keys, self._keys)
        return places[wanted], keys[wanted]

    def in_file(self, path: Path) -> set[bytes]:
        """Return the needles that occur in a file, empty if it is gone."""
        found: set[bytes] = set()
        before = b""
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    data = before + chunk
                    found |= self.in_bytes(data)
                    before = data[max(0, len(data) - self._longest + 1) :]
        except FileNotFoundError:
            pass
        return found

    def in_folder(self, folder: Path) -> tuple[Mapping[Path, set[bytes]], int, int]:
        """Search every file below a folder, none of which SQLite has open in this process.

        POSIX takes all locks of a process on a file away when the process closes *any* descriptor
        of it. Reading a database that SQLite has open would leave it unlocked, and others could
        damage it: use :func:`search_apart`.

        Returns
        -------
        found : mapping of Path to set of bytes
            Files with at least one needle.
        n_files, n_bytes : int
            What was searched.
        """
        found: dict[Path, set[bytes]] = {}
        n_files = n_bytes = 0
        for path in files_below(folder):
            n_files += 1
            n_bytes += path.stat().st_size
            if here := self.in_file(path):
                found[path] = here
        return found, n_files, n_bytes


def search_apart(
    folder: Path, needles: Sequence[bytes]
) -> tuple[Mapping[Path, set[bytes]], int, int]:
    """Do what :meth:`ByteSearch.in_folder` does, in a process of its own.

    For folders with a database that this process has open. The needles go through a pipe: they
    are in no list of processes and in no file.

    Raises
    ------
    OSError
        If the search did not end as it should.
    """
    asked = json.dumps([needle.hex() for needle in needles])
    words = [sys.executable, "-I", __file__, str(folder)]  # it needs nothing of ours
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError("the search for traces failed")
    answer = json.loads(done.stdout)
    found = {Path(name): {bytes.fromhex(n) for n in hits} for name, hits in answer["found"]}
    return found, int(answer["files"]), int(answer["bytes"])


def _main() -> None:
    found, n_files, n_bytes = ByteSearch(
        [bytes.fromhex(needle) for needle in json.load(sys.stdin)]
    ).in_folder(Path(sys.argv[1]))
    named = [(os.fspath(path), sorted(n.hex() for n in hits)) for path, hits in found.items()]
    json.dump({"found": named, "files": n_files, "bytes": n_bytes}, sys.stdout)


if __name__ == "__main__":
    _main()
