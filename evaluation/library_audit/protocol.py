"""What an audit will ask, declared before the data is looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation.library_audit.attributes import ATTRIBUTES, STRATA
from evaluation.library_audit.outcomes import OUTCOMES
from evaluation.stats import Minimum
from medembed.config.files import find_config, read_yaml
from medembed.errors import ConfigError

__all__ = [
    "WAYS",
    "Hypothesis",
    "InstrumentPlan",
    "MinimumSizes",
    "MitigationPlan",
    "Protocol",
    "load_protocol",
]


class _Part(BaseModel):
    """A part of a protocol: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Hypothesis(_Part):
    """One question named beforehand: is this group, or each of the attribute, served alike?

    A ``group`` of None stands for each group of the attribute but "unknown".
    """

    attribute: str
    outcome: str
    group: str | None = None


class MinimumSizes(_Part):
    """Patients that a group needs: to be reported at all, and to be called precise."""

    reported: int = Field(default=11, ge=2)
    precise: int = Field(default=50, ge=2)


class InstrumentPlan(_Part):
    """How many archives of the same shape are simulated to measure the audit itself; 0 for none."""

    cohorts: int = Field(default=400, ge=0)


class MitigationPlan(_Part):
    """A way to mitigate that is to be assessed, fitted on patients who are not asked.

    Parameters
    ----------
    way, attribute
        Of :data:`WAYS`; of the protocol's attributes.
    group, outcome
        Whom it is meant to help, and in what. Without them the protocol's primary hypotheses on
        the attribute; ``thresholds`` needs the group, and is meant to lower what is missed of the
        ``findings`` in it.
    findings
        Whose thresholds are set; all that can be assessed where empty.
    fit_split
        Not the audited one.
    depth
        Hits that a reordered list is chosen from.
    strength
        Of ``exposure``, as in :func:`evaluation.mitigation.earned_exposure`.
    equal, sensitivity
        What ``thresholds`` make equal: this sensitivity, or fairlearn's equalized odds (by lot).
    """

    way: Literal["rerank", "exposure", "erase", "correlation", "thresholds"]
    attribute: str
    group: str | None = None
    outcome: str | None = None
    findings: tuple[str, ...] = ()
    fit_split: Literal["val", "train", "test"] = "val"
    depth: int = Field(default=100, ge=2, le=1000)
    strength: float = Field(default=0.1, ge=0)
    equal: Literal["sensitivity", "rates"] = "sensitivity"
    sensitivity: float = Field(default=0.9, gt=0, le=1)

    @model_validator(mode="after")
    def _belongs(self) -> Self:
        own = {"way", "attribute", "group", *WAYS[self.way]}
        for name, field in type(self).model_fields.items():
            if name not in own and getattr(self, name) != field.default:
                raise ValueError(f"{name!r} is not a key of {self.way!r}")
        if self.way == "thresholds" and self.group is None:
            raise ValueError("thresholds need the group that they are meant to help")
        return self


WAYS = {
    "rerank": ("outcome", "depth"),
    "exposure": ("outcome", "depth", "strength", "fit_split"),
    "erase": ("outcome", "fit_split"),
    "correlation": ("outcome", "fit_split"),
    "thresholds": ("findings", "equal", "sensitivity", "fit_split"),
}
"""Ways to mitigate, and the keys of each beside its attribute and group."""


class Protocol(_Part):
    """A declared audit.

    Parameters
    ----------
    name, title, question : str
    split : str
        ``"test"``, ``"val"``, ``"train"`` or ``"all"``: whose cases ask and are searched.
    attributes : tuple of str
        Of :data:`evaluation.library_audit.attributes.ATTRIBUTES`, or a column that was kept when
        the cases were ingested.
    age_bands : tuple of int
        Where one band of ages ends and the next begins.
    intersections : tuple of (str, str)
        Attributes that are crossed.
    outcomes : tuple of str
        Of :data:`evaluation.library_audit.outcomes.OUTCOMES`.
    primary : tuple of Hypothesis
        Tested as one family, which the gate depends on. An intersection is named by its
        attributes (``sex*age_band``).
    strata : tuple of str
        The mix that gaps are adjusted to.
    margin, exposure_margin, alpha : float
        Largest gap, and largest departure of a ratio of exposure from 1, of no consequence; chance
        of any false claim of a kind within a family.
    ratio_margin : float or None
        Largest ratio of two rates, of hits or of misses, that is of no consequence, beside
        ``margin``; with a ``margin`` of 1 it decides alone.
    minimum : MinimumSizes
    overlap : float
        Least share of a group's queries in strata that the rest has.
    expected : mapping of attribute to groups
        Groups that ought to be in the archive; those that are not are named as missing.
    k : int
        Depth of the lists whose exposure is assessed.
    sections : tuple of str
        Further things that are assessed.
    mitigation : tuple of MitigationPlan
        Ways to mitigate, each assessed before and after; all of them are held to the level
        together.
    instrument : InstrumentPlan
    repetitions, permutations : int
    """

    name: str = "audit"
    title: str = "Fairness audit of the case search"
    question: str = "Does the search serve each group of patients as well as the others?"
    split: str = Field(default="test", pattern="^(test|val|train|all)$")
    attributes: tuple[str, ...] = ("sex", "age_band", "view")
    age_bands: tuple[int, ...] = (40, 60, 75)
    intersections: tuple[tuple[str, str], ...] = ()
    outcomes: tuple[str, ...] = ("image_to_image.P@5",)
    primary: tuple[Hypothesis, ...] = ()
    strata: tuple[str, ...] = ()
    margin: float = Field(default=0.05, gt=0, le=1)
    ratio_margin: float | None = Field(default=None, gt=1)
    exposure_margin: float = Field(default=0.1, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum: MinimumSizes = MinimumSizes()
    overlap: float = Field(default=0.8, ge=0, le=1)
    expected: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    k: int = Field(default=10, ge=1, le=1000)
    sections: tuple[str, ...] = ("exposure", "leakage")
    mitigation: tuple[MitigationPlan, ...] = ()
    instrument: InstrumentPlan = InstrumentPlan()
    repetitions: int = Field(default=2000, ge=200)
    permutations: int = Field(default=999, ge=99)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for kind, asked, known in (
            ("outcome", self.outcomes, OUTCOMES),
            ("stratum", self.strata, STRATA),
            ("section", self.sections, SECTIONS),
        ):
            for name in asked:
                if name not in known:
                    raise ValueError(f"unknown {kind} {name!r}; there are: {', '.join(known)}")
        if not self.attributes or not self.outcomes:
            raise ValueError("an audit needs an attribute and an outcome")
        for pair in self.intersections:
            if not set(pair) <= set(self.attributes) or len(set(pair)) < 2:
                raise ValueError("an intersection crosses two of the attributes")
        crossed = {"*".join(pair) for pair in self.intersections}
        for named in self.primary:
            if named.outcome not in self.outcomes:
                raise ValueError(f"a primary hypothesis on {named.outcome!r}, not an outcome here")
            if named.attribute not in {*self.attributes, *crossed}:
                raise ValueError(f"a primary hypothesis on {named.attribute!r}, not audited here")
        if (
            list(self.age_bands) != sorted(set(self.age_bands))
            or min(self.age_bands, default=1) < 1
        ):
            raise ValueError("age_bands must rise and start above 0")
        for plan in self.mitigation:
            self._check_plan(plan)
        if self.minimum.precise < self.minimum.reported:
            raise ValueError("minimum.precise is below minimum.reported")
        return self

    def _check_plan(self, plan: MitigationPlan) -> None:
        if plan.attribute not in self.attributes:
            raise ValueError(f"mitigation of {plan.attribute!r}, which is not audited here")
        if plan.outcome is not None and plan.outcome not in self.outcomes:
            raise ValueError(f"mitigation in {plan.outcome!r}, which is not an outcome here")
        if plan.way != "thresholds" and not self.meant(plan):
            raise ValueError(
                f"{plan.way} by {plan.attribute!r} has no target: name a group and an "
                "outcome of it that it can change"
            )

    def meant(self, plan: MitigationPlan) -> tuple[Hypothesis, ...]:
        """Whom a way is meant to help, and in what, as far as it can change that at all.

        ``rerank`` and ``exposure`` change the order of similar images alone.
        """
        if plan.outcome is not None:
            asked: tuple[Hypothesis, ...] = (
                Hypothesis(attribute=plan.attribute, group=plan.group, outcome=plan.outcome),
            )
        else:
            asked = tuple(
                one.model_copy(update={"group": plan.group or one.group})
                for one in self.primary
                if one.attribute == plan.attribute and plan.group in (None, one.group or plan.group)
            )
        if plan.way in ("rerank", "exposure"):
            asked = tuple(one for one in asked if one.outcome.startswith("image_to_image."))
        return asked

    @property
    def all_attributes(self) -> list[str]:
        """Attributes, and those that are crossed (``"sex*age_band"``)."""
        return [*self.attributes, *("*".join(pair) for pair in self.intersections)]

    @property
    def least(self) -> Minimum:
        """The minimum sizes as the statistics read them."""
        return Minimum(self.minimum.reported, self.minimum.precise)

    @property
    def digest(self) -> str:
        """Hex sha256 over all that is declared, the name aside."""
        held = self.model_dump(mode="json", exclude={"name"})
        if not self.mitigation:  # hashes of before there were any stay what they were
            del held["mitigation"]
        if self.ratio_margin is None:
            del held["ratio_margin"]
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()

    def with_split(self, split: str) -> Protocol:
        """Give the protocol for other cases."""
        return _valid({**self.model_dump(), "split": split}, "--split")

    def by(self, attributes: Sequence[str]) -> Protocol:
        """Give the protocol for other attributes: what they are not part of falls away."""
        kept = set(attributes)
        values = self.model_dump()
        values["attributes"] = tuple(dict.fromkeys(attributes))
        values["intersections"] = [p for p in self.intersections if set(p) <= kept]
        values["primary"] = [
            asked.model_dump() for asked in self.primary if set(asked.attribute.split("*")) <= kept
        ]
        values["mitigation"] = [p for p in values["mitigation"] if p["attribute"] in kept]
        values["expected"] = {name: v for name, v in self.expected.items() if name in kept}
        return _valid(values, "--by")


SECTIONS = ("exposure", "leakage", "counterfactual", "modality_gap", "label_quality", "zero_shot")
"""What can be assessed besides outcomes."""


def load_protocol(path_or_name: str | Path = "audit") -> Protocol:
    """Read a protocol from a path, or by its name among the configurations.

    Raises
    ------
    ConfigError
        Names the key that does not fit.
    """
    path = find_config(path_or_name, "audit")
    values: dict[str, Any] = read_yaml(path)
    values.setdefault("name", path.stem)
    declared = _valid(values, path.name)
    for plan in declared.mitigation:
        if plan.way != "rerank" and declared.split in (plan.fit_split, "all"):
            raise ConfigError(
                f"mitigation: {plan.way} would be fitted on the audited patients",
                where=path.name,
                hint=f"fit_split other than {declared.split!r}, and a split that is not all",
            )
    return declared


def _valid(values: dict[str, Any], where: str) -> Protocol:
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        line = f"{key}: {message}" if key else message
        raise ConfigError(line, where=where, hint=f"attributes: {', '.join(ATTRIBUTES)}") from None
