"""Compare a candidate model with the active one on the same cases, before the library changes."""

from evaluation.shadow.compare import ShadowComparison, compare_library_models
from evaluation.shadow.queries import ComparedModel

__all__ = ["ComparedModel", "ShadowComparison", "compare_library_models"]
