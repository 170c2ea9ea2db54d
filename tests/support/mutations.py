"""Damage to derived files: a search must answer as before, and never let FAISS parse the damage."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from support.crash_operations import ReaderHere
from support.crash_trials import in_child
from support.small_pairs import write_library

from medembed.errors import MedEmbedError
from medembed.index import open_index
from medembed.index.index_check import verify_indexes
from medembed.library import CaseLibrary
from medembed.library.verification import CheckState, verify_files, verify_store
from medembed.lookup import CaseLookup
from medembed.lookup.novelty_calibration import NoveltyCalibration, calibrate_novelty
from medembed.model import (
    embed_library,
    embed_worker,
    pixel_cache,
    towers,  # noqa: F401  loads torch once, here, and not in every child
    toy_model,
)
from medembed.model.feature_cache import FeatureCache
from medembed.model.pixel_cache import PixelCache
from medembed.notes import read_note

__all__ = ["KINDS", "Mutations", "derived_files"]

KINDS = ("flip", "truncate", "extend", "blank", "swap", "old", "empty", "gone", "folder")
_PLACES = ("index", "cache", "thumbnails")
_N_CASES = 18
_FEATURES = "a" * 16


def derived_files(library: Path) -> list[Path]:
    """Return all derived files of a library except locks, which hold nothing."""
    return [
        path
        for place in _PLACES
        for path in sorted((library / place).rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    ]


class Mutations:
    """Prepares a library with every derived file, and damages copies of it.

    Parameters
    ----------
    folder : Path
    kind : {"exact", "hnsw"}
        Kind of its index; only an HNSW index has a part that FAISS parses.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.counts: Counter[tuple[str, str]] = Counter()
        read_note("no rib")  # loads the vocabulary once, here, and not in every child
        outcome = in_child(self._prepare)
        if outcome.status:
            raise RuntimeError(outcome.error)
        outcome = in_child(lambda say: say(f"t {_answers(self._world('first'), self._blobs())}"))
        if outcome.status:
            raise RuntimeError(outcome.error)
        self._expected = outcome.told[-1]
        shutil.rmtree(folder / "first")

    def _prepare(self, say: Callable[[str], None]) -> None:
        embed_worker.ScanReader = ReaderHere  # type: ignore[misc,assignment]
        pixel_cache.ScanReader = ReaderHere  # type: ignore[misc,assignment]
        blobs = _collect_written()
        world = self.folder / "template"
        world.mkdir(parents=True)
        with write_library(world, _N_CASES) as library:
            model = toy_model()
            model.save(library.path / "models" / "toy")
            embed_library(library, model)
            library.active_model = "toy"
            open_index(library, model.fingerprint, self.kind)  # type: ignore[arg-type]
            PixelCache(library.path / "cache", model.preprocess).fill(library, library.cases())
            calibrate_novelty(library)
            _features(library)
            # the same files of an earlier state: right in themselves, but of another revision
            shutil.copytree(library.path, self.folder / "old")
            ids, vectors = library.vectors(model.fingerprint, "image")
            turned = np.roll(vectors, 1, axis=0)
            library.put_vectors(model.fingerprint, "image", ids, turned)
            open_index(library, model.fingerprint)
        for i, blob in enumerate(blobs):
            place = self.folder / "blobs"
            place.mkdir(exist_ok=True)
            (place / str(i)).write_bytes(blob)
        say("t made")

    def _blobs(self) -> list[bytes]:
        return [path.read_bytes() for path in (self.folder / "blobs").glob("*")]

    def _world(self, name: str) -> Path:
        world = self.folder / name
        shutil.copytree(self.folder / "template", world)
        return world

    def files(self) -> list[Path]:
        """Return the derived files, relative to the library."""
        library = self.folder / "template" / "library"
        return [path.relative_to(library) for path in derived_files(library)]

    def damage(self, file: Path, kind: str, chance: random.Random) -> str:
        """Damage one file in one way; return what is wrong afterwards, empty if nothing."""
        world = self._world(f"world-{chance.randrange(10**9)}")
        self.counts["/".join(file.parts[:1]), kind] += 1
        self._mutate(world / "library" / file, kind, chance)

        def check(say: Callable[[str], None]) -> None:
            blobs = self._blobs()
            say(f"t {_answers(world, blobs)}")
            _verify(world)
            say(f"t {_answers(world, blobs)}")

        outcome = in_child(check)
        shown = f"{self.kind}: {kind} {file} (kept: {world})"
        if outcome.status:
            return f"{shown}: {outcome.error or 'it died'}"
        for told in outcome.told:
            if told != self._expected:
                return f"{shown}: another answer: {told} instead of {self._expected}"
        shutil.rmtree(world)
        return ""

    def _mutate(self, path: Path, kind: str, chance: random.Random) -> None:
        content = bytearray(path.read_bytes())
        size = len(content)
        if not size and kind in ("flip", "truncate", "blank"):
            kind = "extend"
        if kind == "flip":
            content[chance.randrange(size)] ^= 1 << chance.randrange(8)
        elif kind == "truncate":
            del content[chance.randrange(size) :]
        elif kind == "extend":
            content += chance.randbytes(chance.randrange(1, 4096))
        elif kind == "blank":
            start = chance.randrange(size)
            content[start : start + 512] = bytes(len(content[start : start + 512]))
        elif kind == "swap":
            others = [one for one in path.parent.iterdir() if one.is_file() and one != path]
            others = others or [path]
            content = bytearray(chance.choice(others).read_bytes())
        elif kind == "old":
            earlier = [*derived_files(self.folder / "old")]
            alike = [one for one in earlier if one.suffix == path.suffix] or earlier
            content = bytearray(chance.choice(alike).read_bytes())
        elif kind == "empty":
            content.clear()
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind != "gone":
            path.write_bytes(content)


def _answers(world: Path, blobs: list[bytes]) -> str:
    """Everything that derived files answer, as one digest for each."""
    embed_worker.ScanReader = ReaderHere  # type: ignore[misc,assignment]
    pixel_cache.ScanReader = ReaderHere  # type: ignore[misc,assignment]
    _refuse_unknown(blobs)
    with CaseLibrary.open(world / "library") as library:
        lookup = CaseLookup(library)
        hits = []
        for asked in ({"case": "C-003"}, {"text": "right pleural effusion"}):
            result = lookup.search(**asked, k=5)  # type: ignore[arg-type]
            hits.append([(hit.case.case_id, round(float(hit.score), 4)) for hit in result.hits])
        model = toy_model()
        cache = PixelCache(library.path / "cache", model.preprocess)
        cache.fill(library, library.cases())
        pixels = hashlib.sha256()
        for case in library.cases():
            for ref in case.scans:
                start, count = cache.span(ref)
                pixels.update(np.ascontiguousarray(cache.rows(slice(start, start + count))).data)
        made = NoveltyCalibration.load(library)
        if not made.n_cases:
            made = calibrate_novelty(library)
        features = hashlib.sha256(_features(library).tobytes()).hexdigest()
    known = json.dumps(made.to_json(), sort_keys=True)
    return repr((hits, pixels.hexdigest(), known, features))


def _features(library: CaseLibrary) -> np.ndarray:
    """Features of a made-up encoder, from the cache where it has them."""
    cache = FeatureCache(library.path / "cache", _FEATURES)
    names = [PixelCache.key_of(ref) for case in library.cases() for ref in case.scans]
    made = {
        name: np.random.default_rng(i).standard_normal((1, 8)).astype(np.float32)
        for i, name in enumerate(names)
    }
    cache.add({name: rows for name, rows in made.items() if name not in cache})
    return np.concatenate([cache.get(name) for name in names])


def _verify(world: Path) -> None:
    with CaseLibrary.open(world / "library") as library:
        for check in [*verify_store(library), *verify_files(library), *verify_indexes(library)]:
            if check.state not in (CheckState.OK, CheckState.REPAIRED):
                raise MedEmbedError(f"{check.what}: {check.state.value}, {check.detail}")


# what FAISS is given


def _collect_written() -> list[bytes]:
    """Keep every index that FAISS writes in this process."""
    found: list[bytes] = []
    library: Any = faiss
    original = library.write_index

    def write(index: Any, target: Any) -> Any:
        parts: list[bytes] = []
        writer = _ORIGINAL_WRITER(lambda part: parts.append(bytes(part)))
        original(index, writer)
        del writer
        found.append(b"".join(parts))
        return original(index, target)

    library.write_index = write
    return found


_ORIGINAL_WRITER: Any = getattr(faiss, "PyCallbackIOWriter")  # noqa: B009  not in its stubs
_ORIGINAL_READER: Any = getattr(faiss, "PyCallbackIOReader")  # noqa: B009


def _refuse_unknown(blobs: list[bytes]) -> None:
    """End the process if FAISS is given a byte that it did not write itself."""
    library: Any = faiss
    made = _collect_written()

    def reader(read: Callable[[int], bytes]) -> Any:
        given = bytearray()

        def checked(size: int) -> bytes:
            part = read(size)
            given.extend(part)
            if not any(blob.startswith(bytes(given)) for blob in (*blobs, *made)):
                raise AssertionError("FAISS parses a damaged file")
            return part

        return _ORIGINAL_READER(checked)

    library.PyCallbackIOReader = reader
