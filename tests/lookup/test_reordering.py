"""A search with a reranker reorders its first hits, and only these, by reading image and text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_pairs import small_config, write_library

from medembed.encoders.reranker import Reranker, RerankerSettings
from medembed.errors import QueryError
from medembed.index import SearchNoteKind
from medembed.library import CaseLibrary
from medembed.lookup import CaseLookup
from medembed.lookup.reordering import Reordering
from medembed.model import DualEncoder, embed_library
from medembed.model.activation import activate
from medembed.model.feature_cache import FeatureCache, image_key
from medembed.model.rerank_export import reranker_files
from medembed.model.reranking import CANDIDATES, ImageTokens, RerankerAbout
from medembed.model.towers import build_towers

pytestmark = pytest.mark.slow  # they train and export a model

TEXT = "Right pleural effusion."


def untrained(**about: object) -> DualEncoder:
    """A model of random towers with a random reranker, of which the order is all its own."""
    config = small_config()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        towers, tokens, architecture = build_towers(
            config.image,
            config.text,
            config.projection,
            dimensions=2,
            size=config.preprocess.shape[1:],
            notes=["Right pleural effusion at the base", "Left nodule in the upper lobe"] * 3,
        )
        towers.eval()
        side = towers.image
        net = Reranker(side.width // 4, 16, 4, RerankerSettings(width=16, heads=2)).eval()
        torch.nn.init.normal_(net.score.weight)
    values: dict[str, object] = {
        "features": image_key(side, config.preprocess),
        "places": 4,
        "scale": 1.0,
        "weight": 1000.0,
        "default": True,
        "settings": {"image_width": side.width // 4, "text_width": 16},
    }
    model = DualEncoder(architecture, config.preprocess, tokens, towers)
    model.add_reranker(reranker_files(net, RerankerAbout(**{**values, **about})))  # type: ignore[arg-type]
    return model


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CaseLibrary:
    folder = tmp_path_factory.mktemp("reordering")
    library = write_library(folder, 70, images_per_case=2, patients=60)
    untrained().save(library.path / "models" / "reading")
    untrained(default=False).save(library.path / "models" / "asked")
    embed_library(library, DualEncoder.load(library.path / "models" / "reading"), workers=1)
    activate(library, "reading")
    return library


def names(result: object) -> list[str]:
    return [hit.case_id for hit in result]  # type: ignore[attr-defined]


def test_the_first_hits_are_reordered_and_stay_the_same_set(library: CaseLibrary) -> None:
    with CaseLookup(library) as lookup:
        plain = lookup.search(TEXT, k=70, rerank=False, literal=True)
        read = lookup.search(TEXT, k=70, literal=True)
        shown = lookup.search(TEXT, k=10, literal=True)
    assert names(plain) != names(read)
    assert set(names(plain)[:CANDIDATES]) == set(names(read)[:CANDIDATES])
    assert names(plain)[CANDIDATES:] == names(read)[CANDIDATES:]
    assert names(shown) == names(read)[:10]
    assert (plain.reranked, read.reranked) == (0, CANDIDATES)
    scores = {hit.case_id: hit.score for hit in plain}
    assert {hit.case_id: hit.score for hit in read} == scores  # those of the search
    fused = [hit.score + hit.evidence.parts["rerank"] for hit in read.hits[:CANDIDATES]]
    assert fused == sorted(fused, reverse=True)  # the scale is 1
    assert all("rerank" not in hit.evidence.parts for hit in read.hits[CANDIDATES:])
    kinds = [note.kind for note in shown.plan.notes]
    assert SearchNoteKind.RERANKED in kinds
    assert SearchNoteKind.FEWER_HITS not in kinds  # not of the 50 that were looked for
    assert json.loads(json.dumps(shown.to_json()))["plan"]["reranked"] == CANDIDATES


def test_filters_and_the_own_patient_come_first(library: CaseLibrary) -> None:
    with CaseLookup(library) as lookup:
        found = lookup.search(TEXT, where="finding=nodule", k=70)
        assert found
        assert {f.label for hit in found for f in hit.case.findings} == {"nodule"}
        own = lookup.search(TEXT, case="C-003", k=70)
        assert own.reranked
        assert not {"C-003", "C-063"} & set(names(own))  # one patient


def test_one_hit_none_and_one_that_was_erased_meanwhile(library: CaseLibrary) -> None:
    model = DualEncoder.load(library.path / "models" / "reading")
    reordering = Reordering(library, lambda: model)
    one = reordering.reorder([("C-001", 0.5)], TEXT)
    assert list(one.near) == [("C-001", 0.5)]
    assert set(one.scores) == {"C-001"}
    assert list(reordering.reorder([], TEXT).near) == []
    erased = reordering.reorder([("C-001", 0.5), ("C-999", 0.4)], TEXT)
    assert {name for name, _ in erased.near} == {"C-001", "C-999"}
    assert set(erased.scores) == {"C-001"}


def test_it_is_used_as_the_model_says_or_as_asked(library: CaseLibrary) -> None:
    with CaseLookup(library, "asked") as lookup:
        plain = lookup.search(TEXT, k=70)
        assert plain.reranked == 0
        assert names(lookup.search(TEXT, k=70, rerank=True)) != names(plain)
    with CaseLookup(library) as lookup:
        assert lookup.search(case="C-001").reranked == 0  # nothing to read with the images
        with pytest.raises(QueryError, match="nothing that could be read"):
            lookup.search(case="C-001", rerank=True)
        with pytest.raises(QueryError, match="nothing that could be read"):
            lookup.search("no effusion", rerank=True)


def test_a_model_without_one_says_so(library: CaseLibrary) -> None:
    class Plain:
        reranker = None

    reordering = Reordering(library, Plain)  # type: ignore[arg-type, return-value]
    assert not reordering.applies(None, TEXT)
    with pytest.raises(QueryError, match="no reranker") as caught:
        reordering.applies(True, TEXT)
    assert "medembed train" in str(caught.value.hint)


def test_embedding_leaves_the_image_tokens_in_the_cache(library: CaseLibrary) -> None:
    model = DualEncoder.load(library.path / "models" / "reading")
    reranker = model.reranker
    assert reranker is not None
    assert len(FeatureCache(library.path / "cache", reranker.about.features)) == 140


def test_what_the_cache_lacks_is_read_again_and_what_cannot_be_read_is_said(
    tmp_path: Path,
) -> None:
    library = write_library(tmp_path, 8)
    model = untrained()
    model.save(library.path / "models" / "reading")
    model = DualEncoder.load(library.path / "models" / "reading")
    embed_library(library, model, workers=1)
    with CaseLookup(library, model) as lookup:
        before = lookup.search(TEXT)
    for folder in (library.path / "cache").glob("features-*"):
        for file in folder.iterdir():
            file.unlink()
    gone = library.path.parent / "scans" / "003-0.png"
    gone.unlink()
    with CaseLookup(library, model) as lookup:
        after = lookup.search(TEXT)
    assert set(names(after)) == set(names(before))
    unread = [note for note in after.plan.notes if note.kind is SearchNoteKind.RERANKED]
    assert unread[0].numbers == (8, 1)
    assert "1 image could not be read" in str(unread[0])
    others = [name for name in names(before) if name != "C-003"]
    assert [name for name in names(after) if name != "C-003"] == others


def test_a_case_counts_with_the_mean_of_its_images(library: CaseLibrary) -> None:
    model = DualEncoder.load(library.path / "models" / "reading")
    reranker = model.reranker
    assert reranker is not None
    (rows,) = ImageTokens(library, model).of([library.case("C-005")])
    assert rows is not None
    assert len(rows) == 2
    alone = reranker.scores([rows[:1], rows[1:]], TEXT)
    np.testing.assert_allclose(reranker.scores([rows], TEXT), alone.mean(), rtol=1e-5)


def test_a_score_that_is_not_known_counts_as_the_mean(library: CaseLibrary) -> None:
    model = DualEncoder.load(library.path / "models" / "reading")
    reranker = model.reranker
    assert reranker is not None
    fused = reranker.fused([0.5, 0.25, 0.0], [1.0, np.nan, 3.0], share=0.5)
    np.testing.assert_allclose(fused, [0.5 + 500, 0.25 + 1000, 1500])
    np.testing.assert_allclose(reranker.fused([0.5, 0.1], [np.nan, np.nan]), [0.5, 0.1])


def test_the_scores_are_those_of_torch(library: CaseLibrary) -> None:
    from safetensors.torch import load

    saved = DualEncoder.load(library.path / "models" / "reading")
    reranker = saved.reranker
    assert reranker is not None
    assert saved.serving["text"]["runtime"] == "onnx"
    (rows,) = ImageTokens(library, saved).of([library.case("C-007")])
    assert rows is not None
    net = Reranker(rows.shape[1] // 4, 16, 4, RerankerSettings(width=16, heads=2)).eval()
    folder = library.path / "models" / "reading"
    net.load_state_dict(load((folder / "reranker.safetensors").read_bytes()))
    ids, mask = map(torch.from_numpy, saved.tokens([TEXT]))
    with torch.no_grad():
        words = saved.text_side().vectors_and_tokens(ids, mask)[1]
        cells = torch.from_numpy(rows).reshape(len(rows), -1, 4).transpose(1, 2)
        expected = net(cells, words, mask).mean().item()
    assert reranker.scores([rows], TEXT)[0] == pytest.approx(expected, abs=1e-4)


def test_a_search_with_it_imports_no_torch(library: CaseLibrary) -> None:
    code = (
        "import sys\n"
        "from medembed.cli import run\n"
        "try:\n    run()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    arguments = ["search", str(library.path), "--text", TEXT, "--rerank", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["plan"]["reranked"] == CANDIDATES
    assert "rerank" in found["hits"][0]["why"]["parts"]
