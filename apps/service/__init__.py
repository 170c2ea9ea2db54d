"""The HTTP service: the lookup, cases, pixels, reviews and audit of one library, over FastAPI."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.service.application import create_app
    from apps.service.settings import ServiceSettings

__all__ = ["ServiceSettings", "create_app"]

_HOME = {"ServiceSettings": "settings", "create_app": "application"}


def __getattr__(name: str) -> Any:
    """Import on first use: the command line starts without FastAPI."""
    if name in _HOME:
        return getattr(import_module(f"apps.service.{_HOME[name]}"), name)
    raise AttributeError(f"module 'apps.service' has no attribute {name!r}")
