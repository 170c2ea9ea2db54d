"""The sides of the patient to which the axes of a scan run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from medembed.errors import ScanError
from medembed.scans import Scan, read_scan
from medembed.scans.geometry import axes_of
from medembed.scans.worker_protocol import scan_from_json, scan_to_json
from tests.apps.conftest import write_ct, write_radiograph


@pytest.mark.parametrize(
    ("orientation", "axes"),
    [
        ((1, 0, 0, 0, 1, 0), ("H", "P", "L")),  # axial
        ((-1, 0, 0, 0, 1, 0), ("H", "P", "R")),  # mirrored: slices still run to the head
        ((1, 0, 0, 0, 0, -1), ("P", "F", "L")),  # coronal
        ((0, 1, 0, 0, 0, -1), ("L", "F", "P")),  # sagittal
        ((0.8, 0.6, 0, 0, 0, -1), ("PR", "F", "LP")),  # oblique
    ],
)
def test_axes_are_named_by_the_side_they_run_to(
    orientation: tuple[float, ...], axes: tuple[str, ...]
) -> None:
    assert axes_of(orientation) == axes


def test_a_volume_of_slices_has_three_and_one_slice_two(tmp_path: Path) -> None:
    files = write_ct(tmp_path, 1)
    assert read_scan(files).axes == ("H", "P", "L")
    assert read_scan(files[0]).axes == ("P", "L")


def test_a_radiograph_has_those_of_its_patient_orientation(tmp_path: Path) -> None:
    file = write_radiograph(tmp_path / "a.dcm", 1)
    assert read_scan(file).axes == ()
    for stated, axes in (
        (["L", "F"], ("F", "L")),
        (["", ""], ()),
        (["LEFT", "FOOT"], ()),
        (["L"], ()),
    ):
        data = dcmread(file)
        data.PatientOrientation = stated
        data.save_as(file)
        assert read_scan(file).axes == axes, stated


def test_they_survive_the_way_from_the_decoding_process() -> None:
    scan = Scan(np.zeros((2, 2), np.float32), axes=("F", "L"))
    assert scan_from_json(scan_to_json(scan), scan.pixels).axes == ("F", "L")


def test_a_scan_has_one_for_each_axis_or_none() -> None:
    with pytest.raises(ScanError, match="1 direction for 2 axes"):
        Scan(np.zeros((2, 2), np.float32), axes=("L",))
