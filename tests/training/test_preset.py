"""Without a configuration, one is chosen by what the library holds; a table's findings train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import small_config, write_library

from medembed.cases import Finding
from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.notes import read_note
from medembed.training import preset, train
from medembed.training.cohort import load_cohorts
from medembed.training.preset import choose_preset
from medembed.training.text_views import ReportTexts, false_negative_mask, note_of_findings


def without_notes(folder: Path) -> CaseLibrary:
    folder.mkdir()
    library = write_library(folder)
    bare = CaseLibrary.create(folder / "bare")
    bare.add([replace(case, note=None) for case in library.cases()])
    return bare


def test_the_choice_follows_pairs_findings_and_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write_library(tmp_path)
    monkeypatch.setattr(preset, "_has_starter", lambda: True)
    assert choose_preset(library, has_cuda=False).name == "few-pairs"
    assert choose_preset(without_notes(tmp_path / "b"), has_cuda=False).name == "labels"
    monkeypatch.setattr(preset, "FEW_PAIRS", 10)
    assert choose_preset(library, has_cuda=True).name == "starter"
    monkeypatch.setattr(preset, "MANY_PAIRS", 20)
    assert choose_preset(library, has_cuda=True).name == "starter-tuned"
    assert choose_preset(library, has_cuda=False).name == "starter"
    monkeypatch.setattr(preset, "_has_starter", lambda: False)
    chosen = choose_preset(library, has_cuda=False)
    assert chosen.name == "densenet121"
    assert "from scratch" in chosen.why


@pytest.mark.parametrize("name", ["few-pairs", "starter", "labels", "starter-tuned", "densenet121"])
def test_what_may_be_chosen_exists(name: str) -> None:
    assert load_config(name).name == name


def test_frozen_towers_have_large_batches_and_stop_early() -> None:
    config = load_config("starter")
    assert config.batch_size == 256
    assert config.patience > 0


def test_a_configuration_builds_on_its_base(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: starter\noptim: {lr: 0.5}\n")
    mine, base = load_config(tmp_path / "mine.yaml"), load_config("starter")
    assert mine.optim.lr == 0.5
    assert mine.optim.weight_decay == base.optim.weight_decay
    assert (mine.image, mine.name) == (base.image, "mine")
    (tmp_path / "starter.yaml").write_text("base: starter\n")
    with pytest.raises(ConfigError, match="based on itself"):
        load_config(tmp_path / "starter.yaml")


@pytest.mark.slow
def test_findings_of_a_table_train_without_any_note(tmp_path: Path) -> None:
    library = without_notes(tmp_path / "labels")
    config = small_config(
        name="labels", epochs=12, validate_every=12, loss={"phrases_weight": 3.0, "min_cases": 2}
    )
    report = train(library, config)
    assert report.n_train == 32
    assert report.history[-1]["loss"] < 0.8 * report.history[0]["loss"]


def test_a_tables_vocabulary_is_its_own_and_stands_beside_the_notes(tmp_path: Path) -> None:
    library = write_library(tmp_path)
    mine = CaseLibrary.create(tmp_path / "own")
    mine.add([replace(c, findings=(Finding("blorp", "left"),)) for c in library.cases()])
    train_cases, _, _ = load_cohorts(mine, small_config().preprocess, workers=1)
    labels = train_cases.labels(1)
    assert ("blorp", "left") in labels
    assert ("effusion", "right") in labels
    assert train_cases.finding_targets([("blorp", "")]).tolist() == [[1]] * len(train_cases)


def test_a_list_of_findings_is_true_of_images_that_have_them_all() -> None:
    some, more = (Finding("effusion"),), (Finding("effusion"), Finding("mass"))
    views = [ReportTexts(note_of_findings(f), (), f, labels_only=True) for f in (some, more)]
    mask = false_negative_mask([v.full for v in views], [v.present for v in views])
    assert mask.tolist() == [[True, False], [True, True]]


def test_findings_are_no_second_words_of_a_note() -> None:
    note = read_note("FINDINGS: Right pleural effusion.")
    texts = ReportTexts(note, None, (Finding("zzz"),))
    assert "zzz" not in texts.full.text
    assert ("zzz", "") in texts.present
    drawn = {texts.draw(small_config().text_augmentation, np.random.default_rng(i)).text
             for i in range(60)}  # fmt: skip
    assert "zzz" in drawn
