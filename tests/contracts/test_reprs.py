"""What a notebook or a log shows of a public noun names no path, no patient and no report."""

from __future__ import annotations

import inspect
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lookup.known_library import FINGERPRINT, fill

import medembed
from evaluation import audit_outcomes
from medembed.cases import Case, Finding, ScanRef
from medembed.embeddings import Embeddings
from medembed.index import CaseIndex
from medembed.library import CaseLibrary
from medembed.lookup import ActiveLookup, CaseLookup
from medembed.model import DualEncoder, toy_model
from medembed.notes import read_note
from medembed.scans import Scan

SECRETS = (
    "secretname", "P-7391", "/archive", "gallbladder", "61.5", "2019", "1.2.840", "Doe",
    "a1b2c3d4",
)  # fmt: skip
SHA = "a1b2c3d4" * 8


@pytest.fixture
def nouns(tmp_path: Path) -> dict[str, Any]:
    scan = ScanRef(("/archive/secretname.dcm",), SHA, "CR", "PA")
    note = read_note("IMPRESSION: Doe has a calcified gallbladder.")
    case = Case(
        "case-x",
        "P-7391",
        (scan,),
        note=note,
        findings=(Finding("effusion", "left"),),
        study_date=date(2019, 5, 4),
        age_years=61.5,
        sex="F",
        attributes={"ward": "secretname"},
        group_id="P-7391",
    )
    pixels = np.zeros((4, 5), np.float32)
    model = DualEncoder.load(toy_model().save(tmp_path / "secretname" / "model"))
    library = CaseLibrary.create(tmp_path / "secretname" / "library")
    fill(library)
    library.add([case])
    library.put_vectors(FINGERPRINT, "image", ["case-x"], np.ones((1, 8)))
    embeddings = Embeddings.from_library(library, FINGERPRINT)
    index = CaseIndex.build(embeddings)
    lookup = CaseLookup(library, FINGERPRINT)
    table = {"patient_id": ["secretname", "P-7391"] * 30, "sex": ["F", "M"] * 30, "hit": [1] * 60}
    result = lookup.search(vector=np.ones(8))
    assert result[0].case_id == "case-x"
    assert result[0].case.note == note
    return {
        "ActiveLookup": ActiveLookup(library),
        "Audit": audit_outcomes(table, ["hit"], ["sex"]),
        "Case": case,
        "CaseIndex": index,
        "CaseLibrary": library,
        "CaseLookup": lookup,
        "DualEncoder": model,
        "Embeddings": embeddings,
        "Finding": case.findings[0],
        "Hits": index.search(np.ones((1, 8)), 3),
        "LookupHit": result[0],
        "Note": note,
        "Result": result,
        "Scan": Scan(pixels, study_uid="1.2.840.1", series_uid="1.2.840.2"),
        "ScanRef": scan,
        "tuple of hits": result[:2],
    }


def test_every_public_noun_is_looked_at(nouns: dict[str, Any]) -> None:
    public = {name for name in medembed.__all__ if inspect.isclass(getattr(medembed, name))}
    assert public <= set(nouns)


def test_no_repr_shows_a_path_a_patient_or_a_report(nouns: dict[str, Any], tmp_path: Path) -> None:
    for name, thing in nouns.items():
        shown = repr(thing)
        assert not any(secret in shown for secret in (*SECRETS, str(tmp_path))), (name, shown)
        assert " object at 0x" not in shown, name
        assert len(shown) < 300, name


def test_the_picture_of_a_result_is_an_escaped_table_without_reports_and_patients(
    nouns: dict[str, Any],
) -> None:
    page = nouns["Result"]._repr_html_()
    assert page.startswith("<table><caption>")
    assert page.count('<th scope="row">') == len(nouns["Result"])
    assert not any(secret in page for secret in SECRETS)
