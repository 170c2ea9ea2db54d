"""Tables of others: text stays text, numbers are numbers, and a bad file is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.tables import column_numbers, read_table
from medembed.errors import InputError


def test_cells_of_a_text_file_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeff id ; note\n007;a\n7;"x;y"\n', encoding="utf-8")
    table = read_table(path, ("id",))
    assert table.to_dict("list") == {"id": ["007", "7"], "note": ["a", "x;y"]}


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["1", " 0.5 ", "", "N/A", "1e-3"], [1, 0.5, np.nan, np.nan, 1e-3]),
        (["True", "false", ""], [1, 0, np.nan]),
        (["1", "often"], [1, np.inf]),
        (["inf", "nan"], [np.inf, np.nan]),
        ([1, 0, None], [1, 0, np.nan]),
        ([True, False], [1, 0]),
        (pd.array([1, None, 3], dtype="Int64"), [1, np.nan, 3]),
        (pd.array([True, None], dtype="boolean"), [1, np.nan]),
    ],
)
def test_numbers_are_read_missing_is_nan_and_other_text_infinite(
    values: object, numbers: list[float]
) -> None:
    np.testing.assert_array_equal(column_numbers(pd.Series(values)), numbers)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "cannot be read as csv"),
        ("t.csv", b"a,b\n1,2,3\n", "cannot be read as csv"),
        ("t.csv", "a,b\nä,2\n".encode("latin-1"), "UTF-8"),
        ("t.csv", b"a,a\n1,2\n", "columns named twice: a"),
        ("t.csv", b"b\n1\n", "columns missing: a"),
        ("t.parquet", b"PAR1", "cannot be read"),
        ("t.parquet", b"no parquet at all", "cannot be read as parquet$"),
        ("t.xlsx", b"", "not a table"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(path, ("a",))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_file_is_named_without_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^nowhere\.csv: no such file"):
        read_table(tmp_path / "nowhere.csv")
