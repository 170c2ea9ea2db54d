"""Series by geometry."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scans.dicom_samples import dataset, write

from medembed.errors import ScanError
from medembed.scans import ScanHeader, group_series, read_scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SLICE = ScanHeader(
    format="dicom",
    modality="CT",
    n_frames=1,
    rows=4,
    columns=4,
    has_pixels=True,
    series_uid="1.2",
    frame_uid="1.9",
    orientation=AXIAL,
    pixel_spacing_mm=(1.0, 1.0),
)


def stack(places: list[float], name: str = "s", **changes: object) -> list[tuple[str, ScanHeader]]:
    """Slices at these places, named by their place's rank, with UIDs of their own."""
    return [
        (
            f"{name}{i:03}",
            replace(
                SLICE,
                position=(0.0, 0.0, z),
                instance_uid=f"{name}.{i}",
                instance_number=i,
                **changes,  # type: ignore[arg-type]
            ),
        )
        for i, z in enumerate(places)
    ]


def names(files: tuple[Path, ...]) -> list[str]:
    return [str(file) for file in files]


@given(st.permutations(range(8)), st.floats(0.3, 10))
@settings(max_examples=30)
def test_slices_out_of_order_are_put_in_order(order: list[int], step: float) -> None:
    slices = stack([i * step for i in range(8)])
    (series,) = group_series([slices[i] for i in order])
    assert names(series.files) == [name for name, _ in slices]
    assert series.error is None
    assert [h.instance_number for h in series.headers] == list(range(8))


def test_feet_come_first_whichever_way_the_rows_run() -> None:
    slices = stack([0, 1, 2], orientation=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    (series,) = group_series(slices[::-1])
    assert names(series.files) == ["s000", "s001", "s002"]


def test_a_localizer_in_the_series_stands_alone() -> None:
    localizer = ("loc", replace(SLICE, orientation=CORONAL, position=(0, 0, 0), instance_uid="l"))
    found = group_series([localizer, *stack([0, 1, 2])])
    assert [len(series.files) for series in found] == [1, 3]


def test_a_localizer_of_the_same_orientation_stands_alone() -> None:
    localizer = (
        "loc",
        replace(
            SLICE,
            image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"),
            position=(0, 0, 50),
            instance_uid="l",
        ),
    )
    found = group_series([*stack([0, 1, 2]), localizer])
    assert [len(series.files) for series in found] == [3, 1]


def test_orientations_are_separated() -> None:
    coronal = [
        (f"c{i}", replace(h, orientation=CORONAL, position=(0.0, float(i), 0.0)))
        for i, (_, h) in enumerate(stack([0, 0, 0], "c"))
    ]
    found = group_series([*stack([0, 1, 2]), *coronal])
    assert [len(series.files) for series in found] == [3, 3]
    assert all(series.error is None for series in found)


def test_sizes_are_separated() -> None:
    found = group_series([*stack([0, 1]), *stack([2, 3], "t", rows=8)])
    assert [names(series.files) for series in found] == [["s000", "s001"], ["t000", "t001"]]


def test_copies_of_an_instance_are_left_out_and_named() -> None:
    slices = stack([0, 1, 2])
    (series,) = group_series([*slices, ("copy", slices[1][1])])
    assert len(series.files) == 3
    assert names(series.duplicates) == ["copy"]
    assert "copies" in series.note


def test_a_hole_splits_a_series_and_says_so() -> None:
    found = group_series(stack([0, 1, 2, 3, 7, 8, 9]))
    assert [len(series.files) for series in found] == [4, 3]
    assert all("missing" in series.note and series.error is None for series in found)


def test_irregular_distances_are_refused() -> None:
    (series,) = group_series(stack([0, 1, 2.2, 3.1, 4.4]))
    assert series.error is not None
    assert series.error.reason == "irregular-spacing"


def test_phases_at_the_same_places_are_separated() -> None:
    found = group_series(stack([0, 0, 1, 1, 2, 2]))
    assert [names(s.files) for s in found] == [["s000", "s002", "s004"], ["s001", "s003", "s005"]]
    assert all("2 phases" in series.note for series in found)


def test_acquisitions_at_the_same_places_are_separated() -> None:
    found = group_series(
        [*stack([0, 1, 2], acquisition_number=1), *stack([0, 1], "t", acquisition_number=2)]
    )
    assert [len(series.files) for series in found] == [3, 2]


def test_some_places_taken_twice_are_refused() -> None:
    (series,) = group_series(stack([0, 1, 1, 2]))
    assert series.error is not None
    assert series.error.reason == "several-volumes"


def test_an_orientation_that_is_none_is_refused() -> None:
    (series,) = group_series(stack([0, 1], orientation=(0.0,) * 6))
    assert series.error is not None
    assert series.error.reason == "bad-geometry"


def test_what_has_no_place_stands_alone() -> None:
    image = ScanHeader(format="image", n_frames=1, rows=4, columns=4, has_pixels=True)
    cine = replace(SLICE, n_frames=9, position=(0, 0, 0), instance_uid="c")
    flat = [(f"x{i}", replace(SLICE, position=None, instance_uid=f"x{i}")) for i in range(2)]
    found = group_series([("a.png", image), ("b.png", image), ("c", cine), *flat])
    assert [len(series.files) for series in found] == [1] * 5


@given(st.lists(st.integers(0, 12), min_size=1, max_size=12), st.randoms())
@settings(max_examples=80)
def test_no_file_is_lost_or_used_twice(places: list[int], rng: random.Random) -> None:
    slices = stack([float(z) for z in places])
    rng.shuffle(slices)
    found = group_series(slices)
    assert sorted(str(f) for series in found for f in series.files) == sorted(n for n, _ in slices)


def write_stack(folder: Path, places: list[float]) -> list[Path]:
    paths = []
    for i, z in enumerate(places):
        ds = dataset(
            np.full((2, 3), i, np.uint16),
            SOPInstanceUID=f"1.2.{i + 1}",
            ImagePositionPatient=[0, 0, z],
            ImageOrientationPatient=list(AXIAL),
            PixelSpacing=[0.5, 0.25],
            RescaleSlope=1,
            RescaleIntercept=100 * i,
        )
        paths.append(write(folder / f"{i}.dcm", ds))
    return paths


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_series_is_read_as_a_volume(tmp_path: Path, as_folder: bool) -> None:
    paths = write_stack(tmp_path, [4.0, 0.0, 2.0])
    scan = read_scan(tmp_path if as_folder else paths)
    assert scan.pixels[:, 0, 0].tolist() == [101.0, 202.0, 0.0]
    assert scan.spacing_mm == (2.0, 0.5, 0.25)
    assert scan.instance_uids == ("1.2.2", "1.2.3", "1.2.1")
    assert scan.units == "HU"


@pytest.mark.parametrize(
    ("places", "reason"),
    [([0, 1, 5, 6], "several-series"), ([0, 1, 2.3, 3], "irregular-spacing")],
)
def test_files_that_make_no_volume_are_refused(
    tmp_path: Path, places: list[float], reason: str
) -> None:
    write_stack(tmp_path, places)
    with pytest.raises(ScanError) as caught:
        read_scan(tmp_path)
    assert caught.value.reason == reason
