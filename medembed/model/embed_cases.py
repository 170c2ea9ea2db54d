"""Write a model's vectors into a library for the cases that lack them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medembed.encoders.study_images import ScanSource
from medembed.errors import ScanError
from medembed.library.locks import writer_lock
from medembed.library.priors import note_priors_read, with_earlier_studies
from medembed.library.vectors import VectorKind, VectorStore
from medembed.model.activation import PENDING, activate, name_in_library, would_drop
from medembed.model.onnx_side import usable_cores
from medembed.model.pixel_cache import PixelCache, read_pixels, reason_of
from medembed.model.report_text import case_text
from medembed.model.reranking import ImageTokens
from medembed.model.resolve import ModelChoice
from medembed.model.study_vectors import source_of
from medembed.progress import Progress
from medembed.scans import ScanReader

if TYPE_CHECKING:
    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels

__all__ = ["EmbedReport", "embed_library"]

_CHUNK = 128
"""Cases that are written in one transaction."""

_CPU_BATCH, _GPU_BATCH = 32, 256
"""Images per run; on a CPU larger batches are no faster."""


@dataclass(frozen=True)
class EmbedReport:
    """The outcome of :func:`embed_library`.

    Parameters
    ----------
    fingerprint : str
    images, notes : int
        Vectors written.
    refused : dict of str to int
        Cases without an image vector because none of their scans could be read, by reason.
    unread_scans : int
        Scans that could not be read; a case is represented by its other scans, if any.
    active : bool
        Whether the model is now the library's active one.
    activated : bool
        Whether this call activated it.
    dropped : int
        Cases that the previously active model finds and this one does not.
    """

    fingerprint: str
    images: int
    notes: int
    refused: dict[str, int] = field(default_factory=dict)
    unread_scans: int = 0
    active: bool = False
    activated: bool = False
    dropped: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return asdict(self)


def embed_library(
    library: CaseLibrary,
    model: DualEncoder,
    progress: Progress | None = None,
    *,
    workers: int = 0,
    make_active: bool | None = None,
    waiting: Callable[[str], None] | None = None,
    cached: bool = False,
) -> EmbedReport:
    """Encode scans and notes of the cases that have no vector of this model yet.

    Vectors are written in chunks, so an interrupted run keeps what it has done. The vector of a
    case is the mean of its scans' unit vectors, scaled to norm 1, unless the model pools the
    images of a study, with those of earlier studies if it was trained so. A case that changes or is
    erased while it is encoded gets no vector of its old content.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
    progress : callable, optional
        Called with (vectors done, vectors in total).
    workers : int
        Decoding processes; 0 means one per core.
    make_active : bool, optional
        Activate the model at the end. None activates it if it is pending or no model is active,
        provided that it is in the library, has not collapsed, and finds the cases that the active
        one finds (:func:`medembed.model.activation.would_drop`).
    waiting : callable, optional
        Called with a line naming the process that already embeds with this model, if it must wait.
    cached : bool
        Take the features of frozen encoders that a training has kept, as far as it has. It needs
        torch.
    """
    lock = library.path / f".embed-{model.fingerprint[:16]}.lock"
    with writer_lock(lock, "embedding", waiting=waiting):
        if model.n_priors:
            note_priors_read(library, model.fingerprint)
        work = _Embedding(library, model, workers, progress)
        if cached:
            work.run_cached()
        work.run()
        active, activated, dropped = _activate_if_due(library, model.fingerprint, make_active)
    return EmbedReport(
        model.fingerprint,
        work.written["image"],
        work.written["note"],
        work.refused,
        work.unread,
        active,
        activated,
        dropped,
    )


def _activate_if_due(
    library: CaseLibrary, fingerprint: str, make_active: bool | None
) -> tuple[bool, bool, int]:
    """Activate the model if it is due; returns (active, activated, cases dropped)."""
    name = name_in_library(library, fingerprint)
    if name is None or name == library.active_model:
        return name is not None, False, 0
    wanted = make_active
    if wanted is None:
        waits = library.get_meta(PENDING) == name or library.active_model is None
        wanted = waits and not ModelChoice(fingerprint, library.path / "models" / name).collapsed
    if not wanted:
        return False, False, 0
    dropped, too_many = would_drop(library, fingerprint)
    if too_many and not make_active:
        return False, False, dropped
    activate(library, name)
    return True, True, dropped


class _Embedding:
    """One run of :func:`embed_library`.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
    workers : int
    progress : callable or None
    """

    def __init__(
        self, library: CaseLibrary, model: DualEncoder, workers: int, progress: Progress | None
    ) -> None:
        self.library = library
        self.model = model
        self.workers = workers
        self.progress = progress
        self.cache = PixelCache(library.path / "cache", model.preprocess)
        self.written: dict[VectorKind, int] = {"image": 0, "note": 0}
        self.refused: dict[str, int] = {}
        self.unread = 0
        self.tokens = ImageTokens(library, model) if model.has_reranker else None
        self.batch_size = _GPU_BATCH if model.device.startswith("cuda") else _CPU_BATCH
        self._stopping = False
        self._changed: set[str] = set()
        self._done = self._total = 0

    def run(self) -> None:
        """Embed the cases that lack a vector, including those added meanwhile."""
        tried: dict[VectorKind, set[str]] = {"image": set(), "note": set()}
        while True:
            todo: dict[VectorKind, list[str]] = {}
            for kind, seen in tried.items():
                seen.difference_update(self._changed)
                missing = self.library.missing_vectors(self.model.fingerprint, kind)
                todo[kind] = [case_id for case_id in missing if case_id not in seen]
                seen.update(todo[kind])
            self._changed.clear()
            self._total += sum(map(len, todo.values()))
            if not any(todo.values()):
                return
            if todo["image"]:
                self._images(todo["image"])
            for chunk in _chunks(todo["note"]):
                self._notes(chunk)

    def run_cached(self) -> None:
        """Write the vectors of cases whose frozen features are in the cache."""
        from medembed.model.cached_vectors import CachedVectors

        source = CachedVectors(self.library, self.model)
        kinds: tuple[VectorKind, ...] = ("image", "note")
        for kind in kinds:
            for ids in _chunks(self.library.missing_vectors(self.model.fingerprint, kind)):
                contents = self._contents(ids)
                found = source.of(kind)(list(self.library.select(ids)))
                if found:
                    rows = np.concatenate(list(found.values()))
                    self._write(kind, list(found), rows, contents)

    def _images(self, ids: list[str]) -> None:
        """Encode the scans of cases while a thread decodes those of the next ones."""
        with (
            ScanReader(workers=self.workers or usable_cores()) as reader,
            closing(_ahead(self._decoded(chunk, reader) for chunk in _chunks(ids))) as chunks,
        ):
            try:
                for chunk in chunks:
                    self._encode(chunk)
            except BaseException:
                self._stopping = True  # else leaving would wait until a whole chunk is decoded
                raise

    def _encode(self, chunk: _Chunk) -> None:
        self.unread += chunk.n_unread
        for reason in chunk.reasons:
            self.refused[reason] = self.refused.get(reason, 0) + 1
        if chunk.pixels:
            vectors = self.model.encode_pixels(
                chunk.pixels, self.batch_size, scans=chunk.owners, sources=chunk.sources
            )
            owners = list(dict.fromkeys(chunk.owners))
            self._write("image", owners, vectors, chunk.contents)
            if self.tokens is not None:
                self.tokens.keep(dict(zip(chunk.names, chunk.pixels, strict=True)))
        self._report(len(chunk.ids))

    def _decoded(self, ids: list[str], reader: ScanReader) -> _Chunk:
        """Read the pixels of some cases, from the cache or from their files."""
        contents = self._contents(ids)
        wanted = [
            (owner, case, at, days)
            for owner, studies in self._studies(ids).items()
            for case, days in studies
            for at in range(len(case.scans))
        ]
        missing = {
            (case.case_id, at): (case, at)  # once, although also an earlier study of another
            for _, case, at, _ in wanted
            if case.scans[at] not in self.cache
        }
        preprocess = self.model.preprocess
        fresh = iter(
            read_pixels(self.library, list(missing.values()), preprocess, self.workers, reader)
        )
        decoded: dict[tuple[str, int], Pixels | ScanError] = {}
        chunk = _Chunk(ids, contents)
        reasons: dict[str, str] = {}
        for owner, case, at, days in wanted:
            if self._stopping:
                break
            ref, key = case.scans[at], (case.case_id, at)
            if key in missing:  # not asked of the cache again, which others fill meanwhile
                if key not in decoded:
                    decoded[key] = next(fresh)
                pixels = decoded[key]
            else:
                first, count = self.cache.span(ref)
                pixels = self.cache.rows(slice(first, first + count))
            if isinstance(pixels, ScanError):
                if not days:  # an earlier study counts where it is the case itself
                    chunk.n_unread += 1
                    reasons[owner] = reason_of(pixels)
            else:
                chunk.owners.append(owner)
                chunk.names.append(PixelCache.key_of(ref))
                chunk.pixels.append(pixels)
                chunk.sources.append(source_of(case, ref, days))
        chunk.keep({o for o, s in zip(chunk.owners, chunk.sources, strict=True) if not s.gap_days})
        chunk.reasons = [why for name, why in reasons.items() if name not in chunk.owners]
        return chunk

    def _studies(self, ids: list[str]) -> dict[str, list[tuple[Case, int]]]:
        """Return each case, followed by the earlier studies that the model pools with it."""
        return with_earlier_studies(self.library, ids, self.model.n_priors)

    def _contents(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Read the digest of what each case's vector depends on; it differs once that changed."""
        contents = _contents(self.library, ids)
        if self.model.n_priors:
            for owner, studies in self._studies(list(contents)).items():
                earlier = [case.case_id for case, days in studies if days]
                contents[owner] += b"".join(_contents(self.library, earlier).values())
        return contents

    def _notes(self, ids: list[str]) -> None:
        contents = self._contents(ids)
        noted = [case for case in self.library.select(ids) if case.note]
        texts = [case_text(case, header=self.model.reads_header) for case in noted]
        if texts:
            vectors = self.model.encode_notes(texts)
            self._write("note", [case.case_id for case in noted], vectors, contents)
        self._report(len(ids))

    def _write(
        self,
        kind: VectorKind,
        ids: list[str],
        vectors: np.ndarray,
        contents: dict[str, bytes],
    ) -> None:
        """Write in one transaction the vectors of cases that have not changed since."""
        with self.library.database.write() as db:
            now = self._contents(ids)
            same = [i for i, name in enumerate(ids) if now.get(name) == contents.get(name, b"")]
            if same:
                kept = [ids[i] for i in same]
                VectorStore(db).put(self.model.fingerprint, kind, kept, vectors[same])
        self.written[kind] += len(same)
        self._changed.update(set(now) - {ids[i] for i in same})

    def _report(self, done: int) -> None:
        self._done += done
        if self.progress:
            self.progress(self._done, self._total)


@dataclass
class _Chunk:
    """Decoded scans of some cases: pixels with their cases and names, and what was not read."""

    ids: list[str]
    contents: dict[str, bytes]
    owners: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)
    sources: list[ScanSource] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    n_unread: int = 0

    def keep(self, owners: set[str]) -> None:
        """Leave out the scans of other cases, of which only earlier studies could be read."""
        kept = [at for at, owner in enumerate(self.owners) if owner in owners]
        self.owners = [self.owners[at] for at in kept]
        self.names = [self.names[at] for at in kept]
        self.pixels = [self.pixels[at] for at in kept]
        self.sources = [self.sources[at] for at in kept]


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    return (ids[at : at + _CHUNK] for at in range(0, len(ids), _CHUNK))


def _contents(library: CaseLibrary, ids: Sequence[str]) -> dict[str, bytes]:
    """Read the digest of each case's source row; it differs once the case has changed."""
    read = library.database.read()
    found: dict[str, bytes] = {}
    for case_id in ids:
        row = read.execute("SELECT content FROM cases WHERE case_id = ?", (case_id,)).fetchone()
        if row is not None:
            found[case_id] = bytes(row[0])
    return found


def _ahead(items: Iterator[_Chunk]) -> Generator[_Chunk, None, None]:
    """Yield items that a thread computes while the earlier ones are used.

    At most one finished item waits, so that memory is bounded. An error of the thread is raised
    here; closing the generator ends the thread after the item at hand.
    """
    with ThreadPoolExecutor(1, "medembed-decode") as thread:
        pending = thread.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = thread.submit(next, items, None)
            yield item
