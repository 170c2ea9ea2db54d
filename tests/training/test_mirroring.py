"""Image and report are mirrored together or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_pairs import small_config, write_library

from medembed.library import CaseLibrary
from medembed.notes import read_note
from medembed.training import step_inputs, train


def library_with(folder: Path, addition: str) -> CaseLibrary:
    """Small pairs; every second report has a further sentence."""
    from dataclasses import replace

    plain = write_library(folder, n=24)
    cases = []
    for i, case in enumerate(plain.cases()):
        assert case.note is not None
        text = case.note.text + (addition if i % 2 else "")
        cases.append(replace(case, note=read_note(text)))
    assert not plain.add(cases, replace=True).refusals
    return plain


@pytest.mark.slow
def test_a_report_with_a_side_that_stays_is_never_mirrored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = library_with(tmp_path, "\nIMPRESSION: RML collapse.")
    drawn: list[tuple[bool, str]] = []
    turned_images: list[np.ndarray] = []
    read_inputs, augment_images = step_inputs.StepReader.read, step_inputs.augment

    def read(self: Any, *step: Any) -> Any:
        inputs = read_inputs(self, *step)
        reports = [self.texts.cohort.reports[case].full.text for case in inputs.cases]
        drawn.extend(zip(inputs.mirror.tolist(), reports, strict=True))
        return inputs

    def augment(images: Any, mirror: Any, *rest: Any) -> Any:
        turned_images.append(mirror.copy())
        return augment_images(images, mirror, *rest)

    monkeypatch.setattr(step_inputs.StepReader, "read", read)
    monkeypatch.setattr(step_inputs, "augment", augment)
    train(library, small_config(epochs=2, image_augmentation={"mirror": 1.0}))
    turned = [text for mirrored, text in drawn if mirrored]
    kept = [text for mirrored, text in drawn if not mirrored]
    assert turned
    assert kept
    assert not any("RML" in text for text in turned)
    assert all("RML" in text for text in kept)
    # the images are turned with their reports, batch by batch
    assert np.concatenate(turned_images).tolist() == [mirrored for mirrored, _ in drawn]
