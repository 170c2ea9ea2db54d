"""What an index knows of the files it was loaded from, and how it appends to them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from medembed.errors import FingerprintError, InputError
from medembed.index.change_log import Change, Position, append_change, read_changes
from medembed.index.choice import Choice, Reason
from medembed.index.file_stamps import Stamp, read_stamps, stamp_of, write_stamps
from medembed.index.sealed_files import HEAD, open_sealed, write_sealed
from medembed.index.snapshot import (
    IndexKind,
    Snapshot,
    changed,
    read_snapshot,
    snapshot_files,
    with_graph,
)

__all__ = ["FORMAT", "Loaded", "SavedState", "load_saved", "new_generation", "write_saved"]

FORMAT = 2


def new_generation() -> int:
    """Return a number for a new numbering of rows."""
    return secrets.randbits(62)


@dataclass(frozen=True)
class SavedState:
    """The state of the files in a folder that an index has read or written last.

    Parameters
    ----------
    folder : Path
    seal : str
        Of ``index.json``.
    head : tuple of int
        Stamp of ``index.json``.
    log : Path
    end : Position
        End of the log.
    generation : int
    n_rows, dim : int
        Rows in files and log, and their dimension.
    removed : frozenset of int
        Rows that the log removes.
    """

    folder: Path
    seal: str
    head: Stamp
    log: Path
    end: Position
    generation: int
    n_rows: int
    dim: int
    removed: frozenset[int]

    def is_of(self, folder: Path) -> bool:
        """Return whether this is the state of the files in ``folder``."""
        return folder.absolute() == self.folder

    def is_in(self, folder: Path) -> bool:
        """Return whether the files in ``folder`` are still the same."""
        try:
            return self.is_of(folder) and stamp_of(folder / HEAD) == self.head
        except OSError:
            return False

    def append(
        self, folder: Path, key: bytes | None, state: Snapshot, extra: dict[str, Any] | None
    ) -> SavedState | None:
        """Write to the log what a snapshot of the same rows has more; None if that cannot be."""
        if state.rows.shape[1] != self.dim:  # it was built of nothing
            return None
        if not self.is_in(folder):
            return None
        gone = sorted(state.removed - self.removed)
        if gone and gone[-1] >= self.n_rows:
            return None  # added and removed since: perhaps erased, and must not reach a file
        names = state.ids.tail_names(self.n_rows)
        change = Change(gone, names, state.rows[self.n_rows :], extra or {})
        end = append_change(self.log, key, self.end, change)
        if end is None:
            return None
        stamps = read_stamps(folder, self.seal, key)
        stamps.log = end.length
        write_stamps(folder, stamps, key)
        return replace(self, end=end, n_rows=state.n_rows, removed=state.removed)


@dataclass(frozen=True)
class Loaded:
    """What files and log hold.

    Parameters
    ----------
    kind : {"auto", "exact", "hnsw"}
        As it was asked for.
    choice : Choice
        How the index searches.
    fingerprint : str
    state : Snapshot
    saved : SavedState
    extra : dict
    """

    kind: IndexKind
    choice: Choice
    fingerprint: str
    state: Snapshot
    saved: SavedState
    extra: dict[str, Any]


def write_saved(
    folder: Path,
    key: bytes | None,
    state: Snapshot,
    head: tuple[IndexKind, Choice, str, int],
    extra: dict[str, Any] | None,
) -> None:
    """Write all files anew.

    Parameters
    ----------
    folder, key
        As in :meth:`CaseIndex.save`.
    state : Snapshot
    head : tuple
        Kind, choice, fingerprint and generation.
    extra : dict, optional
    """
    kind, choice, fingerprint, generation = head
    plain = {
        "format": FORMAT,
        "kind": kind,
        "choice": choice.to_json(),
        "cases": len(state),
        "dim": int(state.rows.shape[1]),
        "fingerprint": fingerprint,
        "generation": generation,
        "extra": extra or {},
    }
    write_sealed(folder, plain, snapshot_files(state, codes=choice.codes), key)


def load_saved(folder: Path, key: bytes | None, fingerprint: str, trusting: bool) -> Loaded:
    """Read files and log.

    Raises
    ------
    InputError, FingerprintError
        As :meth:`CaseIndex.load`.
    """
    sealed = open_sealed(folder, key, private=("vectors",), trusting=trusting)
    head = sealed.head
    if head.get("format") != FORMAT or head.get("kind") not in get_args(IndexKind):
        raise InputError("index files of another version", where=folder.name)
    if fingerprint and head["fingerprint"] != fingerprint:
        raise FingerprintError(
            "index files of another model", where=folder.name, hint="rebuild the index"
        )
    try:
        n, dim = int(head["cases"]), int(head["dim"])
        state = read_snapshot(sealed.files, n, dim, sealed.hashed)
        choice = _choice(head)
    except (KeyError, ValueError, TypeError):
        raise InputError("index files that do not match each other", where=folder.name) from None
    if state.graph is not None and choice.ef_search is not None:
        state = replace(state, graph=state.graph.measured(choice.ef_search, choice.recall))
    changes, end = read_changes(sealed.log, key, sealed.seal.encode(), dim, sealed.acknowledged)
    extra = dict(head["extra"])
    for change in changes:
        n_rows = state.n_rows + len(change.case_ids)
        if any(not 0 <= row < n_rows for row in change.removed):
            raise InputError("the log of the index does not match it", where=folder.name)
        state = changed(state, change.removed, change.case_ids, change.vectors)
        extra = change.extra
    saved = SavedState(
        folder.absolute(),
        sealed.seal,
        sealed.stamp,
        sealed.log,
        end,
        int(head["generation"]),
        state.n_rows,
        dim,
        state.removed,
    )
    state = with_graph(state, choice.kind == "hnsw")
    return Loaded(head["kind"], choice, str(head["fingerprint"]), state, saved, extra)


def _choice(head: dict[str, Any]) -> Choice:
    """Return what was chosen; files of before there was a choice have no budget."""
    if "choice" in head:
        return Choice.from_json(head["choice"])
    is_graph = head["kind"] == "hnsw"
    reason = Reason.EXACT_ASKED if head["kind"] == "auto" else Reason.ASKED
    mib = 4 * int(head["cases"]) * int(head["dim"]) / (1 << 20)
    return Choice("hnsw" if is_graph else "exact", reason, mib=mib)
