"""A model is put to use as it is: from the library, from a folder, or a published pair."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import transformers
from support.small_pairs import write_library
from support.tiny_encoders import TEXTS, wordpiece
from support.tiny_image_models import edit_json
from support.tiny_pairs import PAIRS, theirs, write_pair
from typer.testing import CliRunner

from medembed.cli import build
from medembed.errors import ModelError
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.model import DualEncoder
from medembed.model.activation import PENDING
from medembed.model.embed_engines import InProcess
from medembed.model.published_pair import published_pair
from medembed.model.report_text import note_text
from medembed.model.use_model import use_model
from medembed.notes import read_note
from medembed.scans import Scan, read_scan
from medembed.vector_exchange import import_vectors

DRAW = np.random.default_rng(7)
PICTURES = [DRAW.integers(0, 256, (61, 45)).astype(np.uint8) for _ in range(3)]

QUICK_AND_SLOW = [
    kind if kind == "clip" else pytest.param(kind, marks=pytest.mark.slow) for kind in PAIRS
]
"""All pairs; exporting the larger ones takes seconds."""


@pytest.fixture
def library(tmp_path: Path) -> Iterator[CaseLibrary]:
    with write_library(tmp_path, 20) as opened:
        yield opened


@pytest.mark.parametrize("kind", QUICK_AND_SLOW)
def test_a_pairs_vectors_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    write_pair(tmp_path / "pair", kind)
    model = published_pair(str(tmp_path / "pair"))
    saved = DualEncoder.load(model.save(tmp_path / "saved"))
    images, notes = theirs(tmp_path / "pair", kind, PICTURES, TEXTS)
    scans = [Scan(picture.astype(np.float32)) for picture in PICTURES]
    for each in (model, saved):
        np.testing.assert_allclose(each.encode_scans(scans), images, atol=1e-5)
        np.testing.assert_allclose(each.encode_notes(TEXTS), notes, atol=1e-5)
    assert float(np.ptp(notes, axis=0).max()) > 1e-3  # they tell texts apart
    scale = math.log(1 / 0.05) if kind == "align" else 3.0
    assert saved.logit_scale == pytest.approx(scale, abs=1e-5)


@pytest.mark.parametrize("kind", QUICK_AND_SLOW)
def test_search_without_training_ranks_as_transformers_does(
    library: CaseLibrary, tmp_path: Path, kind: str
) -> None:
    write_pair(tmp_path / "my pair", kind)
    report = use_model(library, tmp_path / "my pair")
    assert (report.name, report.origin, report.indexed) == ("my-pair", "published", 20)
    assert library.active_model == "my-pair"
    assert library.get_meta(PENDING) is None
    text = "Left nodule in the upper lobe"
    cases = list(library.cases())
    pictures = [read_scan(library.scan_files(case)[0][0]).pixels.astype(np.uint8) for case in cases]
    images, words = theirs(tmp_path / "my pair", kind, pictures, [note_text(read_note(text))])
    scores = dict(zip([case.case_id for case in cases], images @ words[0], strict=True))
    with CaseLookup(library) as lookup:
        hits = lookup.search(text=text, literal=True, k=20)
    expected = np.array([scores[hit.case_id] for hit in hits])
    np.testing.assert_allclose([hit.score for hit in hits], expected, atol=1e-5)
    assert np.diff(expected).max() <= 2e-5  # in their order, up to rounding
    assert np.ptp(expected) > 1e-3


@pytest.mark.slow
def test_a_pair_is_the_same_model_wherever_it_lies_and_tells_no_place(
    library: CaseLibrary, tmp_path: Path
) -> None:
    for place in ("one", "two"):
        write_pair(tmp_path / place / "pair", "clip")
    first = use_model(library, tmp_path / "one" / "pair")
    again = use_model(library, tmp_path / "two" / "pair")
    assert again.fingerprint == first.fingerprint
    assert (again.embedded.images, again.embedded.active) == (0, True)
    for file in (library.path / "models" / "pair").iterdir():
        assert str(tmp_path).encode() not in file.read_bytes(), file.name


@pytest.mark.slow
def test_another_model_of_the_same_name_is_refused_and_nothing_lost(
    library: CaseLibrary, tmp_path: Path
) -> None:
    write_pair(tmp_path / "one" / "pair", "clip")
    write_pair(tmp_path / "two" / "pair", "clip", seed=1)
    first = use_model(library, tmp_path / "one" / "pair")
    with pytest.raises(ModelError, match="another model named 'pair'"):
        use_model(library, tmp_path / "two" / "pair")
    second = use_model(library, tmp_path / "two" / "pair", "pair-2")
    assert library.active_model == "pair-2"
    for source in ("pair", first.fingerprint[:12]):  # and back, by name and by fingerprint
        assert use_model(library, source).name == "pair"
        assert library.active_model == "pair"
        use_model(library, "pair-2")
    assert second.fingerprint != first.fingerprint
    with pytest.raises(ModelError, match="has this model as 'pair'"):
        use_model(library, "pair", "other")


def test_a_models_folder_is_copied_and_a_changed_one_refused(
    library: CaseLibrary, tmp_path: Path, small_folder: Path, toy_folder: Path
) -> None:
    report = use_model(library, small_folder)
    assert (report.name, report.origin) == ("small", "folder")
    copied = DualEncoder.load(library.path / "models" / "small")
    assert copied.fingerprint == DualEncoder.load(small_folder).fingerprint
    broken = DualEncoder.load(toy_folder).save(tmp_path / "broken")
    (broken / "tokens.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokens\.json was changed"):
        use_model(library, broken)
    assert library.active_model == "small"
    assert not (library.path / "models" / "broken").exists()


@pytest.mark.slow
def test_the_previous_model_serves_until_the_new_one_has_its_vectors(
    library: CaseLibrary, small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_model(library, small_folder)
    write_pair(tmp_path / "pair", "clip")
    monkeypatch.setattr(InProcess, "cases", 4)

    def stop(done: int, total: int | None) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use_model(library, tmp_path / "pair", progress=stop)
    assert library.active_model == "small"
    with CaseLookup(library) as lookup:
        assert len(lookup.search(text="effusion")) == 10
    written = len(library) - len(
        library.missing_vectors(published_pair(str(tmp_path / "pair")).fingerprint, "image")
    )
    assert 0 < written < 20
    report = use_model(library, tmp_path / "pair")
    assert report.embedded.images == 20 - written
    assert library.active_model == "pair"


def test_what_is_no_pair_is_named_in_one_line(library: CaseLibrary, tmp_path: Path) -> None:
    wordpiece(tmp_path / "bert")
    config = transformers.BertConfig(vocab_size=90, hidden_size=16, num_hidden_layers=1,
                                     num_attention_heads=2, intermediate_size=16)  # fmt: skip
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    (tmp_path / "empty").mkdir()
    write_pair(tmp_path / "cold", "clip")
    (tmp_path / "cold" / "preprocessor_config.json").unlink()
    write_pair(tmp_path / "odd", "clip")
    edit_json(tmp_path / "odd" / "config.json", projection_dim=20)
    for name, message in {
        "bert": "of type 'bert', which has no image and text encoder",
        "empty": "no model of MedEmbed and has no config.json",
        "cold": "does not say how its images are prepared",
        "odd": "shape",
    }.items():
        with pytest.raises(ModelError, match=message) as caught:
            use_model(library, tmp_path / name)
        assert str(tmp_path) not in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="no model of this library and no folder is named 'smal'"):
        use_model(library, "smal")
    assert library.active_model is None
    assert library.embedding_sets() == []


def test_imported_vectors_cannot_be_made_active(library: CaseLibrary, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", DRAW.normal(size=(20, 4)))
    (tmp_path / "v.txt").write_text("\n".join(library.find()))
    import_vectors(library, tmp_path / "v.npy", "cloud")
    with pytest.raises(ModelError, match="were imported"):
        use_model(library, "cloud")


@pytest.mark.slow
def test_the_verb_suggests_a_search_that_this_library_answers(
    library: CaseLibrary, tmp_path: Path
) -> None:
    write_pair(tmp_path / "pair", "siglip")
    run = CliRunner()
    done = run.invoke(build(), ["use", str(library.path), str(tmp_path / "pair")])
    assert done.exit_code == 0, done.output
    assert "this model is now the active one" in done.stdout
    label = next(iter(library.value_counts("finding")))
    assert label in done.stdout.splitlines()[-1]
    again = run.invoke(build(), ["use", str(library.path), "pair", "--json"])
    payload = json.loads(again.stdout)
    assert (payload["origin"], payload["embedded"]["images"]) == ("library", 0)
    assert payload["embedded"]["active"]


@pytest.mark.slow
def test_a_model_that_finds_no_case_is_not_put_to_use(
    library: CaseLibrary, small_folder: Path, tmp_path: Path
) -> None:
    use_model(library, small_folder)
    for case in list(library.cases()):
        library.scan_files(case)[0][0].unlink()
    write_pair(tmp_path / "pair", "clip")
    run = CliRunner()
    done = run.invoke(build(), ["use", str(library.path), str(tmp_path / "pair")])
    assert done.exit_code == 2
    assert "20 cases could not be found with it" in done.stdout
    assert "next:" not in done.stdout
    assert done.stderr.splitlines()[-1].startswith("medembed: pair: the model is not active")
    assert library.active_model == "small"
