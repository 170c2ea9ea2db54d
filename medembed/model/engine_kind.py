"""Where an embedding can be computed; imports nothing, for the command line's help."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EngineKind"]


class EngineKind(StrEnum):
    """What runs the work of an embedding."""

    LOCAL = "local"
    RAY = "ray"
