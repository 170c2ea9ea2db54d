"""What a lookup needs from an index, and which backend of a library answers its searches."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

import numpy as np
import numpy.typing as npt

from medembed.errors import IndexServerError, InputError, LibraryError
from medembed.index import library_index
from medembed.index.gpu_index import GpuIndex
from medembed.index.gpu_rows import require_gpu, why_no_gpu
from medembed.index.library_index import LibraryIndex, index_folder, library_revision
from medembed.index.search_notes import SearchNote, SearchNoteKind
from medembed.library.elsewhere import BACKEND_SETTING, HOLDER_SETTING, is_elsewhere

if TYPE_CHECKING:
    from medembed.embeddings import Embeddings
    from medembed.index.case_index import CaseIndex, IndexKind
    from medembed.index.choice import Budget
    from medembed.index.hits import Hits
    from medembed.library import CaseLibrary

__all__ = [
    "SERVER_KEEPS",
    "Backend",
    "SearchIndex",
    "compact_index",
    "current_index",
    "index_backend",
    "open_index",
    "set_index_backend",
]

Backend = Literal["local", "gpu", "milvus"]

SERVER_KEEPS = (
    "the index server was not reached and keeps the vectors it has; "
    "medembed index LIBRARY --backend local drops them when it is there"
)
_PATIENCE_SECONDS = 60.0

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class SearchIndex(Protocol):
    """An index that a lookup can use: :class:`CaseIndex`, or one whose search runs elsewhere.

    Whatever the backend, ids, scores and the order of ties are those of ``CaseIndex`` with kind
    ``"exact"`` as long as the plan says ``exact``; ``tests/index/test_backends.py`` holds that.
    """

    def __len__(self) -> int: ...

    def __contains__(self, case_id: object) -> bool: ...

    @property
    def kind(self) -> str:
        """How it searches."""
        ...

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the model that made the vectors."""
        ...

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        ...

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids in the order of the rows."""
        ...

    @property
    def vectors(self) -> Floats:
        """Unit vectors, shape ``(n, d)``."""
        ...

    def mask(self, case_ids: Collection[str]) -> Mask:
        """Return which rows are those of the given cases."""
        ...

    def positions_of(self, case_ids: Collection[str]) -> npt.NDArray[np.intp]:
        """Return the place of each case in :attr:`case_ids`; -1 for cases that are not here."""
        ...

    def vector(self, case_id: str) -> Floats:
        """Return the vector of one case, shape ``(d,)``."""
        ...

    def search(
        self,
        queries: npt.ArrayLike | Embeddings,
        k: int = 10,
        allowed: Mask | Collection[str] | None = None,
    ) -> Hits:
        """Find the ``k`` nearest cases of each query."""
        ...

    def add(self, vectors: npt.ArrayLike, case_ids: Sequence[str]) -> None:
        """Add cases."""
        ...

    def remove(self, case_ids: Collection[str]) -> None:
        """Remove cases."""
        ...


def index_backend(library: CaseLibrary) -> Backend:
    """Return which backend searches a library: its setting ``index.backend``.

    Raises
    ------
    LibraryError
        If a newer version has set one that this version does not know.
    """
    name = library.get_meta(BACKEND_SETTING) or "local"
    for known in get_args(Backend):
        if name == known:
            return known  # type: ignore[no-any-return]  # one of the literals
    raise LibraryError(
        "its index backend is not known to this version",
        where=library.path.name,
        hint="update MedEmbed, or run medembed index LIBRARY --backend local",
    )


def set_index_backend(library: CaseLibrary, backend: str) -> bool:
    """Choose the backend of a library, and drop what a server holds if it is no longer used.

    Returns
    -------
    bool
        False if the server was not reached and keeps vectors: choose ``"local"`` once more.

    Raises
    ------
    InputError
        If there is no such backend, or FAISS sees no GPU that it shall use; the setting stays then.
    IndexServerError
        If a server is chosen that cannot be reached; the setting stays then.
    """
    if backend not in get_args(Backend):
        raise InputError(
            "unknown index backend", hint=f"use one of: {', '.join(get_args(Backend))}"
        )
    if backend == "milvus":
        from medembed.index.milvus_collection import connect

        connect()  # refused here, and not at the next search of somebody else
        library.set_meta(HOLDER_SETTING, backend)
        library.set_meta(BACKEND_SETTING, backend)
        return True
    if backend == "gpu":
        require_gpu()
    library.set_meta(BACKEND_SETTING, None if backend == "local" else backend)
    if not is_elsewhere(library.database.read()):
        return True

    from medembed.index.milvus_cleaning import drop_collections

    try:
        drop_collections(library.library_id)
    except IndexServerError:
        return False
    library.set_meta(HOLDER_SETTING, None)
    return True


def open_index(
    library: CaseLibrary,
    fingerprint: str,
    kind: IndexKind | None = None,
    *,
    budget: Budget | None = None,
) -> LibraryIndex:
    """Open the index of ``library`` for one model on the library's backend; update it if needed.

    The index files are opened in any case (:func:`medembed.index.library_index.open_index`): an
    answer of a server is scored again with the vectors in them.

    Parameters
    ----------
    library : CaseLibrary
    fingerprint : str
        Fingerprint of the model.
    kind : {"auto", "exact", "hnsw"}, optional
        Of the index files. A server always compares all eligible cases.
    budget : Budget, optional
        As in :func:`medembed.index.library_index.open_index`.

    Raises
    ------
    FingerprintError
        If the library has no image vectors of this model.
    IndexServerError
        If the backend is a server and it cannot be reached.
    """
    return _on_backend(library, library_index.open_index(library, fingerprint, kind, budget=budget))


def compact_index(
    library: CaseLibrary,
    fingerprint: str,
    kind: IndexKind | None = None,
    *,
    budget: Budget | None = None,
) -> LibraryIndex:
    """Do as :func:`open_index`, and write the index files anew if much was appended to them."""
    opened = library_index.compact_index(library, fingerprint, kind, budget=budget)
    return _on_backend(library, opened)


def current_index(
    library: CaseLibrary, fingerprint: str, held: LibraryIndex | None = None
) -> LibraryIndex:
    """Return ``held`` if it is up to date and of the library's backend, else one that is."""
    backend = index_backend(library)
    if backend == "gpu" and why_no_gpu():
        backend = "local"
    if held is None or _backend_of(held) != backend:
        return open_index(library, fingerprint)
    if backend != "milvus":
        current = library_index.current_index(library, fingerprint, held)
        return current if current is held else _on_backend(library, current)
    if held.revision == library_revision(library, fingerprint):
        return held
    return open_index(library, fingerprint)


def _backend_of(opened: LibraryIndex) -> Backend:
    kind = str(opened.index.kind)
    return "milvus" if kind == "milvus" else "gpu" if kind == "gpu" else "local"


def _on_backend(library: CaseLibrary, opened: LibraryIndex) -> LibraryIndex:
    backend = index_backend(library)
    if backend == "local" or isinstance(opened.index, GpuIndex):
        return opened
    if backend == "gpu":
        if why_no_gpu():
            return replace(opened, notes=(*opened.notes, SearchNote(SearchNoteKind.NO_GPU)))
        return replace(opened, index=GpuIndex.of(opened.index))

    from medembed.index.milvus_collection import MilvusCollection, collection_name, connect
    from medembed.index.milvus_index import MilvusIndex

    fingerprint = opened.index.fingerprint
    name = collection_name(library.library_id, fingerprint)
    folder = index_folder(library, fingerprint)

    @contextmanager
    def writing() -> Iterator[bool]:
        # the lock of the index files: an erasure waits for it, and what it erases is not sent again
        from medembed.library.locks import writer_lock

        lock = folder.with_name(f".{folder.name}.lock")
        with ExitStack() as held:
            try:
                held.enter_context(
                    writer_lock(lock, "bringing the index server up to date", _PATIENCE_SECONDS)
                )
            except (OSError, LibraryError):
                yield False
                return
            yield library_revision(library, fingerprint) == opened.revision

    index = MilvusIndex(
        opened.index.case_ids,
        opened.index.vectors,
        fingerprint,
        MilvusCollection(connect(), name, opened.index.dim),
        key=library.key,
        sites=_sites(library),
        writing=writing,
    )
    sent, removed = index.synchronize()
    notes = opened.notes
    if sent or removed:
        notes += (SearchNote(SearchNoteKind.SERVER_UPDATED, (sent, removed)),)
    # a lookup asks of it what SearchIndex has, of which CaseIndex has more
    return replace(opened, index=cast("CaseIndex", index), notes=notes)


def _sites(library: CaseLibrary) -> dict[str, str]:
    """Return the site of each case."""
    return dict(library.database.read().execute("SELECT case_id, site FROM cases"))
