"""A cine is one scan, of which a 2D model reads an ordered sample of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.example_files import make_dataset

from medembed.preprocess import Preprocess
from medembed.scans import read_scan

FRAMES = np.stack(
    [np.random.default_rng(i).integers(0, 40, (20, 20)) + 10 * i for i in range(20)]
).astype(np.uint8)


def write_cine(path: Path, color: bool) -> Path:
    frames = np.repeat(FRAMES[..., None], 3, axis=-1) if color else FRAMES
    ds = make_dataset(
        1,
        20,
        Modality="US",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1",
        NumberOfFrames=len(frames),
        FrameTime="33",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        SamplesPerPixel=3 if color else 1,
        PhotometricInterpretation="RGB" if color else "MONOCHROME2",
        PixelData=frames.tobytes(),
    )
    if color:
        ds.PlanarConfiguration = 0
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("color", [False, True])
def test_a_2d_model_reads_an_ordered_sample_of_a_loop(tmp_path: Path, color: bool) -> None:
    scan = read_scan(write_cine(tmp_path / "a.dcm", color))
    np.testing.assert_array_equal(scan.pixels, FRAMES)
    assert scan.spacing_mm is None
    pixels = Preprocess(size=20, slices=5, window="range").pixels(scan)
    low, high = FRAMES.min(), FRAMES.max()
    expected = np.rint((FRAMES[[2, 6, 10, 14, 18], None] - float(low)) / (high - low) * 255)
    np.testing.assert_allclose(pixels, expected, atol=1)


def test_a_short_loop_is_read_whole(tmp_path: Path) -> None:
    scan = read_scan(write_cine(tmp_path / "a.dcm", color=False))
    assert Preprocess(size=20, slices=32).pixels(scan).shape == (len(FRAMES), 1, 20, 20)
    one = read_scan(tmp_path / "a.dcm", frame=3)
    np.testing.assert_array_equal(one.pixels, FRAMES[3])
