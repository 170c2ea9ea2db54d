"""Settings of a synthetic cohort."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from medembed.errors import ConfigError
from medembed.notes import FINDINGS, canonical_label

__all__ = ["PREVALENCE", "VIEWS", "Bias", "CohortConfig"]

PREVALENCE: Mapping[str, float] = MappingProxyType(
    {
        "effusion": 0.16,
        "consolidation": 0.14,
        "pneumothorax": 0.11,
        "nodule": 0.12,
        "mass": 0.09,
        "atelectasis": 0.12,
        "fracture": 0.10,
        "cardiomegaly": 0.15,
        "edema": 0.10,
        "emphysema": 0.10,
        "fibrosis": 0.09,
        "support device": 0.18,
    }
)
"""Share of studies that show a finding, before age and other findings are considered."""

VIEWS: Mapping[str, float] = MappingProxyType({"PA": 0.60, "AP": 0.25, "PA+LATERAL": 0.15})
"""Share of radiographic studies by their views."""

_GROUP_KEYS = ("sex", "race", "site", "scanner", "age")


@dataclass(frozen=True)
class Bias:
    """Bias planted in one group, so that an audit has something to find.

    Parameters
    ----------
    group : mapping of str to str
        Conditions that all members meet. Keys ``sex``, ``race``, ``site``, ``scanner``, and ``age``
        as a range of years such as ``"65-120"``, both ends included.
    noisier_images : float
        Factor on the noise of the group's images, at least 1.
    under_reported : float
        Share, 0 to 1, of the group's findings that the report leaves out.
    prevalence : mapping of str to float
        Factor on each finding's prevalence in the group, at least 0.

    Raises
    ------
    ConfigError
        If a key or value is not valid.
    """

    group: Mapping[str, str]
    noisier_images: float = 1.0
    under_reported: float = 0.0
    prevalence: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.group:
            raise ConfigError("a bias needs a group, for example {'sex': 'F'}")
        for key in self.group:
            if key not in _GROUP_KEYS:
                raise ConfigError(
                    f"the group of a bias is set by {', '.join(_GROUP_KEYS)}, not {key!r}"
                )
        if "age" in self.group and not re.fullmatch(r"\d+-\d+", self.group["age"]):
            raise ConfigError("the age of a bias must be a range such as '65-120'")
        if not 1 <= self.noisier_images <= 20:
            raise ConfigError("noisier_images must be a factor from 1 to 20")
        if not 0 <= self.under_reported <= 1:
            raise ConfigError("under_reported must be a fraction from 0 to 1")
        object.__setattr__(self, "prevalence", _canonical(self.prevalence))
        for label, factor in self.prevalence.items():
            if label not in FINDINGS or not 0 <= factor <= 100:
                raise ConfigError("prevalence must map known findings to factors from 0 to 100")

    def applies(self, *, sex: str, race: str, site: str, scanner: str, age: int) -> bool:
        """Return whether a study belongs to the group."""
        have = {"sex": sex, "race": race, "site": site, "scanner": scanner}
        for key, wanted in self.group.items():
            if key == "age":
                low, high = wanted.split("-")
                if not int(low) <= age <= int(high):
                    return False
            elif have[key] != wanted:
                return False
        return True


@dataclass(frozen=True)
class CohortConfig:
    """All settings of a cohort; the same configuration gives the same bytes.

    Parameters
    ----------
    n_studies : int
        At least 1.
    seed : int
        At least 0.
    size : int
        Rows and columns of a radiograph, 64 to 1024.
    views : mapping of str to float
        Weights of ``"PA"``, ``"AP"``, ``"LATERAL"``, ``"PA+LATERAL"``, ``"AP+LATERAL"``.
    ct_fraction : float
        Share of the studies that are a CT instead of radiographs, 0 to 1.
    ct_size : int
        Rows and columns of a CT slice, 64 to 512; slices are 5 mm apart.
    prevalence : mapping of str to float
        Replaces :data:`PREVALENCE` for the findings it names.
    bias : Bias or None
        Bias planted in one group.
    omitted, uncertain : float
        Share of findings that any report leaves out, and that it words as uncertain.

    Raises
    ------
    ConfigError
        If a value is not valid.
    """

    n_studies: int = 1000
    seed: int = 0
    size: int = 256
    views: Mapping[str, float] = field(default_factory=lambda: dict(VIEWS))
    ct_fraction: float = 0.0
    ct_size: int = 128
    prevalence: Mapping[str, float] = field(default_factory=dict)
    bias: Bias | None = None
    omitted: float = 0.015
    uncertain: float = 0.06

    def __post_init__(self) -> None:
        if self.n_studies < 1:
            raise ConfigError("a cohort needs at least one study")
        if self.seed < 0:
            raise ConfigError("the seed must not be negative")
        if not 64 <= self.size <= 1024:
            raise ConfigError("a radiograph must have 64 to 1024 rows")
        if not 64 <= self.ct_size <= 512:
            raise ConfigError("a CT slice must have 64 to 512 rows")
        known = {"PA", "AP", "LATERAL", "PA+LATERAL", "AP+LATERAL"}
        if not set(self.views) <= known or not sum(self.views.values()) > 0:
            raise ConfigError(f"views must be weights of {', '.join(sorted(known))}")
        if any(weight < 0 for weight in self.views.values()):
            raise ConfigError("the weight of a view must not be negative")
        for name in ("ct_fraction", "omitted", "uncertain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be a fraction from 0 to 1")
        object.__setattr__(self, "prevalence", _canonical(self.prevalence))
        for label, share in self.prevalence.items():
            if label not in FINDINGS or not 0 <= share <= 1:
                raise ConfigError("prevalence must map known findings to fractions from 0 to 1")


def _canonical(prevalence: Mapping[str, float]) -> dict[str, float]:
    return {canonical_label(label): value for label, value in prevalence.items()}
