"""The :class:`DualEncoder`: images and notes in one space, saved in a folder without pickle.

Public names are imported on first use: finding a model needs no torch, running one does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medembed.model.dual_encoder import DualEncoder
    from medembed.model.embed_cases import EmbedReport, embed_library
    from medembed.model.resolve import find_model
    from medembed.model.toy import toy_model

_HOME = {
    "DualEncoder": "medembed.model.dual_encoder",
    "EmbedReport": "medembed.model.embed_cases",
    "embed_library": "medembed.model.embed_cases",
    "find_model": "medembed.model.resolve",
    "toy_model": "medembed.model.toy",
}

__all__ = ["DualEncoder", "EmbedReport", "embed_library", "find_model", "toy_model"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'medembed.model' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
