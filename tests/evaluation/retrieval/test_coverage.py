"""A split that was embedded in part is not measured as if it were whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lookup.known_library import FINGERPRINT, vector
from support.example_cases import make_case
from typer.testing import CliRunner

from evaluation.library_audit import audit_library, load_protocol
from evaluation.retrieval.coverage import coverage_of
from evaluation.retrieval.library import evaluate_library
from medembed.cases import Finding
from medembed.cli import build
from medembed.errors import FingerprintError
from medembed.library import CaseLibrary
from medembed.notes import Note

OTHER = "b" * 64


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with CaseLibrary.create(tmp_path / "library") as opened:
        names = ("effusion", "cardiomegaly", "nodule")
        opened.add(
            make_case(
                i,
                note=Note(f"Study number {i}."),
                findings=(Finding(names[i % 3]),),
                split="test",
            )
            for i in range(60)
        )
        for kind in ("image", "note"):
            opened.put_vectors(
                FINGERPRINT, kind, opened.find(), np.stack([vector(i) for i in range(60)])
            )
        yield opened


def embed(library: CaseLibrary, kind: str, n: int) -> None:
    rows = np.stack([vector(i) for i in range(n)])
    library.put_vectors(OTHER, kind, library.find()[:n], rows)


def test_a_split_embedded_in_part_is_refused_unless_told(library: CaseLibrary) -> None:
    embed(library, "image", 41)
    with pytest.raises(FingerprintError, match=r"only 41 of 60 cases have an image vector.*embed"):
        evaluate_library(library, "test", OTHER, repetitions=200, shuffles=2)
    scores = evaluate_library(
        library, "test", OTHER, allow_partial=True, repetitions=200, shuffles=2
    )
    assert scores.n_cases == 41
    assert scores.to_json()["coverage"] == {
        "n_cases": 60, "n_with_image": 41, "n_noted": 60, "n_with_note": 0,
    }  # fmt: skip


def test_an_embedding_stopped_among_the_notes_is_refused_too(library: CaseLibrary) -> None:
    embed(library, "image", 60)
    scores = evaluate_library(library, "test", OTHER, repetitions=200, shuffles=2)
    assert "no case" in scores.not_assessable["text_to_image"]  # none at all: said, not refused
    embed(library, "note", 5)
    with pytest.raises(FingerprintError, match="only 5 of 60 reports have a note vector"):
        evaluate_library(library, "test", OTHER, repetitions=200, shuffles=2)


def test_what_lacks_a_vector_in_another_split_does_not_count(library: CaseLibrary) -> None:
    library.add([make_case(700, split="train"), make_case(702, split="val")])
    assert coverage_of(library, FINGERPRINT, "test").lacks == ""
    assert coverage_of(library, FINGERPRINT, "all").lacks == ("60 of 62 cases have an image vector")


def test_an_audit_follows_the_same_rule_and_its_report_says_it(library: CaseLibrary) -> None:
    embed(library, "image", 41)
    protocol = load_protocol("audit-images").by(["sex"])
    with pytest.raises(FingerprintError, match="only 41 of 60 cases"):
        audit_library(library, protocol, fingerprint=OTHER)
    with pytest.raises(FingerprintError, match="only 41 of 60 cases"):
        audit_library(library, protocol, fingerprint=FINGERPRINT, against=OTHER)
    report = audit_library(library, protocol, fingerprint=OTHER, allow_partial=True)
    assert report["missing"]["absent"][-1] == (
        "Only 41 of 60 cases have an image vector of the model; the others are not audited."
    )


def test_the_verb_names_the_option_and_prints_what_was_measured(library: CaseLibrary) -> None:
    embed(library, "image", 41)
    command = ["evaluate", str(library.path), "--model", OTHER]
    run = CliRunner()
    done = run.invoke(build(), command)
    assert done.exit_code == 2
    assert "--allow-partial" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run.invoke(build(), [*command, "--allow-partial"])
    assert "Partial: 41 of 60 cases have an image vector." in done.stdout
    done = run.invoke(build(), [*command, "--allow-partial", "--json"])
    assert json.loads(done.stdout)["coverage"]["n_with_image"] == 41
