"""A reference group and bands of a numeric attribute, in the protocol of a library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.archives import archive, protocol, put_model
from support.example_cases import make_case
from support.planted import MODEL

from evaluation.library_audit import audit_library
from evaluation.library_audit.cases import gather_queries
from medembed.cases import Finding
from medembed.errors import InputError
from medembed.library import CaseLibrary
from medembed.notes import Note


def test_groups_are_compared_with_the_reference_that_is_declared(tmp_path: Path) -> None:
    library = archive(tmp_path / "library", harmed="")
    asked = {"sections": (), "primary": [], "instrument": {"cohorts": 0}}
    report = audit_library(library, protocol(**asked, reference={"sex": "M"}))
    kinds = {row["comparison"] for row in report["outcomes"]["table"] if row["attribute"] == "sex"}
    assert kinds == {"against:M", "reference"}
    assert report["outcomes"]["settings"]["reference"] == {"sex": "M"}
    assert protocol(reference={"sex": "M"}).digest != protocol().digest
    assert protocol(reference={"sex": "M"}).by(["age_band"]).reference == {}
    with pytest.raises(InputError, match="the reference group 'X' is not in the table"):
        audit_library(library, protocol(**asked, reference={"sex": "X"}))


def test_a_number_that_was_kept_is_cut_at_its_edges(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    doses = ["", "4.5", "10", "49", "50", "300"] * 20
    cases = [
        make_case(
            i, note=Note(f"FINDINGS: report number {i}."), findings=(Finding("effusion"),),
            split="test", attributes={"dose": dose},
        )
        for i, dose in enumerate(doses)
    ]  # fmt: skip
    library = CaseLibrary.create(tmp_path / "library")
    library.add(cases)
    put_model(library, cases, MODEL, rng.normal(size=(120, 16)), rng.normal(size=(120, 16)))
    asked = protocol(attributes=("dose",), bands={"dose": (10, 50)}, primary=[], intersections=())
    audited = gather_queries(library, asked, MODEL)
    by_id = dict(zip(audited.by_image.case_ids, audited.attributes["dose"].tolist(), strict=True))
    named = [by_id[case.case_id] for case in cases[:6]]
    assert named == [
        "unknown", "under 10", "10 to under 50", "10 to under 50", "50 and over", "50 and over",
    ]  # fmt: skip


def test_an_attribute_that_no_case_has_is_refused_and_those_that_exist_are_named(
    tmp_path: Path,
) -> None:
    library = archive(tmp_path / "library", harmed="")
    with pytest.raises(InputError, match=r"no case has the attribute 'scaner'.*scanner"):
        audit_library(library, protocol(attributes=("sex", "scaner"), intersections=()))
