"""Write a model's vectors into a library for the cases that lack them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medembed.errors import FingerprintError
from medembed.library.locks import writer_lock
from medembed.library.priors import note_priors_read, with_earlier_studies
from medembed.library.vectors import VectorKind, VectorStore
from medembed.model.activation import PENDING, activate, name_in_library, would_drop
from medembed.model.embed_engines import EmbedEngine, InProcess
from medembed.model.embed_task import EmbedOutcome, EmbedTask, ScanTask
from medembed.model.report_text import case_text
from medembed.model.reranking import ImageTokens
from medembed.model.resolve import ModelChoice
from medembed.model.study_vectors import source_of
from medembed.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    from medembed.cases import Case
    from medembed.library import CaseLibrary
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["EmbedReport", "embed_library", "embed_lock"]


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
    engine: EmbedEngine | None = None,
    make_active: bool | None = None,
    waiting: Callable[[str], None] | None = None,
    cached: bool = False,
) -> EmbedReport:
    """Encode scans and notes of the cases that have no vector of this model yet.

    Vectors are written as they are done, so an interrupted run keeps them. The vector of a
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
    engine : EmbedEngine, optional
        What decodes and encodes (:func:`medembed.model.embed_engines.embed_engine`). Default: this
        process, with ``workers``.
    make_active : bool, optional
        Activate the model at the end. False leaves the active one, and the model is no longer
        pending. None activates it if it is pending or no model is active,
        provided that it is in the library, has not collapsed, and finds the cases that the active
        one finds (:func:`medembed.model.activation.would_drop`).
    waiting : callable, optional
        Called with a line naming the process that already embeds with this model, if it must wait.
    cached : bool
        Take the features of frozen encoders that a training has kept, as far as it has. It needs
        torch.
    """
    with writer_lock(embed_lock(library, model.fingerprint), "embedding", waiting=waiting):
        if make_active is False:
            _not_awaited(library, model.fingerprint)
        if model.n_priors:
            note_priors_read(library, model.fingerprint)
        engine = engine or InProcess(model, library.path / "cache", workers)
        work = _Embedding(library, model, engine, progress)
        if cached:
            work.run_cached()
        while True:
            work.run()
            outcome = _activate_if_due(library, model.fingerprint, make_active)
            if outcome is not None:
                break  # else the active model has got more cases meanwhile
        active, activated, dropped = outcome
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


def _not_awaited(library: CaseLibrary, fingerprint: str) -> None:
    """Leave the activation to who asks for it: a later ``embed`` takes the active model."""
    awaited = library.get_meta(PENDING)
    if awaited and name_in_library(library, fingerprint) == awaited:
        library.set_meta(PENDING, None)


def embed_lock(library: CaseLibrary, fingerprint: str) -> Path:
    """Return the lock that a process holds while it embeds with a model."""
    return library.path / f".embed-{fingerprint[:16]}.lock"


def _activate_if_due(
    library: CaseLibrary, fingerprint: str, make_active: bool | None
) -> tuple[bool, bool, int] | None:
    """Activate the model if it is due; returns (active, activated, cases dropped).

    None if the active model has found more cases between the look at them and the activation.
    """
    name = name_in_library(library, fingerprint)
    if name is None or name == library.active_model:
        return name is not None, False, 0
    wanted = make_active
    if wanted is None:
        waits = library.get_meta(PENDING) == name or library.active_model is None
        wanted = waits and not ModelChoice(fingerprint, library.path / "models" / name).collapsed
    if not wanted:
        return False, False, 0
    lost, too_many = would_drop(library, fingerprint)
    if too_many and not make_active:
        return False, False, len(lost)
    with suppress(FingerprintError):  # no vector at all, and yet told to activate it
        from medembed.index import open_index

        open_index(library, fingerprint)  # the first search finds its index ready
    if not activate(library, name, may_lose=None if make_active else lost):
        return None
    return True, True, len(lost)


class _Embedding:
    """One run of :func:`embed_library`.

    Parameters
    ----------
    library : CaseLibrary
    model : DualEncoder
    engine : EmbedEngine
    progress : callable or None
    """

    def __init__(
        self,
        library: CaseLibrary,
        model: DualEncoder,
        engine: EmbedEngine,
        progress: Progress | None,
    ) -> None:
        self.library = library
        self.model = model
        self.engine = engine
        self.progress = progress
        self.written: dict[VectorKind, int] = {"image": 0, "note": 0}
        self.refused: dict[str, int] = {}
        self.unread = 0
        self.tokens = ImageTokens(library, model) if model.has_reranker else None
        self._tried: dict[VectorKind, set[str]] = {"image": set(), "note": set()}
        self._changed: set[str] = set()
        self._replaced: set[tuple[Path, ...]] = set()
        self._done = self._total = 0

    def run(self) -> None:
        """Embed the cases that lack a vector, including those added meanwhile."""
        while True:
            todo: dict[VectorKind, list[str]] = {}
            for kind, seen in self._tried.items():
                seen.difference_update(self._changed)
                missing = self.library.missing_vectors(self.model.fingerprint, kind)
                todo[kind] = [case_id for case_id in missing if case_id not in seen]
                seen.update(todo[kind])
            self._changed.clear()
            self._total += sum(map(len, todo.values()))
            if not any(todo.values()):
                return
            with closing(self.engine.run(self._tasks(todo))) as done:
                for task, outcome in done:
                    self._keep(task, outcome)

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

    def _tasks(self, todo: dict[VectorKind, list[str]]) -> Iterator[EmbedTask]:
        """Yield what is to be encoded, read from the library when it is asked for."""
        for ids in _chunks(todo["image"], self.engine.cases):
            contents = self._contents(ids)
            files = self.library.scan_files
            scans = [
                ScanTask(owner, ref, paths, source_of(case, ref, days), paths in self._replaced)
                for owner, studies in self._studies(ids).items()
                for case, days in studies
                for ref, paths in zip(case.scans, files(case), strict=True)
            ]
            yield EmbedTask("image", tuple(ids), contents, tuple(scans))
        for ids in _chunks(todo["note"], self.engine.cases):
            contents = self._contents(ids)
            texts = {
                case.case_id: case_text(case, header=self.model.reads_header)
                for case in self.library.select(ids)
                if case.note
            }
            yield EmbedTask("note", tuple(ids), contents, texts=texts)

    def _keep(self, task: EmbedTask, outcome: EmbedOutcome) -> None:
        """Write what a task has given, except for cases that have changed since."""
        replaced = self._replaced_scans(task, outcome)
        stale = {scan.owner for scan in replaced}
        self._changed.update(stale)
        kept = [at for at, name in enumerate(outcome.ids) if name not in stale]
        if kept:
            ids = [outcome.ids[at] for at in kept]
            self._write(task.kind, ids, outcome.vectors[kept], dict(task.contents))
        for owner, unread in outcome.unread.items():
            self.unread += unread if owner not in stale else 0
        for owner, reason in outcome.refused.items():
            if owner not in stale:
                self.refused[reason] = self.refused.get(reason, 0) + 1
        if self.tokens is not None:
            doubtful = {scan.key for scan in replaced}
            self.tokens.keep({k: v for k, v in outcome.features.items() if k not in doubtful})
        self._report(len(task.ids))

    def _replaced_scans(self, task: EmbedTask, outcome: EmbedOutcome) -> list[ScanTask]:
        """Return the scans that were read from files other than those that were ingested.

        These may be another patient's. Their cases are tried again without them.
        """
        read = [task.scans[at] for at in outcome.from_files]
        replaced = [scan for scan in read if self.library.has_changed_files(scan.ref)]
        self._replaced.update(scan.files for scan in replaced)
        return replaced

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


def _chunks(ids: list[str], size: int = InProcess.cases) -> Iterator[list[str]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))


def _contents(library: CaseLibrary, ids: Sequence[str]) -> dict[str, bytes]:
    """Read the digest of each case's source row; it differs once the case has changed."""
    read = library.database.read()
    found: dict[str, bytes] = {}
    for case_id in ids:
        row = read.execute("SELECT content FROM cases WHERE case_id = ?", (case_id,)).fetchone()
        if row is not None:
            found[case_id] = bytes(row[0])
    return found
