"""Steps read ahead are those that would be read in time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_pairs import small_config, write_library

from medembed.errors import LibraryError
from medembed.training import train
from medembed.training.augment import augment
from medembed.training.settings import ImageAugmentation
from medembed.training.step_inputs import Ahead, StepInputs


def step(number: int) -> StepInputs:
    none = np.zeros(0, dtype=np.int64)
    return StepInputs(number, [], none.astype(bool), none, [], [], None, none)


def readers() -> int:
    return sum(thread.name == "step-inputs" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_steps_come_in_order(count: int) -> None:
    with Ahead(step, range(4, 20), count, 1).running() as ahead:
        assert [ahead.take(at).seed for at in range(4, 20)] == list(range(4, 20))
    assert readers() == 0


def test_steps_are_read_while_another_is_computed_but_not_without_end() -> None:
    read: list[int] = []

    def slow(number: int) -> StepInputs:
        read.append(number)
        return step(number)

    with Ahead(slow, range(100), 2, 1).running() as ahead:
        ahead.take(0)
        until = time.monotonic() + 10
        while len(read) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        assert read == [0, 1, 2, 3]  # one taken, two ready, one waiting for a place
    assert readers() == 0


def test_an_error_while_reading_is_raised_where_the_step_is_taken() -> None:
    def failing(number: int) -> StepInputs:
        if number == 2:
            raise LibraryError("the pixel cache was truncated")
        return step(number)

    with (
        pytest.raises(LibraryError, match="truncated"),
        Ahead(failing, range(5), 2, 1).running() as ahead,
    ):
        for at in range(5):
            ahead.take(at)
    assert readers() == 0


def test_reading_ahead_does_not_change_the_weights(tmp_path: Path, bare_models: None) -> None:
    library = write_library(tmp_path)
    prints = {
        train(library, small_config(epochs=2, prefetch=count), restart=True).fingerprint
        for count in (0, 1, 4)
    }
    assert len(prints) == 1
    assert train(library, small_config(epochs=2, prefetch=3)).unchanged
    assert readers() == 0


@pytest.mark.parametrize("shape", [(1, 12, 10), (1, 4, 6, 6)])
def test_a_share_of_a_batch_is_augmented_as_in_the_whole(shape: tuple[int, ...]) -> None:
    images = torch.rand(7, *shape, generator=torch.Generator().manual_seed(1))
    mirror = np.array([True, False, True, False, False, True, True])
    settings = ImageAugmentation()
    whole = augment(images, mirror, settings, np.random.default_rng(3))
    rows = np.array([4, 5, 0])
    part = augment(images[rows], mirror, settings, np.random.default_rng(3), rows)
    assert torch.equal(part, whole[rows])
