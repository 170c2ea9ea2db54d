"""Names of views, modalities and body parts, as files and tables write them, have one code each."""

from __future__ import annotations

import pytest

from medembed.encoders.header_codes import (
    BODY_PARTS,
    HEADER_CODES,
    HEADER_VIEWS,
    MODALITIES,
    header_codes,
)
from medembed.notes.exam_words import MODALITY_FAMILIES


@pytest.mark.parametrize(
    ("view", "name"),
    [
        ("PA", "PA"), ("ap", "AP"), ("AP Supine", "AP"), ("Supine AP", "AP"), ("LL", "lateral"),
        ("LATERAL", "lateral"), ("L", "lateral"), ("RAO", "oblique"), ("Axial", "axial"),
        ("TRA", "axial"), ("MLO", "MLO"), ("CC", "CC"), ("XCCL", "CC"), ("", "unknown"),
        ("unknown", "unknown"), ("PALM", "unknown"),
    ],
)  # fmt: skip
def test_a_view_is_known_however_it_is_written(view: str, name: str) -> None:
    assert HEADER_VIEWS[header_codes(view, "", "")[0]] == name


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("CHEST", "chest"), ("Thorax", "chest"), ("CHEST PA", "chest"), ("LEFT RIBS", "chest"),
        ("C-Spine", "cervical spine"), ("CERVICAL SPINE", "cervical spine"),
        ("LSPINE", "lumbar spine"), ("SPINE, LUMBAR", "spine"), ("LEFT KNEE", "knee"),
        ("left upper leg", "thigh"), ("R_LEG", "lower leg"), ("XR_SHOULDER", "shoulder"),
        ("CHESTABDPELVIS", "trunk"), ("chest, abdomen and pelvis", "trunk"),
        ("Abdomen/Pelvis", "trunk"), ("hand and foot", "unknown"), ("WHOLEBODY", "whole body"),
        ("", "unknown"), ("n/a", "unknown"), ("HANDLEBAR", "unknown"), ("胸部", "unknown"),
    ],
)  # fmt: skip
def test_a_body_part_is_known_however_it_is_written(part: str, name: str) -> None:
    assert BODY_PARTS[header_codes("", "", part)[2]] == name


def test_modalities_of_a_family_have_one_code_and_every_family_has_one() -> None:
    for name, values in MODALITY_FAMILIES.items():
        codes = {header_codes("", spelled, "")[1] for v in values for spelled in (v, v.lower())}
        assert codes == {MODALITIES.index(name)}
    assert [header_codes("", other, "")[1] for other in ("", "unknown", "OT")] == [0, 0, 0]


def test_every_name_is_read_as_itself() -> None:
    for part in BODY_PARTS:
        assert BODY_PARTS[header_codes("", "", part)[2]] == part
    for view in HEADER_VIEWS:
        assert HEADER_VIEWS[header_codes(view, "", "")[0]] == view


def test_codes_that_models_were_trained_with_stay() -> None:
    """New names come at the end: saved models know these by their positions."""
    assert (HEADER_VIEWS[3], HEADER_VIEWS[9]) == ("lateral", "MLO")
    assert (MODALITIES[1], MODALITIES[6]) == ("radiograph", "nuclear medicine")
    assert (BODY_PARTS[1], BODY_PARTS[9], BODY_PARTS[25]) == ("chest", "cervical spine", "foot")
    assert max(map(len, (HEADER_VIEWS, MODALITIES, BODY_PARTS))) <= HEADER_CODES
