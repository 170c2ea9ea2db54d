"""Groups in the vectors, the words, the ranking and the labels: arrays in, frozen rows out."""

from __future__ import annotations

from evaluation.groups.auc import AreaTest, PatientArea, area_test, patient_area
from evaluation.groups.contrast import Contrast, contrast_groups
from evaluation.groups.exposure import Exposure, ExposureRow, assess_exposure
from evaluation.groups.leakage import Leakage, LeakageRow, assess_leakage

__all__ = [
    "AreaTest",
    "Contrast",
    "Exposure",
    "ExposureRow",
    "Leakage",
    "LeakageRow",
    "PatientArea",
    "area_test",
    "assess_exposure",
    "assess_leakage",
    "contrast_groups",
    "patient_area",
]
