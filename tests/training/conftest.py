"""Fixtures of the training tests."""

from __future__ import annotations

import pytest

from medembed.model import pack
from medembed.training import history


@pytest.fixture
def bare_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models without graphs and without a drawn curve: half of what a short training takes."""
    monkeypatch.setattr(pack, "export_graph", lambda *_, **__: None)
    monkeypatch.setattr(history, "_curve", lambda _: b"\x89PNG")
