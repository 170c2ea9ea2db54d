"""Fixtures of the training tests."""

from __future__ import annotations

import pytest

from medembed.model import DualEncoder
from medembed.training import learning_curve


@pytest.fixture
def bare_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models without a drawn curve and without ONNX files: most of what a short training takes."""
    monkeypatch.setattr(DualEncoder, "export", lambda *_: [])
    monkeypatch.setattr(learning_curve, "_curve", lambda _: b"\x89PNG")
