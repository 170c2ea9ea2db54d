"""Image and report are mirrored together or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.small_pairs import small_config, write_library

from medembed.library import CaseLibrary
from medembed.notes import read_note
from medembed.training import train
from medembed.training.feature_feeders import ImageFeeder, TextFeeder
from medembed.training.text_views import TextView


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


def test_a_report_with_a_side_that_stays_is_never_mirrored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = library_with(tmp_path, "\nIMPRESSION: RML collapse.")
    drawn: list[tuple[bool, str]] = []
    turned_images: list[np.ndarray] = []
    draw_texts, draw_images = TextFeeder.draw, ImageFeeder.draw

    def texts(self: TextFeeder, cases: Any, mirror: Any, rng: Any) -> list[TextView]:
        reports = [self.cohort.reports[case].full.text for case in cases]
        drawn.extend(zip(mirror.tolist(), reports, strict=True))
        return draw_texts(self, cases, mirror, rng)

    def images(self: ImageFeeder, cases: Any, mirror: Any, rng: Any) -> Any:
        turned_images.append(mirror.copy())
        return draw_images(self, cases, mirror, rng)

    monkeypatch.setattr(TextFeeder, "draw", texts)
    monkeypatch.setattr(ImageFeeder, "draw", images)
    train(library, small_config(epochs=2, image_augmentation={"mirror": 1.0}))
    turned = [text for mirrored, text in drawn if mirrored]
    kept = [text for mirrored, text in drawn if not mirrored]
    assert turned
    assert kept
    assert not any("RML" in text for text in turned)
    assert all("RML" in text for text in kept)
    # the images are turned with their reports, batch by batch
    assert np.concatenate(turned_images).tolist() == [mirrored for mirrored, _ in drawn]
