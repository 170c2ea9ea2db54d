"""Single images as scanners and archives write them: the faults that public reports have shown."""

from __future__ import annotations

import struct
from datetime import date
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from scans.dicom_samples import dataset, item, lut_item, write

from medembed.errors import ScanError
from medembed.scans import read_header, read_scan
from medembed.scans.ages import age_at
from medembed.scans.read import inspect_file
from medembed.scans.remarks import Remark

RNG = np.random.default_rng(2)
PICTURE = RNG.integers(0, 200, (64, 64), np.uint8)
THREE = RNG.integers(0, 200, (3, 64, 64), np.uint8)
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
SYNTAXES = [uid.JPEG2000Lossless, uid.RLELossless, uid.JPEGLSLossless]


def coded(pixels: np.ndarray, syntax: str) -> list[bytes]:
    """The compressed frames of a picture."""
    ds = dataset(pixels)
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    ds.compress(syntax, generate_instance_uid=False)
    return list(generate_frames(ds.PixelData, number_of_frames=max(1, pixels.size // 64**2)))


def compressed(path: Path, pixels: np.ndarray, syntax: str, content: bytes, **more: Any) -> Path:
    """A file whose compressed element holds just these bytes."""
    ds = dataset(pixels, **more)
    ds.PixelData = encapsulate([b"put here"])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    whole = write(path, ds, syntax).read_bytes()
    start = whole.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    path.write_bytes(whole[:start] + content)
    return path


def fragment(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def reason(path: Path) -> str:
    with pytest.raises(ScanError) as caught:
        read_scan(path)
    return caught.value.reason


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("end", [b"", bytes(8), b"\xfe\xff", END[:4], b"\xfc\xff\xfc\xffOB\0\0"])
def test_r01_no_sequence_delimiter(tmp_path: Path, syntax: str, end: bytes) -> None:
    content = encapsulate(coded(PICTURE, syntax)) + end
    scan = read_scan(compressed(tmp_path / "a", PICTURE, syntax, content))
    np.testing.assert_array_equal(scan.pixels, PICTURE)
    assert scan.remarks == (() if end == END[:4] else (Remark.NOT_CLOSED,))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_r01_a_frame_that_is_not_whole_is_truncated(tmp_path: Path, syntax: str) -> None:
    content = encapsulate(coded(PICTURE, syntax))
    assert reason(compressed(tmp_path / "a", PICTURE, syntax, content[:-40])) == "truncated"
    # the last of two fragments is missing, at the border of the first
    (frame,) = coded(PICTURE, syntax)
    half = fragment(b"") + fragment(frame[: len(frame) // 4 * 2])
    if syntax != uid.RLELossless:  # a frame of RLE is one fragment, and does not say where it ends
        assert reason(compressed(tmp_path / "b", PICTURE, syntax, half)) == "truncated"
    three = encapsulate(coded(THREE, syntax)[:2])
    assert reason(compressed(tmp_path / "c", THREE, syntax, three)) == "truncated"
    assert reason(compressed(tmp_path / "d", PICTURE, syntax, b"")) == "truncated"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"", id="empty"),
        pytest.param(struct.pack("<III", 0, 4, 8), id="wrong"),
        pytest.param(struct.pack("<II", 0, 99999), id="short"),
        pytest.param(struct.pack("<III", 0, 2**32 - 1, 7) + b"x", id="odd"),
        pytest.param(struct.pack("<III", 5, 4, 3), id="falling"),
    ],
)
def test_r01_a_wrong_offset_table(tmp_path: Path, syntax: str, table: bytes) -> None:
    items = b"".join(fragment(frame) for frame in coded(THREE, syntax))
    path = compressed(tmp_path / "a", THREE, syntax, fragment(table) + items + END)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels, THREE)
    assert scan.remarks == ((Remark.OFFSETS,) if table else ())


@pytest.mark.parametrize("with_table", [True, False])
def test_r01_frames_in_several_fragments_and_empty_ones(tmp_path: Path, with_table: bool) -> None:
    syntax, items, offsets, at = uid.JPEG2000Lossless, b"", [], 0
    for frame in coded(THREE, syntax):
        cut = len(frame) // 4 * 2
        parts = b"".join(fragment(part) for part in (frame[:cut], b"", frame[cut:]))
        offsets.append(at)
        items, at = items + parts, at + len(parts)
    table = struct.pack("<III", *offsets) if with_table else b""
    for end in (END, b""):
        path = compressed(tmp_path / "a", THREE, syntax, fragment(table) + items + end)
        np.testing.assert_array_equal(read_scan(path).pixels, THREE)


def test_r01_no_table_at_all(tmp_path: Path) -> None:
    syntax = uid.JPEG2000Lossless
    items = b"".join(fragment(frame) for frame in coded(THREE, syntax))
    path = compressed(tmp_path / "a", THREE, syntax, items + END)
    np.testing.assert_array_equal(read_scan(path).pixels, THREE)


@pytest.mark.parametrize("shift", [0, 6])
def test_r01_an_extended_offset_table(tmp_path: Path, shift: int) -> None:
    frames = coded(THREE, uid.JPEG2000Lossless)
    content, offsets, lengths = encapsulate_extended(frames)
    moved = struct.pack("<QQQ", *(o + shift for o in struct.unpack("<QQQ", offsets)))
    tables = {"ExtendedOffsetTable": moved, "ExtendedOffsetTableLengths": lengths}
    path = compressed(tmp_path / "a", THREE, uid.JPEG2000Lossless, content + END, **tables)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels, THREE)
    assert scan.remarks == ((Remark.OFFSETS,) if shift else ())


def test_r01_pixels_without_compression_and_without_length_are_refused(tmp_path: Path) -> None:
    content = fragment(b"") + fragment(PICTURE.tobytes()) + END
    path = compressed(tmp_path / "a", PICTURE, uid.JPEG2000Lossless, content)
    whole = path.read_bytes()
    native = uid.ExplicitVRLittleEndian.encode().ljust(len(uid.JPEG2000Lossless), b"\0")
    path.write_bytes(whole.replace(uid.JPEG2000Lossless.encode(), native))
    assert reason(path) == "corrupt"


def with_value(path: Path, keyword: str, vr: str, value: bytes, **more: Any) -> Path:
    """A file with an element of any type and any bytes, before its pixels."""
    whole = write(path, dataset(PICTURE, **more)).read_bytes()
    tag = pydicom.datadict.tag_for_keyword(keyword)
    assert tag is not None
    value += b" " * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in ("UT", "OB", "UN", "OW"):
        head += b"\0\0" + struct.pack("<I", len(value))
    else:
        head += struct.pack("<H", len(value))
    at = whole.index(b"\x28\x00\x00\x01US")  # BitsAllocated: what is of group 28 goes before it
    path.write_bytes(whole[:at] + head + value + whole[at:])
    return path


@pytest.mark.parametrize(
    ("attributes", "remark"),
    [
        ({"WindowCenter": 40, "WindowWidth": 0}, Remark.WINDOW),
        ({"WindowCenter": 40, "WindowWidth": -5}, Remark.WINDOW),
        ({"WindowCenter": [40, 50], "WindowWidth": 5}, Remark.WINDOW),
        ({"WindowCenter": 40}, Remark.WINDOW),
        ({"VOILUTSequence": [lut_item(0, [1, 2], 0)]}, Remark.VOI_LUT),
        ({"VOILUTSequence": [lut_item(0, [1, 2], 32)]}, Remark.VOI_LUT),
        ({"VOILUTSequence": [item(LUTExplanation="x")]}, Remark.VOI_LUT),
        ({"PixelSpacing": [-1, -1]}, Remark.SPACING),
        ({"PixelSpacing": [0.5]}, Remark.SPACING),
        ({"PixelSpacing": [0.5, 0]}, Remark.SPACING),
        ({"PixelSpacing": [1e-30, 1e-30]}, Remark.SPACING),
        ({"ImagerPixelSpacing": [1e9, 1e9]}, Remark.SPACING),
        ({"NumberOfFrames": 0}, Remark.FRAMES),
        ({"NumberOfFrames": -3}, Remark.FRAMES),
        ({"RescaleSlope": 0, "RescaleIntercept": 0, "Modality": "DX"}, Remark.RESCALE),
        ({"ImagePositionPatient": [1, 2]}, Remark.POSITION),
    ],
)
def test_r02_broken_side_values(tmp_path: Path, attributes: dict[str, Any], remark: Remark) -> None:
    path = write(tmp_path / "a", dataset(PICTURE, **attributes))
    scan = read_scan(path) if remark != Remark.POSITION else None
    header = inspect_file(path)
    assert header.remarks == (remark,)
    assert (header.n_frames, len(header.frame_digests)) == (1, 1)
    if scan is not None:
        np.testing.assert_array_equal(scan.pixels, PICTURE)
        assert scan.remarks == (remark,)
        assert (scan.windows, scan.voi_luts, scan.spacing_mm) == ((), (), None)


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "remark"),
    [
        ("PixelSpacing", "DS", b"0,5\\0,5", Remark.SPACING),
        ("PixelSpacing", "DS", b"nan\\inf", Remark.SPACING),
        ("PixelSpacing", "DS", b"mm", Remark.SPACING),
        ("PixelSpacing", "US", b"\x01\0", Remark.SPACING),
        ("ImagerPixelSpacing", "DS", b"0,5\\0,5", Remark.SPACING),
        ("PixelPaddingValue", "LO", b"none", Remark.PADDING),
        ("PixelPaddingValue", "OB", b"\1\0", Remark.PADDING),
        ("VOILUTSequence", "LO", b"none", Remark.VOI_LUT),
        ("WindowCenter", "DS", b"40,5", Remark.WINDOW),
        ("NumberOfFrames", "IS", b"1A", Remark.FRAMES),
        ("NumberOfFrames", "LO", b"one", Remark.FRAMES),
        ("PixelAspectRatio", "IS", b"1,2\\0", None),
        ("BurnedInAnnotation", "US", b"\x01", None),
    ],
)
def test_r02_values_that_are_no_numbers(
    tmp_path: Path, keyword: str, vr: str, value: bytes, remark: Remark | None
) -> None:
    path = with_value(tmp_path / "a", keyword, vr, value)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels, PICTURE)
    assert (scan.spacing_mm, scan.remarks) == (None, () if remark is None else (remark,))
    assert inspect_file(path).remarks == scan.remarks


def test_r02_a_spacing_of_another_type_is_read_and_said(tmp_path: Path) -> None:
    scan = read_scan(with_value(tmp_path / "a", "PixelSpacing", "UT", b"0.143\\0.25"))
    assert (scan.spacing_mm, scan.remarks) == ((0.143, 0.25), (Remark.SPACING_TYPE,))


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
@pytest.mark.parametrize("planes", [None, 7])
def test_r02_colours_without_a_planar_configuration(tmp_path: Path, planes: int | None) -> None:
    ds = dataset(PICTURE, PhotometricInterpretation="rgb", SamplesPerPixel=3)
    ds.PlanarConfiguration = planes
    ds.PixelData = np.repeat(PICTURE[..., None], 3, axis=-1).tobytes()
    scan = read_scan(write(tmp_path / "a", ds))
    np.testing.assert_array_equal(scan.pixels, PICTURE)
    assert scan.remarks == (Remark.PLANES,)


def test_r02_an_identifier_of_another_type_is_not_lost(tmp_path: Path) -> None:
    ds = dataset(PICTURE)
    del ds.PatientID
    whole = write(tmp_path / "a", ds).read_bytes()
    at = whole.index(b"\x10\x00\x10\x00PN")
    element = b"\x10\x00\x20\x00OB\0\0" + struct.pack("<I", 6) + b"MRN 47"
    end = whole.index(b"\x20\x00\x0d\x00UI")
    (tmp_path / "a").write_bytes(whole[:end] + element + whole[end:])
    assert at < end
    header = read_header(tmp_path / "a")
    assert header.patient_id == "MRN 47"
    assert "MRN 47" in header.names


def test_r02_of_several_windows_the_good_ones_stay(tmp_path: Path) -> None:
    windows = {"WindowCenter": [40, 50], "WindowWidth": [0, 80], "VOILUTFunction": "CUBIC"}
    scan = read_scan(write(tmp_path / "a", dataset(PICTURE, **windows)))
    assert [(w.center, w.width, w.function) for w in scan.windows] == [(50, 80, "LINEAR")]
    assert set(scan.remarks) == {Remark.WINDOW, Remark.VOI_FUNCTION}


@pytest.mark.parametrize("value", ["nan", "1,5", "0"])
def test_r02_a_rescale_that_gives_the_values_their_unit_is_no_side_value(
    tmp_path: Path, value: str
) -> None:
    path = with_value(tmp_path / "a", "RescaleSlope", "DS", value.encode())
    assert reason(path) == "bad-rescale"


def test_r03_frames_without_a_number(tmp_path: Path) -> None:
    ds = dataset(THREE)
    del ds.NumberOfFrames
    path = write(tmp_path / "a", ds)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels, THREE)
    assert scan.remarks == (Remark.FRAMES,)
    assert read_header(path).n_frames == inspect_file(path).n_frames == 3


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("number", [None, 0])
def test_r03_compressed_frames_without_a_number(
    tmp_path: Path, syntax: str, number: int | None
) -> None:
    content = encapsulate(coded(THREE, syntax)) + END
    path = compressed(tmp_path / "a", THREE, syntax, content, NumberOfFrames=number)
    np.testing.assert_array_equal(read_scan(path).pixels, THREE)
    assert read_scan(path).remarks == (Remark.FRAMES,)


@pytest.mark.parametrize("n_frames", [None, 1])
def test_r03_pixels_that_are_no_whole_frame_more_are_left_out(
    tmp_path: Path, n_frames: int | None
) -> None:
    ds = dataset(PICTURE, NumberOfFrames=n_frames)
    ds.PixelData = PICTURE.tobytes() + bytes(1000)
    scan = read_scan(write(tmp_path / "a", ds))
    np.testing.assert_array_equal(scan.pixels, PICTURE)
    assert scan.remarks == (Remark.MORE_PIXELS,)


def test_r03_the_stated_number_counts_and_the_surplus_is_said(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "a", dataset(THREE, NumberOfFrames=2)))
    np.testing.assert_array_equal(scan.pixels, THREE[:2])
    assert scan.remarks == (Remark.MORE_PIXELS,)
    odd = np.arange(9, dtype=np.uint8).reshape(3, 3)  # padded to an even length
    ds = dataset(odd)
    ds.PixelData = odd.tobytes() + b"\0"
    assert read_scan(write(tmp_path / "b", ds)).remarks == ()


VOLUME = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
LEFT = np.diag([-2.0, 3.0, 4.0, 1.0])
RIGHT = np.diag([2.0, 3.0, 4.0, 1.0])


def nifti(
    path: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int], **header: Any
) -> Path:
    image = nib.Nifti1Image(VOLUME, RIGHT)
    image.header.set_qform(qform)
    image.header["sform_code"], image.header["qform_code"] = codes
    for i, name in enumerate(("srow_x", "srow_y", "srow_z")):
        image.header[name] = sform[i]
    for name, value in header.items():
        image.header[name] = value
    image.header["magic"], image.header["vox_offset"] = b"n+1", 352
    data = image.header.binaryblock + bytes(4) + VOLUME.tobytes(order="F")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("codes", "sform", "qform", "is_left", "remarks"),
    [
        ((0, 0), RIGHT, RIGHT, True, (Remark.SIDE_UNKNOWN,)),
        ((1, 0), LEFT, RIGHT, True, ()),
        ((0, 1), LEFT, RIGHT, False, ()),
        ((1, 1), RIGHT, RIGHT, False, ()),
        ((1, 1), np.zeros((4, 4)), RIGHT, False, (Remark.ORIENTATION,)),
        ((1, 1), np.full((4, 4), np.nan), RIGHT, False, (Remark.ORIENTATION,)),
        ((1, 0), np.zeros((4, 4)), RIGHT, True, (Remark.SIDE_UNKNOWN,)),
        ((1, 1), LEFT, RIGHT, True, (Remark.SIDE_DISPUTED,)),
    ],
)
def test_r04_nifti_no_orientation(
    tmp_path: Path,
    codes: tuple[int, int],
    sform: np.ndarray,
    qform: np.ndarray,
    is_left: bool,
    remarks: tuple[Remark, ...],
) -> None:
    path = nifti(tmp_path / "a.nii", sform, qform, codes)
    scan = read_scan(path)
    # columns run to the left; rows to the back, against the file
    expected = np.transpose(VOLUME if is_left else VOLUME[::-1], (2, 1, 0))[:, ::-1]
    np.testing.assert_array_equal(scan.pixels, expected)
    assert scan.remarks == remarks == inspect_file(path).remarks
    assert scan.spacing_mm == (4.0, 3.0, 2.0)


def test_r04_nifti_without_voxel_size_has_no_spacing(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii", RIGHT, RIGHT, (0, 0), pixdim=[1, 0, 3, 4, 1, 1, 1, 1])
    scan = read_scan(path)
    assert scan.spacing_mm is None
    assert scan.remarks == (Remark.SIDE_UNKNOWN, Remark.SPACING)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
def test_r04_nifti_in_metres_or_microns(tmp_path: Path, unit: int, factor: float) -> None:
    path = nifti(tmp_path / "a.nii", RIGHT, RIGHT, (1, 1), xyzt_units=unit)
    assert read_scan(path).spacing_mm == pytest.approx((4 * factor, 3 * factor, 2 * factor))


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_r04_nifti_without_scaling_is_read_as_stored(tmp_path: Path, slope: float) -> None:
    path = nifti(tmp_path / "a.nii", RIGHT, RIGHT, (1, 1), scl_slope=slope, scl_inter=5)
    assert sorted(read_scan(path).pixels.ravel()) == list(range(24))


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
@pytest.mark.parametrize(
    ("birth", "study", "stated", "age"),
    [
        ("19000101", "20200101", "", None),
        ("19010101", "20200101", "", None),
        ("18501231", "20200101", "", None),
        ("11110101", "20200101", "", None),
        ("99991231", "20200101", "", None),
        ("20210101", "20200101", "", None),
        ("19050505", "20200101", "", None),
        ("19000101", "19600101", "", None),
        ("19700101", "19000101", "", None),
        ("19150505", "20200101", "", 104.66),
        ("20200101", "20200101", "", 0.0),
        ("19600101", "20200101", "000Y", 60.0),
        ("19600101", "20200101", "999Y", 60.0),
        ("19600101", "20200101", "045Y", 45.0),
        ("19000101", "20200101", "045Y", 45.0),
        ("19000101", "20200101", "119Y", 119.0),
        ("19000101", "20200101", "000Y", None),
        ("", "20200101", "000D", 0.0),
        ("", "20200101", "000M", None),
        ("", "20200101", "121Y", None),
        ("", "20200101", "045X", None),
    ],
)
def test_i07_birth_date_1900(
    tmp_path: Path, birth: str, study: str, stated: str, age: float | None
) -> None:
    who = {"PatientBirthDate": birth, "StudyDate": study, "PatientAge": stated}
    header = read_header(write(tmp_path / "a", dataset(PICTURE, **who)))
    assert header.age_years == (None if age is None else pytest.approx(age, abs=0.01))


def test_i07_the_rule_is_there_for_tables() -> None:
    assert age_at(date(1900, 1, 1), date(2020, 1, 1)) is None
    assert age_at(date(1980, 1, 1), None) is None
    assert age_at(date(1980, 1, 1), date(2020, 1, 1)) == pytest.approx(40, abs=0.01)
