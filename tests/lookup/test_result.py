"""A result is a sequence of hits, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from lookup.known_library import Oracle, vector

from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup, Result


def search(library: CaseLibrary, **query: object) -> Result:
    with CaseLookup(library, Oracle()) as lookup:  # type: ignore[arg-type]
        return lookup.search(**{"vector": vector(0), "k": 5, **query})  # type: ignore[arg-type]


def test_it_is_a_sequence_of_its_hits(library: CaseLibrary) -> None:
    result = search(library)
    assert isinstance(result, Sequence)
    assert len(result) == 5
    assert tuple(result) == result.hits
    assert result[0] is result.hits[0]
    assert result[-1].rank == 5
    assert result[1:3] == result.hits[1:3]
    assert result.index(result[2]) == 2
    assert result[1] in result
    assert not search(library, where="age>=125")


def test_the_table_has_a_row_for_each_hit_and_typed_columns(library: CaseLibrary) -> None:
    result = search(library, k=40)
    frame = result.to_frame()
    assert frame["case_id"].tolist() == [hit.case_id for hit in result]
    np.testing.assert_allclose(frame["score"], [hit.score for hit in result])
    assert frame["rank"].tolist() == list(range(1, 41))
    unknown = frame.set_index("case_id").loc["case-3"]
    assert pd.isna(unknown["age_years"])
    assert pd.isna(unknown["study_date"])
    assert frame.set_index("case_id").loc["case-0", "findings"] == "effusion:right"
    assert not {"patient_id", "note", "files"} & set(frame.columns)
    assert "P-" not in frame.to_csv()
    assert "/scans" not in frame.to_csv()


def test_a_table_without_hits_has_the_same_columns_and_types(library: CaseLibrary) -> None:
    full, empty = search(library).to_frame(), search(library, where="age>=125").to_frame()
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_the_picture_escapes_what_a_source_wrote(library: CaseLibrary) -> None:
    from support.example_cases import make_case

    library.add([make_case(901, case_id="<b>x</b>", patient_id="Q", view="<script>")])
    library.put_vectors("a" * 64, "image", ["<b>x</b>"], vector(0)[np.newaxis])
    page = search(library)._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;x" in page
    assert "No cases match." in search(library, where="age>=125")._repr_html_()
