"""Operations on a library that crash trials interrupt; each tells what is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from support.example_cases import make_case

from medembed.errors import ScanError
from medembed.index import open_index
from medembed.library import CaseLibrary, ingest, ingestion
from medembed.library.backup import back_up, restore
from medembed.model import DualEncoder, embed_library, embed_worker, toy_model
from medembed.model.embed_engines import InProcess
from medembed.scans.read import header_from, inspect_from, listed, scan_from
from medembed.scans.safe_open import open_file
from medembed.scans.worker_pool import _split
from medembed.sources import DicomFolderSource

__all__ = ["MODEL", "N_CASES", "N_MORE", "OPERATIONS", "ReaderHere", "Tell", "toy", "vectors_of"]

MODEL = "f" * 64
N_CASES, N_MORE = 8, 9
Tell = Callable[[str], None]


class ReaderHere:
    """Reads files in this process: the steps of workers are none of a library's."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.workers = 1

    def __enter__(self) -> ReaderHere:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    close = __exit__

    def map(self, task: str, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            try:
                if task == "read":
                    files, frame = _split(item)
                    yield scan_from(listed(files), frame, open_file, where="")
                else:
                    yield (inspect_from if task == "inspect" else header_from)(item, open_file)
            except ScanError as error:
                yield error


def vectors_of(n: int, seed: int) -> npt.NDArray[np.float32]:
    values = np.random.default_rng(seed).standard_normal((n, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)  # type: ignore[no-any-return]


# what is done: each tells what is acknowledged, and can be called again after a crash


def _add(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        for start in range(0, N_MORE, 3):
            ids = [f"case-{i}" for i in range(start, start + 3)]
            library.add([make_case(i) for i in range(start, start + 3)])
            for one in ids:
                tell(f"case {one}")


def _ingest(world: Path, tell: Tell) -> None:
    ingestion._BATCH = 3
    with CaseLibrary.open(world / "library") as library:
        ingest(library, DicomFolderSource(world / "source"), reader=ReaderHere())  # type: ignore[arg-type]
        tell("source")


def _vectors(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        ids = library.find()
        for start in range(0, len(ids), 3):
            rows = vectors_of(len(ids), 5)[start : start + 3]
            library.put_vectors(MODEL, "image", ids[start : start + 3], rows)
            for one in ids[start : start + 3]:
                tell(f"vector {one}")


def _embed(world: Path, tell: Tell) -> None:
    embed_worker.ScanReader = ReaderHere  # type: ignore[misc,assignment]
    InProcess.cases = 3
    with CaseLibrary.open(world / "library") as library:
        model = toy()

        def progress(done: int, total: int | None) -> None:
            tell(f"embedded {done}")

        embed_library(library, model, progress)


def _index(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        ids = library.find()
        library.put_vectors(MODEL, "image", ids[:4], vectors_of(4, 9))
        open_index(library, MODEL)
        library.put_vectors(MODEL, "image", ids[4:], vectors_of(len(ids) - 4, 10))
        for one in ids:
            tell(f"stored {one}")
        open_index(library, MODEL)


def _erase(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        patient = "P-001"
        if patient in library.patients().values():
            library.erase(patient)
        tell("erased")


def _backup(world: Path, tell: Tell) -> None:
    with CaseLibrary.open(world / "library") as library:
        if not (world / "out" / "new.zip").exists():
            back_up(library, world / "out" / "new.zip")
        tell("backup")


def _restore(world: Path, tell: Tell) -> None:
    if not (world / "out" / "again").exists():
        restore(world / "out" / "old.zip", world / "out" / "again")
    tell("restored")


def _create(world: Path, tell: Tell) -> None:
    CaseLibrary.open(world / "out" / "fresh", create=True).close()
    tell("created")


OPERATIONS: dict[str, Callable[[Path, Tell], None]] = {
    "add": _add,
    "ingest": _ingest,
    "vectors": _vectors,
    "embed": _embed,
    "index": _index,
    "erase": _erase,
    "backup": _backup,
    "restore": _restore,
    "create": _create,
}

_MODELS: list[DualEncoder] = []


def toy() -> DualEncoder:
    if not _MODELS:
        _MODELS.append(toy_model())
    return _MODELS[0]
