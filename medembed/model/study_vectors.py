"""Vectors of cases whose images a model pools; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medembed.encoders.study_images import ScanSource, StudyBatch, StudyImages
from medembed.library.statements import body_part_of

if TYPE_CHECKING:
    from medembed.cases import Case, ScanRef
    from medembed.model.dual_encoder import DualEncoder

__all__ = ["pooled_vectors", "source_of", "study_vectors"]

_CASES = 64
"""Cases pooled at a time."""

Vectors = npt.NDArray[np.float32]


def source_of(case: Case, ref: ScanRef, gap_days: int = 0) -> ScanSource:
    """Return what is known of a scan of a case, in training as in a library."""
    return ScanSource(ref.view, ref.modality, gap_days, body_part_of(case.attributes))


def pooled_vectors(
    model: DualEncoder,
    vectors: Vectors,
    counts: Sequence[int],
    owners: Sequence[str] | None = None,
    sources: Sequence[ScanSource] | None = None,
) -> Vectors:
    """Pool the vectors of each case's images; see :meth:`DualEncoder.encode_pixels`.

    Parameters
    ----------
    model : DualEncoder
    vectors : float32 array ``(images, dim)``
        As the image side returns them, scan by scan.
    counts : sequence of int
        Number of images of each scan.
    owners, sources : sequence, optional
        The case of each scan, and what is known of it.

    Returns
    -------
    float32 array, shape ``(n, dim)``
        Unit rows, one for each case in order of first appearance.
    """
    firsts = np.cumsum([0, *counts]).tolist()
    studies: dict[str, list[StudyImages]] = {}
    for at, count in enumerate(counts):
        source = sources[at] if sources is not None else ScanSource()
        owner = owners[at] if owners is not None else str(at)
        studies.setdefault(owner, []).append(StudyImages.of_scan(firsts[at], count, source))
    return study_vectors(model, [StudyImages.joined(of) for of in studies.values()], vectors)


def study_vectors(model: DualEncoder, studies: Sequence[StudyImages], vectors: Vectors) -> Vectors:
    """Pool the vectors of images, whose rows the studies name, into unit vectors ``(n, dim)``."""
    parts = []
    for at in range(0, len(studies), _CASES):
        study = StudyBatch.of(studies[at : at + _CASES])
        parts.append(model.pool(study, vectors[study.rows[study.present]]))
    return np.concatenate(parts)
