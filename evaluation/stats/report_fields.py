"""What the fields of a report's rows are: declared once, read by whatever hides or rounds them."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "DIFFERENCES", "FIELDS", "OTHER_GROUPS", "RECORDS", "TABLES", "TOTALS", "WORDS", "Kind",
]  # fmt: skip

OTHER_GROUPS = "other (small groups)"
"""Name of an attribute's merged group."""


class Kind(StrEnum):
    """What a field's number is, and so how it is rounded."""

    COUNT = "count"
    """Of patients, cases or events: to 10."""
    PART = "part"
    """A count of those whom a set lacks or holds; 1 to 10 of them make a report a rounded one."""
    RATE = "rate"
    """Of the group: to the group's step."""
    GAP = "gap"
    """Of the group and the rest: to the coarser step of the two."""
    MEASURE = "measure"
    """Made of vectors and not of counts: to hundredths."""
    P = "p"
    """Up to the next level."""
    TENTH = "tenth"
    """A ratio that describes the design: to tenths."""
    KEPT = "kept"
    """A number of the method, or of nobody."""


def _of(kind: Kind, names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), kind)


FIELDS: dict[str, dict[str, Kind]] = {
    "": {
        **_of(Kind.COUNT, "n_patients n_queries n_items n_units n_events n_cases n_query_patients"),
        **_of(Kind.PART, "n_unmeasured n_unpaired n_unknown n_said"),
        **_of(Kind.RATE, "estimate ci_low ci_high before after change worst share share_archive"),
        **_of(Kind.RATE, "exposure top_k ratio ratio_top_k ratio_given_relevance null_low"),
        **_of(Kind.RATE, "null_high auc null_mean by_group"),
        **_of(Kind.GAP, "rest_estimate gap gap_ci_low gap_ci_high gap_naive gap_naive_ci_low"),
        **_of(Kind.GAP, "gap_naive_ci_high gap_before gap_after gap_change gap_change_ci_low"),
        **_of(Kind.GAP, "gap_change_ci_high inner_low inner_high gap_missing_low gap_missing_high"),
        **_of(Kind.P, "p p_value p_adjusted p_max_t p_naive p_archive p_heterogeneity"),
        **_of(Kind.TENTH, "overlap design_effect icc"),
        **_of(Kind.KEPT, "n_groups step step_rest"),
    },
    "outcomes": _of(Kind.TENTH, "ratio ratio_ci_low ratio_ci_high"),
    "modality_gap": _of(
        Kind.MEASURE,
        "gap ci_low ci_high rest_gap rest_estimate difference difference_ci_low "
        "difference_ci_high inner_low inner_high",
    ),
    "counterfactual": _of(Kind.MEASURE, "effect ci_low ci_high placebo inner_low inner_high"),
}
"""Kind of each field: under "" that of every section, under a section's name where it differs."""

TABLES = {
    "outcomes": ("table", "cells"),
    "missing": ("unknown",),
    **dict.fromkeys(
        ("exposure", "leakage", "counterfactual", "modality_gap", "label_quality", "zero_shot",
         "mitigation", "comparison"),
        ("rows",),
    ),
}  # fmt: skip
"""Lists of rows in a report, by section. What changed since an earlier audit (``drift``) is made of
what both audits show."""

RECORDS = frozenset({"unlabelled", "without_finding", "without_note"})
"""Measures of label quality that count who has a record: their rates tell a number of patients."""

TOTALS = {
    ("stamp",): ("n_cases", "n_patients"),
    ("outcomes", "settings"): ("n_patients", "n_queries"),
    ("exposure",): ("n_queries", "n_query_patients"),
    ("comparison", "overlap"): (
        "patients_both", "patients_only_before", "patients_only_after", "queries_both",
    ),
}  # fmt: skip
WORDS = frozenset({
    "attribute", "group", "outcome", "comparison", "family", "primary", "verdict", "verdict_naive",
    "reason", "reason_code", "flags", "ratio_of", "precision", "measure", "finding", "space",
    "probe", "swap", "name", "target", "recommended", "higher_is_better",
})  # fmt: skip
DIFFERENCES = (
    ("gap", "estimate", "rest_estimate"),
    ("gap_naive", "estimate", "rest_estimate"),
    ("change", "after", "before"),
    ("gap_change", "gap_after", "gap_before"),
)
