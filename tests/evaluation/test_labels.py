import numpy as np
import pandas as pd
import pytest

from evaluation.audit.table_input import read_queries
from evaluation.labels import group_label, group_labels
from evaluation.sections.group_vs_rest import text_groups

MISSING = ["None", "nan", "Unknown", "UNKNOWN", "", " ", None, np.nan, "n/a", "<NA>", pd.NA, pd.NaT]


def test_whatever_says_that_a_group_is_not_known_is_one_group_in_every_part_of_an_audit():
    values = np.array(["F", *MISSING], dtype=object)
    expected = ["F", *["unknown"] * len(MISSING)]
    n = len(values)
    table = {"patient_id": np.arange(n), "sex": values, "hit": np.arange(n) % 2.0}
    grouping = read_queries(table, ["hit"], ["sex"], patient="patient_id").groupings[0]
    assert [grouping.names[i] for i in grouping.of_query] == expected
    assert text_groups(values, "sex", n).tolist() == expected
    assert group_labels(values).tolist() == expected


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (1.0, "1"),
        (np.float32(2), "2"),
        (" F ", "F"),
        (0.5, "0.5"),
        ("NaNcy", "NaNcy"),
        (7, "7"),
        (True, "True"),
    ],
)
def test_a_known_value_keeps_its_name(value, label):
    assert group_label(value) == label


def test_labels_keep_the_shape_of_what_is_given():
    assert group_labels([["F", ""], ["M", None]]).tolist() == [["F", "unknown"], ["M", "unknown"]]
    assert group_labels([]).tolist() == []
