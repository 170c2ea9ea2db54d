"""Small files for tests: DICOM, PNG and tables, made on the spot."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CR = "1.2.840.10008.5.1.4.1.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


def make_dataset(seed: int = 0, size: int = 16, **elements: Any) -> Dataset:
    """A chest radiograph of its own patient and study; ``elements`` replace or, None, remove."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CR
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["instance", str(seed)])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(seed)])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(seed)])
    ds.PatientID = f"MRN{seed:05d}"
    ds.PatientName = f"Family{seed}^Given{seed}"
    ds.PatientSex = "FM"[seed % 2]
    ds.PatientAge = f"{20 + seed % 60:03d}Y"
    ds.StudyDate = "20200131"
    ds.AccessionNumber = f"ACC{seed:05d}"
    ds.Modality = "CR"
    ds.ViewPosition = "PA"
    ds.Rows = ds.Columns = size
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation, ds.SamplesPerPixel = 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    pixels = np.random.default_rng(seed).integers(0, 4096, (size, size), dtype=np.uint16)
    ds.add_new("PixelData", "OW", pixels.tobytes())
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3")
    return ds


def write_dicom(path: Path, seed: int = 0, **elements: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_dataset(seed, **elements).save_as(path, enforce_file_format=True)
    return path


def write_slices(folder: Path, seed: int, count: int = 4, **elements: Any) -> list[Path]:
    """A CT volume of ``count`` slices, 3 mm apart, one file each."""
    return [
        write_dicom(
            folder / f"slice{i}.dcm",
            seed,
            SOPClassUID=CT,
            Modality="CT",
            ViewPosition=None,
            SOPInstanceUID=generate_uid(entropy_srcs=["slice", str(seed), str(i)]),
            FrameOfReferenceUID=generate_uid(entropy_srcs=["frame", str(seed)]),
            ImagePositionPatient=[0, 0, 3.0 * i],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1, 1],
            InstanceNumber=i,
            **elements,
        )
        for i in range(count)
    ]


def write_png(path: Path, seed: int = 0, size: int = 8) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, str]], encoding: str = "utf-8") -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def deflated(explicit: bytes, zeros: int = 0) -> bytes:
    """Raw deflate stream, as PS3.5 A.5 has it, of ``explicit`` and then ``zeros`` zero bytes."""

    def part(content: bytes, end: int) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(content) + packer.flush(end)

    block = 2**24  # after a full flush a part stands for itself, so that it can be repeated
    padding = part(bytes(block), zlib.Z_FULL_FLUSH) * (zeros // block)
    return part(explicit, zlib.Z_FULL_FLUSH) + padding + part(b"", zlib.Z_FINISH)
