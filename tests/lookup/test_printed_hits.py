"""The table that `medembed search` prints."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lookup.known_library import Oracle

from medembed.cases import Finding
from medembed.cli.search import show_hits
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup


def test_no_word_of_a_column_is_cut_off(
    library: CaseLibrary, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten hits make the widest table; its last column once lost what went beyond column 100."""
    result = CaseLookup(library, Oracle()).search(text="right effusion", k=10)  # type: ignore[arg-type]
    wide = (Finding("consolidation", "left"), Finding("cardiomegaly"))
    result = replace(
        result,
        hits=tuple(replace(hit, case=replace(hit.case, findings=wide)) for hit in result.hits),
    )
    show_hits(result)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    words = set(printed.split())
    wanted = {word for hit in result.hits for word in str(hit.evidence).split()}
    assert wanted
    assert wanted <= words
