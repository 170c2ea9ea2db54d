"""What a header says stands in the text where it is asked for, in training as in a library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import small_config, write_library

from medembed.cases import Case, ScanRef
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library
from medembed.model.report_text import case_text, header_phrase, header_words
from medembed.notes import read_note
from medembed.training import train
from medembed.training.choices import key_settings
from medembed.training.cohort import load_cohorts
from medembed.training.settings import HeaderSettings, TextAugmentation

pytestmark = pytest.mark.usefixtures("bare_models")

FROZEN = {
    "image": {
        "encoder": "resnet10",
        "grid": 2,
        "frozen": True,
        "options": {"widths": [4, 4, 8, 8]},
    },
    "text": {
        "encoder": "bert",
        "max_length": 40,
        "frozen": True,
        "options": {"width": 16, "depth": 1, "heads": 2, "vocabulary": 200, "min_notes": 2},
    },
}


def case_with(*scans: tuple[str, str], **attributes: str) -> Case:
    refs = tuple(
        ScanRef((f"{n}.png",), f"{n:064x}", modality, view)
        for n, (modality, view) in enumerate(scans)
    )
    note = read_note("FINDINGS: Right effusion.")
    return Case("C-1", "P-1", refs, note=note, attributes=attributes)


@pytest.mark.parametrize(
    ("case", "phrase"),
    [
        (case_with(("DX", "PA")), "Radiograph, PA view."),
        (case_with(("CR", "PA"), ("CR", "LL")), "Radiograph, PA and lateral view."),
        (case_with(("CT", "Axial"), BodyPart="CHEST"), "Chest CT, axial view."),
        (case_with(("XR", "AP Supine")), "Radiograph, AP supine view."),
        (case_with(("unknown", "unknown")), ""),
        (case_with(("MR", "n/a"), body_part="unknown"), "MR."),
        (case_with(("unknown", "PA")), "PA view."),
        (case_with(("OT", "PA: erect")), "OT, PA erect view."),
    ],
)
def test_a_header_is_one_sentence_of_what_is_known(case: Case, phrase: str) -> None:
    assert header_phrase(case) == phrase
    text = case_text(case, header=True)
    assert text.splitlines()[-1] == "Right effusion."
    assert text.splitlines()[:-1] == ([phrase] if phrase else [])
    assert case_text(case, header=False) == "Right effusion."


def test_its_names_are_those_of_the_sentence() -> None:
    case = case_with(("CR", "PA"), ("CR", "LATERAL"), body_part="chest")
    assert header_words(case) == ("chest", "radiograph", "PA view", "lateral view")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    """Every other case is a CT slice; the others are PA radiographs."""
    library = write_library(tmp_path_factory.mktemp("header"))
    cases = list(library.select([f"C-{n:03d}" for n in range(48)]))
    odd = [
        replace(case, scans=tuple(replace(s, modality="CT", view="Axial") for s in case.scans))
        for case in cases[::2]
    ]
    library.add(odd, replace=True)
    return library


def test_the_whole_text_has_it_and_the_parts_do_not(library: CaseLibrary) -> None:
    config = small_config(header={"text": True})
    train_cases, _, _ = load_cohorts(library, config.preprocess, header=config.header)
    report = train_cases.reports[0]
    head, _, body = report.full.text.partition("\n")
    assert head in {"CT, axial view.", "Radiograph, PA view."}
    assert body == report.body
    parts = TextAugmentation(sentences=0.6, phrases=0.4)
    drawn = [report.draw(parts, np.random.default_rng(n)).text for n in range(40)]
    assert len(set(drawn)) > 3
    assert not any(text.startswith(head) for text in drawn)


def test_its_names_are_labels_beside_the_findings(library: CaseLibrary) -> None:
    settings = HeaderSettings(labels=True)
    config = small_config()
    with_it, _, _ = load_cohorts(library, config.preprocess, header=settings)
    without, _, _ = load_cohorts(library, config.preprocess)
    new = set(with_it.labels(2)) - set(without.labels(2))
    assert new == {("ct", ""), ("axial view", ""), ("radiograph", ""), ("pa view", "")}
    assert with_it.reports[0].full.text == without.reports[0].full.text
    phrases = {view.text for view in with_it.reports[0].phrases}
    assert phrases & {"ct", "radiograph"}


def test_labels_that_nothing_reads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"header.labels needs"):
        small_config(
            header={"labels": True},
            loss={},
            text_augmentation={"sentences": 0.5, "phrases": 0.0},
        )


@pytest.mark.parametrize("more", [{}, FROZEN, {**FROZEN, "heads": [{"method": "csa", "dim": 8}]}])
def test_a_library_is_embedded_as_the_model_was_trained(
    library: CaseLibrary, more: dict[str, object]
) -> None:
    name = f"header-{len(more)}"
    report = train(
        library, small_config(name=name, epochs=1, header={"text": True}, loss={}, **more)
    )
    model = DualEncoder.load(report.folder)
    assert model.reads_header
    embed_library(library, model, cached=bool(more))
    ids, vectors = library.vectors(model.fingerprint, "note")
    cases = [case for case in library.select(ids) if case.note]
    expected = model.encode_notes([case_text(case, header=True) for case in cases])
    plain = model.encode_notes([case_text(case, header=False) for case in cases])
    by_id = dict(zip(ids, vectors, strict=True))
    found = np.stack([by_id[case.case_id] for case in cases])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - plain).max() > 1e-3


def test_without_it_a_training_and_a_model_are_what_they_were(tmp_path: Path) -> None:
    assert "header" not in key_settings(small_config())
    assert "header" in key_settings(small_config(header={"text": True}))
    library = write_library(tmp_path)
    report = train(library, small_config(epochs=1))
    model = DualEncoder.load(report.folder)
    assert not model.reads_header
    assert "header" not in model.architecture
