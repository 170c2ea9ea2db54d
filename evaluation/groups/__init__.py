"""Groups in the vectors, the words, the ranking and the labels: arrays in, frozen rows out."""

from __future__ import annotations

from evaluation.groups.auc import AreaTest, PatientArea, area_test, patient_area
from evaluation.groups.contrast import Contrast, contrast_groups
from evaluation.groups.counterfactual import (
    Counterfactual,
    CounterfactualRow,
    assess_counterfactual,
)
from evaluation.groups.exposure import Exposure, ExposureRow, assess_exposure
from evaluation.groups.label_quality import assess_label_quality, label_outcomes
from evaluation.groups.leakage import Leakage, LeakageRow, assess_leakage
from evaluation.groups.modality_gap import assess_modality_gap
from evaluation.groups.swaps import SWAPS, Swap, mentions, swap_words

__all__ = [
    "SWAPS",
    "AreaTest",
    "Contrast",
    "Counterfactual",
    "CounterfactualRow",
    "Exposure",
    "ExposureRow",
    "Leakage",
    "LeakageRow",
    "PatientArea",
    "Swap",
    "area_test",
    "assess_counterfactual",
    "assess_exposure",
    "assess_label_quality",
    "assess_leakage",
    "assess_modality_gap",
    "contrast_groups",
    "label_outcomes",
    "mentions",
    "patient_area",
    "swap_words",
]
