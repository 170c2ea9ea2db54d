"""Embeddings out of a library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.example_cases import make_case

from medembed.embeddings import Embeddings
from medembed.errors import FingerprintError
from medembed.library import CaseLibrary


def test_vectors_come_back_with_their_cases_and_none_is_an_error(tmp_path: Path) -> None:
    with CaseLibrary.create(tmp_path / "library") as library:
        library.add([make_case(0), make_case(1)])
        library.put_vectors("m", "image", ["case-1", "case-0"], np.eye(2))
        held = Embeddings.from_library(library, "m", "image")
        assert held.row("case-1").tolist() == [1.0, 0.0]
        assert held.row("case-0").tolist() == [0.0, 1.0]
        for fingerprint, kind in (("m", "note"), ("other", "image")):
            with pytest.raises(FingerprintError, match="medembed embed"):
                Embeddings.from_library(library, fingerprint, kind)  # type: ignore[arg-type]
