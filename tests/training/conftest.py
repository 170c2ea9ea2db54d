"""Fixtures of the training tests."""

from __future__ import annotations

import pytest

from medembed.training import learning_curve


@pytest.fixture
def bare_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models without a drawn curve: half of what a short training takes."""
    monkeypatch.setattr(learning_curve, "_curve", lambda _: b"\x89PNG")
