"""Groups in the vectors, the words, the ranking and the labels: arrays in, frozen rows out."""

from __future__ import annotations

from evaluation.sections.calibration import calibration_error, calibration_gap, fit_platt
from evaluation.sections.counterfactual import CounterfactualRow, assess_counterfactual
from evaluation.sections.exposure import ExposureRow, assess_exposure
from evaluation.sections.finding_errors import assess_zero_shot, choose_threshold, error_outcomes
from evaluation.sections.group_vs_rest import Contrast, SectionResult, contrast_groups
from evaluation.sections.label_quality import assess_label_quality, label_outcomes
from evaluation.sections.leakage import LeakageRow, assess_leakage
from evaluation.sections.modality_gap import assess_modality_gap, modality_gap_rows
from evaluation.sections.term_swaps import SWAPS, Swap, mentions, swap_words

__all__ = [
    "SWAPS", "Contrast", "CounterfactualRow", "ExposureRow", "LeakageRow", "SectionResult", "Swap",
    "assess_counterfactual", "assess_exposure", "assess_label_quality", "assess_leakage",
    "assess_modality_gap", "assess_zero_shot", "calibration_error", "calibration_gap",
    "choose_threshold", "contrast_groups", "error_outcomes", "fit_platt", "label_outcomes",
    "mentions", "modality_gap_rows", "swap_words",
]  # fmt: skip
