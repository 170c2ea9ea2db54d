"""How many cases of a split can be measured: those whose vectors a model has made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from medembed.errors import FingerprintError
from medembed.vector_exchange import EXTERNAL

if TYPE_CHECKING:
    from medembed.library import CaseLibrary

__all__ = ["Coverage", "coverage_of", "require_complete"]


@dataclass(frozen=True)
class Coverage:
    """Cases of a split, and how many of them have vectors of one model.

    Parameters
    ----------
    n_cases, n_with_image : int
        All cases, and those with an image vector.
    n_noted, n_with_note : int
        Cases with a report, and those of them with a note vector.
    """

    n_cases: int
    n_with_image: int
    n_noted: int
    n_with_note: int

    @property
    def lacks(self) -> str:
        """What is missing, in words; empty if nothing is.

        A model without any note vector has no text side here, so that notes are not missing.
        """
        parts = []
        if self.n_with_image < self.n_cases:
            parts.append(f"{self.n_with_image} of {self.n_cases} cases have an image vector")
        if 0 < self.n_with_note < self.n_noted:
            parts.append(f"{self.n_with_note} of {self.n_noted} reports have a note vector")
        return " and ".join(parts)

    def to_json(self) -> dict[str, int]:
        """Return all fields by name."""
        return asdict(self)


def coverage_of(library: CaseLibrary, fingerprint: str, split: str) -> Coverage:
    """Count the vectors of a model in one split, or in ``"all"``."""
    names = ("train", "val", "test") if split == "all" else (split,)
    cases = {case_id for name in names for case_id in library.split(name)}
    noted = cases.intersection(library.cases_with_note())
    no_image = cases.intersection(library.missing_vectors(fingerprint, "image"))
    no_note = noted.intersection(library.missing_vectors(fingerprint, "note"))
    return Coverage(len(cases), len(cases) - len(no_image), len(noted), len(noted) - len(no_note))


def require_complete(
    library: CaseLibrary, fingerprint: str, split: str, *, allow_partial: bool = False
) -> Coverage:
    """Refuse a split that a model has embedded in part only, unless told otherwise.

    An embedding that was interrupted has vectors of the cases that came first: scores of these
    would be taken for scores of all.

    Raises
    ------
    FingerprintError
        If vectors are missing and ``allow_partial`` is false. A split without any vector is not
        refused here.
    """
    found = coverage_of(library, fingerprint, split)
    if found.lacks and found.n_with_image and not allow_partial:
        missing = (
            "import the others" if fingerprint.startswith(EXTERNAL)
            else "run medembed embed LIBRARY for the others"
        )  # fmt: skip
        raise FingerprintError(
            f"of the split {split!r}, only {found.lacks} of this model",
            hint=f"{missing}, or give --allow-partial to measure these alone",
        )
    return found
