"""Libraries whose harm is planted, and a small protocol to audit them by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.example_cases import make_case
from support.planted import MODEL, unit

from evaluation.library_audit import Protocol
from medembed.cases import Case, Finding
from medembed.library import CaseLibrary
from medembed.notes import Note

OUTCOMES = ("image_to_image.P@5", "text_to_image.R@10")
KINDS = (Finding("effusion", "right"), Finding("effusion", "left"), Finding("edema"))
OTHER = "fedcba9876543210" * 4


def archive(
    folder: Path, *, harmed: str, n: int = 400, seed: int = 0, n_val: int = 0
) -> CaseLibrary:
    """Two images of each patient; those of the harmed sex are noise."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, len(KINDS), n)
    cases = [
        make_case(
            i,
            note=Note(f"FINDINGS: report number {i}."),
            findings=(KINDS[which[i]],),
            sex="FM"[(i // 2) % 2],
            split="val" if i < n_val else "test",
        )
        for i in range(n)
    ]
    center = 2 * rng.normal(size=(len(KINDS), 16))
    core = center[which] + rng.normal(size=(n, 16))
    library = CaseLibrary.create(folder)
    library.add(cases)
    noise = rng.normal(size=core.shape)
    put_model(library, cases, MODEL, core, noise * noise_of(cases, harmed))
    return library


def noise_of(cases: list[Case], harmed: str) -> np.ndarray:
    """How much of each case's image is noise, (n, 1)."""
    return np.array([8.0 if case.sex == harmed else 0.4 for case in cases])[:, None]


def put_model(
    library: CaseLibrary, cases: list[Case], name: str, core: np.ndarray, added: np.ndarray
) -> None:
    """Notes are the core of a case, images the core and something more."""
    ids = [case.case_id for case in cases]
    library.put_vectors(name, "image", ids, unit(core + added))
    library.put_vectors(name, "note", ids, unit(core))


def second_model(library: CaseLibrary, *, harmed: str, jitter: float = 0.0, seed: int = 1) -> None:
    """Vectors of another model: its notes are the first one's, its images as noisy as told.

    With ``harmed="same"`` its images are those of the first model and a little noise.
    """
    rng = np.random.default_rng(seed)
    cases = list(library.cases())
    ids, core = library.vectors(MODEL, "note")
    assert ids == [case.case_id for case in cases]
    if harmed == "same":
        images = library.vectors(MODEL, "image")[1]
        put_model(library, cases, OTHER, core, images - core + jitter * rng.normal(size=core.shape))
        return
    spread = 0.15 * rng.normal(size=core.shape) * noise_of(cases, harmed)
    put_model(library, cases, OTHER, core, spread)


def protocol(**changes: object) -> Protocol:
    """Small and quick; what is given comes instead of what it says."""
    values: dict[str, object] = {
        "attributes": ("sex",),
        "outcomes": OUTCOMES,
        "primary": [{"attribute": "sex", "group": "F", "outcome": name} for name in OUTCOMES],
        "strata": ("finding",),
        "sections": ("exposure", "modality_gap", "label_quality"),
        "instrument": {"cohorts": 0},
        "repetitions": 300,
        "permutations": 199,
    }
    return Protocol.model_validate(values | changes)
