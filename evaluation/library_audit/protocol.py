"""What an audit will ask, declared before the data is looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
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
    "AuditProtocol",
    "Hypothesis",
    "InstrumentPlan",
    "MinimumSizes",
    "MitigationPlan",
    "Protocol",
    "load_protocol",
]


class _Part(BaseModel):
    """A part of a protocol: unknown keys are refused, values cannot be changed."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, coerce_numbers_to_str=True
    )


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
    """How many archives of the same shape are simulated to measure the audit itself.

    0 for none, else 20 or more.
    """

    cohorts: int = Field(default=400, ge=0)

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if 0 < self.cohorts < 20:
            raise ValueError("cohorts are 0 for none, else 20 or more")
        return self


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


class AuditProtocol(_Part):
    """What audits of libraries and of tables declare alike.

    Parameters
    ----------
    name, title, question : str
    attributes, outcomes, strata : tuple of str
        Groups; what is compared; the mix of cases that gaps are adjusted to.
    intersections : tuple of (str, str)
        Attributes that are crossed.
    primary : tuple of Hypothesis
        Tested as one family, which the gate depends on. An intersection is named by its
        attributes (``sex*age_band``).
    reference : mapping of attribute to group
        The group that the others are compared with, instead of the rest.
    bands : mapping of attribute to tuple of float
        Where a numeric attribute is cut.
    margin, alpha : float
        Largest gap of no consequence, in the outcomes' unit; chance of any false claim of a kind
        within a family.
    ratio_margin : float or None
        Largest ratio of two rates, of hits or of misses, that is of no consequence, beside
        ``margin``; with a ``margin`` of 1 it decides alone.
    minimum : MinimumSizes
    overlap : float
        Least share of a group's queries in strata that the rest has.
    expected : mapping of attribute to groups
        Groups that ought to be there; those that are not are named as missing.
    instrument : InstrumentPlan
    repetitions, permutations : int
    """

    name: str
    title: str
    question: str
    attributes: tuple[str, ...] = Field(min_length=1)
    outcomes: tuple[str, ...] = Field(min_length=1)
    intersections: tuple[tuple[str, str], ...] = ()
    primary: tuple[Hypothesis, ...] = ()
    strata: tuple[str, ...] = ()
    reference: dict[str, str] = Field(default_factory=dict)
    bands: Mapping[str, tuple[float, ...] | int] = Field(default_factory=dict)
    margin: float = Field(default=0.05, gt=0)
    ratio_margin: float | None = Field(default=None, gt=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum: MinimumSizes = MinimumSizes()
    overlap: float = Field(default=0.8, ge=0, le=1)
    expected: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    instrument: InstrumentPlan = InstrumentPlan()
    repetitions: int = Field(default=2000, ge=200)
    permutations: int = Field(default=999, ge=99)

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for what, names, known in (
            ("intersections", [n for pair in self.intersections for n in pair], self.attributes),
            ("expected", self.expected, self.attributes),
            ("bands", self.bands, (*self.attributes, *self.strata)),
            ("reference", self.reference, self.all_attributes),
            ("primary", [one.attribute for one in self.primary], self.all_attributes),
            ("primary", [one.outcome for one in self.primary], self.outcomes),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{what} names {name!r}, which is not audited")
        if any(len(set(pair)) < 2 for pair in self.intersections):
            raise ValueError("an intersection crosses two of the attributes")
        if self.minimum.precise < self.minimum.reported:
            raise ValueError("minimum.precise is below minimum.reported")
        return self

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
        for name in _LATER:  # hashes of before there were any stay what they were
            if not held.get(name):
                held.pop(name, None)
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str, hint: str) -> Self:
        """Check what was declared.

        Raises
        ------
        ConfigError
            Names the key that does not fit.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            line = f"{key}: {message}" if key else message
            raise ConfigError(line, where=where, hint=hint) from None


_LATER = ("mitigation", "ratio_margin", "reference", "bands", "weight", "cluster")


class Protocol(AuditProtocol):
    """A declared audit of a library.

    Parameters
    ----------
    split : str
        ``"test"``, ``"val"``, ``"train"`` or ``"all"``: whose cases ask and are searched.
    attributes : tuple of str
        Of :data:`evaluation.library_audit.attributes.ATTRIBUTES`, or a column that was kept when
        the cases were ingested.
    age_bands : tuple of int
        Where one band of ages ends and the next begins.
    outcomes, strata : tuple of str
        Of :data:`evaluation.library_audit.outcomes.OUTCOMES`; of
        :data:`evaluation.library_audit.attributes.STRATA`.
    reference : mapping of attribute to group
        In the table of outcomes; other sections compare with the rest.
    exposure_margin : float
        Largest departure of a ratio of exposure from 1 of no consequence.
    k : int
        Depth of the lists whose exposure is assessed.
    sections : tuple of str
        Further things that are assessed.
    mitigation : tuple of MitigationPlan
        Ways to mitigate, each assessed before and after; all of them are held to the level
        together.
    """

    name: str = "audit"
    title: str = "Fairness audit of the case search"
    question: str = "Does the search serve each group of patients as well as the others?"
    split: str = Field(default="test", pattern="^(test|val|train|all)$")
    attributes: tuple[str, ...] = Field(default=("sex", "age_band", "view"), min_length=1)
    age_bands: tuple[int, ...] = (40, 60, 75)
    outcomes: tuple[str, ...] = Field(default=("image_to_image.P@5",), min_length=1)
    bands: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    margin: float = Field(default=0.05, gt=0, le=1)
    exposure_margin: float = Field(default=0.1, gt=0, lt=1)
    k: int = Field(default=10, ge=1, le=1000)
    sections: tuple[str, ...] = ("exposure", "leakage")
    mitigation: tuple[MitigationPlan, ...] = ()

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
        if (
            list(self.age_bands) != sorted(set(self.age_bands))
            or min(self.age_bands, default=1) < 1
        ):
            raise ValueError("age_bands must rise and start above 0")
        if not set(self.bands) <= set(self.attributes):
            raise ValueError("bands are of attributes")
        for plan in self.mitigation:
            self._check_plan(plan)
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
        for name in ("expected", "bands"):
            values[name] = {key: v for key, v in values[name].items() if key in kept}
        values["reference"] = {
            key: v for key, v in self.reference.items() if set(key.split("*")) <= kept
        }
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
    return Protocol.read(values, where, f"attributes: {', '.join(ATTRIBUTES)}")
