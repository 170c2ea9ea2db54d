"""Kinds of DICOM objects."""

from __future__ import annotations

import pytest
from pydicom import uid

from medembed.scans import kind_of
from medembed.scans.sop_classes import KINDS


@pytest.mark.parametrize(
    ("sop_class", "image_type", "modality", "kind"),
    [
        (uid.ComputedRadiographyImageStorage, (), "CR", "image"),
        (uid.EnhancedCTImageStorage, ("ORIGINAL", "PRIMARY", "VOLUME"), "CT", "image"),
        (uid.CTImageStorage, ("DERIVED", "SECONDARY", "MPR"), "CT", "image"),
        (uid.CTImageStorage, ("ORIGINAL", "PRIMARY", "LOCALIZER"), "CT", "localizer"),
        (uid.CTImageStorage, ("DERIVED", "SECONDARY", "SCREEN SAVE"), "CT", "secondary capture"),
        (uid.SecondaryCaptureImageStorage, ("DERIVED", "SECONDARY"), "OT", "secondary capture"),
        (uid.SecondaryCaptureImageStorage, (), "SEG", "segmentation"),
        (uid.SegmentationStorage, (), "SEG", "segmentation"),
        (uid.RTStructureSetStorage, (), "RTSTRUCT", "segmentation"),
        (uid.RTDoseStorage, (), "RTDOSE", "dose"),
        (uid.ParametricMapStorage, (), "MR", "parametric map"),
        (uid.GrayscaleSoftcopyPresentationStateStorage, (), "PR", "presentation state"),
        (uid.XRayRadiationDoseSRStorage, (), "SR", "report"),
        (uid.EncapsulatedPDFStorage, (), "OT", "report"),
        (uid.TwelveLeadECGWaveformStorage, (), "ECG", "waveform"),
        (uid.RTPlanStorage, (), "RTPLAN", "plan"),
        (uid.RTImageStorage, (), "RTIMAGE", "image"),
        (uid.RawDataStorage, (), "MR", "unknown"),
        ("1.2.840.10008.5.1.4.1.1.999", (), "", "image"),  # a class of a later standard
        ("", (), "DX", "image"),
        ("", (), "PR", "presentation state"),
        ("", (), "unknown", "unknown"),
        ("nonsense", (), "", "unknown"),
    ],
)
def test_i02_a_mask_a_dose_or_a_screen_is_told_from_an_image(
    sop_class: str, image_type: tuple[str, ...], modality: str, kind: str
) -> None:
    assert kind_of(sop_class, image_type, modality) == kind
    assert kind in KINDS
