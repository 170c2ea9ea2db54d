"""Vectors of cases whose images a model pools; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.encoders.study_images import ScanSource, StudyBatch, StudyImages

if TYPE_CHECKING:
    from medembed.model.dual_encoder import DualEncoder
    from medembed.preprocess import Pixels

__all__ = ["pooled_vectors", "study_vectors"]

_CASES = 64
"""Cases pooled at a time."""

Vectors = npt.NDArray[np.float32]


def pooled_vectors(
    model: DualEncoder,
    items: Sequence[Pixels],
    batch_size: int,
    owners: Sequence[str] | None = None,
    sources: Sequence[ScanSource] | None = None,
) -> Vectors:
    """Encode images and pool those of each case; see :meth:`DualEncoder.encode_pixels`.

    Returns
    -------
    float32 array, shape ``(n, dim)``
        Unit rows, one for each case in order of first appearance.
    """
    rows = np.concatenate(list(items))
    features = np.concatenate(
        [
            model.image_features(model.preprocess.normalize(rows[at : at + batch_size]))
            for at in range(0, len(rows), batch_size)
        ]
    )
    counts = [len(item) for item in items]
    firsts = np.cumsum([0, *counts]).tolist()
    studies: dict[str, list[StudyImages]] = {}
    for at, count in enumerate(counts):
        source = sources[at] if sources is not None else ScanSource()
        owner = owners[at] if owners is not None else str(at)
        studies.setdefault(owner, []).append(StudyImages.of_scan(firsts[at], count, source))
    return study_vectors(model, [StudyImages.joined(of) for of in studies.values()], features)


def study_vectors(
    model: DualEncoder, studies: Sequence[StudyImages], features: npt.NDArray[np.float32]
) -> Vectors:
    """Pool features of images, whose rows the studies name, into unit vectors ``(n, dim)``."""
    parts = []
    for at in range(0, len(studies), _CASES):
        study = StudyBatch.of(studies[at : at + _CASES])
        parts.append(model.pool_features(study, features[study.rows[study.present]]))
    return np.concatenate(parts)
