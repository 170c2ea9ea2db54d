"""A small library of images with notes that fit them, for tests of models and training.

A bright block lies in one quadrant of each image; the note names the side and the finding.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from medembed.cases import Case, Finding, ScanRef
from medembed.library import CaseLibrary
from medembed.notes import read_note

if TYPE_CHECKING:
    from medembed.training import TrainingConfig

PLACES = {
    ("effusion", "right"): (1, 0),
    ("effusion", "left"): (1, 1),
    ("nodule", "right"): (0, 0),
    ("nodule", "left"): (0, 1),
}
WORDS = {"effusion": "pleural effusion at the base", "nodule": "nodule in the upper lobe"}


def image_of(label: str, side: str, seed: int, size: int = 48) -> np.ndarray:
    """Noise and a block in the finding's quadrant; the patient's right is the image's left."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60, (size, size)).astype(np.uint8)
    row, column = PLACES[label, side]
    half = size // 2
    top, left = row * half + int(rng.integers(2, 6)), column * half + int(rng.integers(2, 6))
    pixels[top : top + half - 8, left : left + half - 8] = 220
    return pixels


def note_of(label: str, side: str, seed: int) -> str:
    """A report that says it, with a detail of its own."""
    return (
        f"FINDINGS: There is a {side} {WORDS[label]}. It measures {seed % 37 + 3} mm. "
        f"No pneumothorax.\nIMPRESSION: {side.capitalize()} {label}."
    )


def write_library(
    folder: Path,
    n: int = 48,
    *,
    images_per_case: int = 1,
    patients: int | None = None,
    women: int = 0,
) -> CaseLibrary:
    """Make a library of ``n`` cases: every sixth is for validation, every fifth of those left for
    testing. With ``women`` every so many is a woman's and the others men's, else nothing says."""
    library = CaseLibrary.create(folder / "library")
    scans = folder / "scans"
    scans.mkdir()
    kinds = list(PLACES)
    cases = []
    for i in range(n):
        label, side = kinds[i % len(kinds)]
        refs = []
        for part in range(images_per_case):
            path = scans / f"{i:03d}-{part}.png"
            Image.fromarray(image_of(label, side, 1000 * part + i)).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            refs.append(ScanRef((str(path),), digest, "CR", "PA"))
        cases.append(
            Case(
                case_id=f"C-{i:03d}",
                patient_id=f"P-{i if patients is None else i % patients:03d}",
                scans=tuple(refs),
                note=read_note(note_of(label, side, i)),
                findings=(Finding(label, side),),
                sex="unknown" if not women else "M" if i % women else "F",
                split="val" if i % 6 == 5 else "test" if i % 6 == 4 else "train",
            )
        )
    library.add(cases)
    return library


def small_config(**changes: object) -> TrainingConfig:
    """A training of seconds; what is given comes instead of what it says."""
    from medembed.training import TrainingConfig

    values: dict[str, object] = {
        "name": "small",
        "epochs": 4,
        "batch_size": 8,
        "validate_every": 2,
        "preprocess": {"size": 32},
        "image": {"encoder": "resnet10", "grid": 2, "options": {"widths": [4, 4, 8, 8]}},
        "text": {
            "encoder": "bert",
            "max_length": 40,
            "options": {"width": 16, "depth": 1, "heads": 2, "vocabulary": 200, "min_notes": 2},
        },
        "projection": {"dim": 16},
        "loss": {"findings_weight": 0.5, "phrases_weight": 0.5, "min_cases": 2},
        "image_augmentation": {"mirror": 0.5},
        "text_augmentation": {"sentences": 0.4, "phrases": 0.3},
        "optim": {"lr": 3e-3, "ema_decay": 0.5},
        "precision": "float32",
        "channels_last": False,
        "workers": 1,
    }
    return TrainingConfig.model_validate({**values, **changes})
