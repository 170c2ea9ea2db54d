"""What is encoded at a time and what comes of it: plain data, for any process or machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medembed.cases import ScanRef
from medembed.counted import counted
from medembed.encoders.study_images import ScanSource
from medembed.library.vectors import VectorKind
from medembed.model.pixel_cache import PixelCache

__all__ = ["EmbedOutcome", "EmbedTask", "ScanTask"]


@dataclass(frozen=True)
class ScanTask:
    """A scan of a case, or of an earlier study that is pooled with it.

    Parameters
    ----------
    owner : str
        The case whose vector it is part of.
    ref : ScanRef
    files : tuple of Path
        Absolute paths.
    source : ScanSource
        What is known of it.
    changed : bool
        The files are others than those that were ingested, and are not to be read.
    """

    owner: str
    ref: ScanRef
    files: tuple[Path, ...]
    source: ScanSource
    changed: bool = False

    @property
    def days(self) -> int:
        """Days from the scan to the case's study; 0 for its own scans."""
        return self.source.gap_days

    @property
    def key(self) -> str:
        """The scan's name in caches."""
        return PixelCache.key_of(self.ref)

    def __repr__(self) -> str:
        return f"ScanTask({self.ref!r})"


@dataclass(frozen=True)
class EmbedTask:
    """Some cases whose vectors of one kind are to be computed.

    Parameters
    ----------
    kind : {"image", "note"}
    ids : tuple of str
        Cases.
    contents : mapping of str to bytes
        Digest of what each case's vector depends on.
    scans : tuple of ScanTask
        For images.
    texts : mapping of str to str
        For notes: what the text side reads of each case that has a note.
    """

    kind: VectorKind
    ids: tuple[str, ...]
    contents: Mapping[str, bytes]
    scans: tuple[ScanTask, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"EmbedTask({self.kind!r}, {counted(len(self.ids), 'case')})"


@dataclass(frozen=True)
class EmbedOutcome:
    """The vectors of a task's cases.

    Parameters
    ----------
    ids : list of str
        Cases that have a vector.
    vectors : float32 array ``(n, dim)``
    from_files : list of int
        Positions of the task's scans whose pixels were read from their files, not from the cache.
    unread : dict of str to int
        Scans that could not be read, by case; those of earlier studies are not counted.
    refused : dict of str to str
        A reason for each case without a vector because no scan could be read.
    features : dict of str to float32 array
        Image features by scan, for the model's reranker.
    """

    ids: list[str]
    vectors: npt.NDArray[np.float32]
    from_files: list[int] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    features: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
