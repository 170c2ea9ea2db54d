"""A model that tells nothing apart is measured, kept under its name, and never activated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.small_pairs import small_config, write_library
from typer.testing import CliRunner

from medembed.cli import build
from medembed.config import load_config
from medembed.embeddings import unit_rows
from medembed.index import SearchNote, SearchNoteKind
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.model import DualEncoder, embed_library
from medembed.model.activation import PENDING
from medembed.training import alignment, train
from medembed.training.collapse import check_collapse, effective_rank, hubness
from medembed.training.measuring import unit_vectors

pytestmark = pytest.mark.usefixtures("bare_models")


def draws(n: int, dim: int, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)))


def texts(n: int) -> list[str]:
    return [f"note {i}" for i in range(n)]


def test_effective_rank_is_that_of_the_paper() -> None:
    even = np.concatenate([np.eye(4), -np.eye(4)]).astype(np.float32)
    assert effective_rank(even) == pytest.approx(4)
    # two singular values 3 : 1, entropy of (3/4, 1/4)
    skew = np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], np.float32)
    p = np.array([0.75, 0.25])
    assert effective_rank(skew) == pytest.approx(float(np.exp(-(p * np.log(p)).sum())))
    assert effective_rank(np.ones((9, 5), np.float32)) == 0


def test_the_mean_of_the_vectors_does_not_count_as_rank() -> None:
    cloud = draws(60, 6)
    assert effective_rank(cloud + 100) == pytest.approx(effective_rank(cloud), rel=1e-3)


def test_hubness_is_the_skewness_of_who_is_named() -> None:
    scores = np.zeros((50, 40), np.float32)
    scores[:, :10] = 1  # the same ten for everybody
    counts = np.array([50.0] * 10 + [0.0] * 30)
    z = (counts - counts.mean()) / counts.std()
    assert hubness(scores) == pytest.approx(float((z**3).mean()))
    assert hubness(np.zeros((50, 12), np.float32)) is None
    everybody = np.stack([np.roll(np.arange(40.0), i) for i in range(40)]).astype(np.float32)
    assert hubness(everybody) == 0


def test_random_vectors_have_not_collapsed() -> None:
    for n, dim in ((8, 4), (120, 8), (900, 64)):
        assert not check_collapse(draws(n, dim), draws(n, dim, 1), texts(n), "training").collapsed


@pytest.mark.parametrize("side", ["image", "text"])
def test_a_side_that_gives_one_vector_has_collapsed(side: str) -> None:
    good, one = draws(40, 16), unit_rows(np.ones((40, 16)) + 1e-6 * draws(40, 16, 2))
    pair = (one, good) if side == "image" else (good, one)
    check = check_collapse(*pair, texts(40), "training")
    assert check.collapsed
    assert f"the {side} tower gives the same vector" in check.reasons[0]


def line(spread: float) -> np.ndarray:
    """Unit vectors on one line, of two kinds or of little spread."""
    middle, way = np.eye(16)[0], np.eye(16)[1]
    at = np.where(np.arange(40) % 2, 1.0, -1.0) * np.sqrt(spread)
    return unit_rows(middle + at[:, np.newaxis] * way)


def test_a_side_on_one_line_has_collapsed_only_where_there_is_little_spread() -> None:
    narrow = check_collapse(line(5e-4), draws(40, 16), texts(40), "training")
    assert narrow.image_effective_rank == pytest.approx(1, abs=0.01)
    assert narrow.image_spread == pytest.approx(5e-4, rel=0.01)
    assert narrow.collapsed
    two_kinds = check_collapse(line(0.1), draws(40, 16), texts(40), "training")
    assert two_kinds.image_effective_rank == pytest.approx(1, abs=0.01)
    assert not two_kinds.collapsed, "an archive of two kinds of cases"


def test_the_same_first_hits_for_everything_are_a_collapse_where_cases_are_many() -> None:
    def with_hub(n: int) -> tuple[np.ndarray, np.ndarray]:
        hub = np.zeros((1, 32))
        hub[0, 0] = 1
        sides = [0.2 * draws(n, 32, seed) + 2 * hub for seed in (5, 6)]
        for side in sides:
            side[0] = hub
        # opposite leanings, so that the nearest of each side is its hub
        sides[0][1:, 1:] = np.abs(sides[0][1:, 1:])
        sides[1][1:, 1:] = -np.abs(sides[1][1:, 1:])
        return unit_rows(sides[0]), unit_rows(sides[1])

    many = check_collapse(*with_hub(150), texts(150), "training")
    assert (many.text_to_image_first_hits, many.image_to_text_first_hits) == (1, 1)
    assert many.collapsed
    assert many.text_to_image_hubness is not None
    assert not check_collapse(*with_hub(60), texts(60), "training").collapsed


def test_identical_notes_count_once() -> None:
    notes = draws(5, 8)[np.arange(200) % 5]
    check = check_collapse(draws(200, 8, 9), notes, [f"n{i % 5}" for i in range(200)], "training")
    assert (check.n_cases, check.n_notes, check.collapsed) == (200, 5, False)


@pytest.mark.parametrize("n", [18, 48])
def test_the_smallest_sound_trainings_are_not_called_collapsed(tmp_path: Path, n: int) -> None:
    library = write_library(tmp_path, n=n)
    assert not train(library, small_config(epochs=1)).collapsed
    for seed in range(3):
        toy = load_config("toy", ["epochs=1", "workers=1", f"seed={seed}"])
        assert not train(library, toy).collapsed


def collapse(library: CaseLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on every training is called collapsed."""

    def check(self: alignment.Trainer):  # type: ignore[no-untyped-def]
        images, words, notes = unit_vectors(self.towers, self.train, self.images, self.texts)
        one = images[:1].expand_as(images)
        return check_collapse(one.numpy(), words.numpy(), notes, "training")

    monkeypatch.setattr(alignment.Trainer, "_check_collapse", check)


def test_a_collapsed_model_is_kept_but_not_activated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = write_library(tmp_path, n=24)
    with monkeypatch.context() as patched:
        collapse(library, patched)
        words = ["train", str(library.path), "--config", "toy", "epochs=1", "workers=1", "--json"]
        done = CliRunner().invoke(build(), words)
    assert done.exit_code == 2
    assert "collapsed" in done.stderr.strip().splitlines()[-1]
    report = json.loads(done.stdout)
    assert report["collapse"]["collapsed"] is True
    assert report["embedded"] is None
    folder = Path(report["folder"])
    assert json.loads((folder / "training.json").read_bytes())["collapse"]["collapsed"] is True
    assert (library.active_model, library.get_meta(PENDING)) == (None, None)
    again = CliRunner().invoke(build(), words)
    assert again.exit_code == 2
    assert json.loads(again.stdout)["unchanged"]

    model = DualEncoder.load(folder)
    done_embedding = embed_library(library, model, workers=1)
    assert not done_embedding.active
    assert library.active_model is None
    with CaseLookup(library, folder.name) as lookup:
        result = lookup.search(text="left effusion", k=2)
    assert len(result.hits) == 2
    assert SearchNote(SearchNoteKind.MODEL_COLLAPSED) in result.plan.notes
    assert embed_library(library, model, make_active=True).activated
