"""Group-balanced batches in training: shares, patients, going on, and nothing without them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support.small_pairs import small_config, write_library

from medembed.config import load_config
from medembed.errors import ConfigError
from medembed.library import CaseLibrary
from medembed.model.model_files import MODEL_VERSION
from medembed.preprocess import PREPROCESS_VERSION
from medembed.training import train
from medembed.training.batches import epoch_batches, patient_aware_batches
from medembed.training.choices import TRAINING_VERSION, training_key
from medembed.training.cohort import TrainingCohort, load_cohorts
from medembed.training.settings import BalanceSettings
from medembed.training.trainer import Trainer

BY_SEX = {"attribute": "sex"}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    """One woman's case in seven, two cases of each patient."""
    return write_library(tmp_path_factory.mktemp("mixed"), n=84, patients=42, women=7)


def cohort_of(library: CaseLibrary, **changes: object) -> TrainingCohort:
    config = small_config(**changes)
    return load_cohorts(library, config.preprocess, balance=config.balance, workers=1)[0]


def test_batches_of_a_training_hold_groups_in_their_shares_and_no_patient_twice(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt: list[list[int]] = []
    monkeypatch.setattr(Trainer, "_step", lambda *said: dealt.append(said[-1]) or 0.0)
    monkeypatch.setattr(Trainer, "_end_epoch", lambda *_: 1 / 0)  # one epoch is enough
    with pytest.raises(ZeroDivisionError):
        train(library, small_config(name="even", balance=BY_SEX))
    cohort = cohort_of(library, balance=BY_SEX)
    assert Counter(cohort.balanced_by) == {"M": 48, "F": 8}
    assert len(dealt) == 56 // 8
    drawn: Counter[str] = Counter()
    for batch in dealt:
        assert len({cohort.patients[i] for i in batch}) == len(batch)
        held = Counter(cohort.balanced_by[i] for i in batch)
        assert held["M"] == 4  # half of the batch of 8, though six in seven are men's
        assert held["F"] <= 4
        drawn += held
    assert drawn["F"] / drawn.total() > 0.35


@pytest.mark.parametrize(("strength", "women"), [(0.0, 1 / 7), (0.5, 0.29), (1.0, 0.5)])
def test_strength_goes_from_the_mix_of_the_archive_to_even_shares(
    library: CaseLibrary, strength: float, women: float
) -> None:
    balance = BY_SEX | {"strength": strength, "repeats": 20}
    cohort = cohort_of(library, balance=balance)
    config = small_config(balance=balance)
    batches = [b for epoch in range(20) for b in epoch_batches(config, cohort, epoch)]
    drawn = Counter(cohort.balanced_by[i] for batch in batches for i in batch)
    assert drawn["F"] / drawn.total() == pytest.approx(women, abs=0.03)


@pytest.mark.slow
def test_a_balanced_training_that_was_stopped_ends_in_the_same_weights(
    library: CaseLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"balance": BY_SEX, "epochs": 2, "checkpoint_seconds": 1e-6}
    whole = train(library, small_config(name="whole", **config)).fingerprint
    step, steps = Trainer._step, 0

    def failing(self: Trainer, *args: object) -> float:
        nonlocal steps
        steps += 1
        if steps in (3, 9):
            raise KeyboardInterrupt
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_step", failing)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(library, small_config(name="halves", **config))
    assert train(library, small_config(name="halves", **config)).fingerprint == whole
    assert steps == 2 + 2 * 7


def test_without_balance_batches_and_checkpoints_are_what_they_were(library: CaseLibrary) -> None:
    config, cohort = small_config(), cohort_of(library)
    for epoch in range(3):
        assert epoch_batches(config, cohort, epoch) == patient_aware_batches(
            cohort.patients, cohort.groups, 8, seed=(config.seed, 0, epoch)
        )
    assert cohort.balanced_by == ()
    even = cohort_of(library, balance=BY_SEX)
    assert even.digest != cohort.digest
    assert training_key(config, "a") != training_key(small_config(balance=BY_SEX), "a")
    later = {"balance", "prefetch", "sharding", "loggers", "heads", "study"}
    later |= {"header", "lora", "rerank"}
    held = config.model_dump(mode="json", exclude={"name", "workers", "checkpoint_seconds"} | later)
    for group, names in (
        ("loss", ("kind", "bias", "smoothing", "soft_targets", "structure", "negation_weight")),
        ("image", ("cell_channels",)),
        ("optim", ("chunk", "schedule")),
    ):
        for name in names:
            del held[group][name]
    held["optim"]["average"] = held["optim"].pop("ema_decay")  # its name in older keys
    parts = [TRAINING_VERSION, MODEL_VERSION, PREPROCESS_VERSION, held, ["a"]]
    before = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    # what was trained before these options stays trained
    assert training_key(config, "a") == before


@pytest.mark.parametrize(
    ("attribute", "said"),
    [("sexx", "unknown attribute 'sexx'"), ("race", "one group of 'race'")],
)
def test_an_attribute_that_cannot_be_balanced_by_is_one_clear_line(
    library: CaseLibrary, attribute: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        train(library, small_config(name="bad", balance={"attribute": attribute}))
    assert "\n" not in str(caught.value)
    assert "balance.attribute" in str(caught.value)


def test_a_kept_column_and_bands_of_age_can_be_balanced_by(tmp_path: Path) -> None:
    library = write_library(tmp_path, n=48)
    cases = [
        replace(case, attributes={"ward": "ab"[i % 2]}, age_years=float(i))
        for i, case in enumerate(library.cases())
    ]
    other = CaseLibrary.create(tmp_path / "wards")
    other.add(cases)
    assert set(cohort_of(other, balance={"attribute": "ward"}).balanced_by) == {"a", "b"}
    aged = cohort_of(other, balance={"attribute": "age_band", "age_bands": [10, 30]})
    assert set(aged.balanced_by) == {"under 10", "10-29", "30 and over"}


def test_a_wrong_strength_names_its_key() -> None:
    with pytest.raises(ConfigError, match="strength"):
        load_config("toy", ["balance.strength=2"])
    assert load_config("toy", ["balance.attribute=sex"]).balance == BalanceSettings()


def test_dealing_batches_loads_no_torch() -> None:
    code = (
        "import sys; from evaluation.mitigation import balanced_batches; "
        "from medembed.training.balanced_sampler import balanced_batches as same; "
        "assert balanced_batches is same; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
