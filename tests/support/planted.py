"""A library with planted vectors, whose scores can be known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.example_cases import make_case

from medembed.cases import Finding
from medembed.library import CaseLibrary
from medembed.notes import Note

MODEL = "0123456789abcdef" * 4


def unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plant(
    folder: Path, n: int = 60, *, noise: float = 1.0, notes: bool = True, seed: int = 0
) -> CaseLibrary:
    """Cases of n / 2 patients; the more ``noise``, the less images and notes agree."""
    rng = np.random.default_rng(seed)
    kinds = [
        (Finding("effusion", "right"),),
        (Finding("effusion", "left"),),
        (Finding("edema"),),
        (),
    ]
    which = rng.integers(0, len(kinds), n)
    cases = [
        make_case(
            i,
            note=Note(f"Report number {i} of its kind.") if notes else None,
            findings=kinds[which[i]],
            split="test",
        )
        for i in range(n)
    ]
    library = CaseLibrary.create(folder)
    assert library.add(cases).added == n
    center = rng.normal(size=(len(kinds), 24))
    core = center[which] + 0.7 * rng.normal(size=(n, 24))
    ids = [case.case_id for case in cases]
    library.put_vectors(MODEL, "image", ids, unit(core))
    if notes:
        library.put_vectors(MODEL, "note", ids, unit(core + noise * rng.normal(size=core.shape)))
    return library
