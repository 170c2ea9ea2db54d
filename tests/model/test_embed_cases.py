"""Embedding decodes ahead of encoding: the same vectors, one set of workers, faults not lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.small_pairs import write_library

from medembed.errors import ModelError
from medembed.library import CaseLibrary
from medembed.model import DualEncoder, embed_library, embed_worker
from medembed.model.embed_engines import InProcess
from medembed.model.embed_task import EmbedTask
from medembed.model.embed_worker import EmbedWorker
from medembed.scans import read_scan


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaseLibrary]:
    monkeypatch.setattr(InProcess, "cases", 4)
    with write_library(tmp_path, 14, images_per_case=2) as library:
        yield library


def test_vectors_are_those_of_each_case_by_itself(library: CaseLibrary, toy: DualEncoder) -> None:
    report = embed_library(library, toy)
    assert (report.images, report.notes, report.unread_scans) == (14, 14, 0)
    names, vectors = library.vectors(toy.fingerprint, "image")
    for name, vector in zip(names, vectors, strict=True):
        case = library.case(name)
        scans = [read_scan(files[0]) for files in library.scan_files(case)]
        mean = toy.encode_scans(scans).mean(axis=0)
        assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_one_reader_serves_the_whole_run(
    library: CaseLibrary, toy: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Counted(embed_worker.ScanReader):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(embed_worker, "ScanReader", Counted)
    monkeypatch.setattr("medembed.model.pixel_cache.ScanReader", Counted)
    assert embed_library(library, toy).images == 14
    assert len(made) == 1


def test_an_unreadable_file_costs_its_own_case_only(
    library: CaseLibrary, toy: DualEncoder, tmp_path: Path
) -> None:
    for part in range(2):
        (tmp_path / "scans" / f"006-{part}.png").write_bytes(b"no image")
    (tmp_path / "scans" / "009-1.png").unlink()
    report = embed_library(library, toy)
    assert report.images == 13
    assert report.unread_scans == 3
    assert sum(report.refused.values()) == 1
    assert library.missing_vectors(toy.fingerprint, "image") == ["C-006"]


def test_a_fault_while_decoding_ends_the_run_and_the_next_one_resumes(
    library: CaseLibrary, toy: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = EmbedWorker.decode

    def failing(self: EmbedWorker, task: EmbedTask) -> Any:
        if "C-009" in task.ids:
            raise ModelError("out of luck")
        return decode(self, task)

    monkeypatch.setattr(EmbedWorker, "decode", failing)
    with pytest.raises(ModelError, match="out of luck"):
        embed_library(library, toy)
    kept = len(library.vectors(toy.fingerprint, "image")[0])
    assert kept == 8
    monkeypatch.setattr(EmbedWorker, "decode", decode)
    assert embed_library(library, toy).images == 14 - kept
    assert not [t for t in threading.enumerate() if t.name.startswith("medembed-decode")]


def test_an_interrupt_while_encoding_does_not_wait_for_a_chunk_to_be_decoded(
    library: CaseLibrary, toy: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcess, "cases", 7)
    monkeypatch.setattr(EmbedWorker, "encode", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    n_read = []
    read = embed_worker.decode_pixels

    def slow(*args: Any) -> Iterator[Any]:
        for pixels in read(*args):
            n_read.append(1)
            if len(n_read) > 14:  # the second chunk
                threading.Event().wait(0.2)
            yield pixels

    monkeypatch.setattr(embed_worker, "decode_pixels", slow)
    with pytest.raises(KeyboardInterrupt):
        embed_library(library, toy)
    assert len(n_read) < 28


def test_the_pixels_that_training_has_cached_are_used(
    library: CaseLibrary, toy: DualEncoder, tmp_path: Path
) -> None:
    from medembed.model.pixel_cache import PixelCache

    PixelCache(library.path / "cache", toy.preprocess).fill(library, library.cases())
    for file in (tmp_path / "scans").iterdir():
        pixels = np.zeros((48, 48), np.uint8)
        Image.fromarray(pixels).save(file)
    assert embed_library(library, toy).images == 14
