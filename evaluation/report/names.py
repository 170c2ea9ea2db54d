"""What attributes, groups and outcomes are called on the page."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.labels import UNKNOWN
from evaluation.report.model import AttributeInfo, OutcomeInfo, Report, Row
from evaluation.report.texts import TEXTS
from evaluation.stats import OTHER_GROUPS

__all__ = ["Names"]

_SEX = {"F": "female", "M": "male", "O": "other_sex"}
"""DICOM PatientSex (0010,0040)."""


@dataclass(frozen=True)
class Names:
    """Titles that a report declares, and readable ones where it declares none."""

    report: Report

    def attribute(self, name: str) -> str:
        """Name an attribute, or an intersection of several."""
        return TEXTS["list.and"].join(self._title(part) for part in name.split("*"))

    def _title(self, name: str) -> str:
        return self._known(name).title or _capital(name.replace("_", " "))

    def _known(self, attribute: str) -> AttributeInfo:
        return self.report.attributes.get(attribute, AttributeInfo())

    def group(self, attribute: str, group: str | None) -> str:
        """Name a group; of an intersection, the parts with a comma between them."""
        if group is None or attribute == "all":
            return TEXTS["all_patients"]
        names, values = attribute.split("*"), group.split("*")
        if len(names) != len(values):
            names, values = [attribute], [group]
        return ", ".join(map(self._value, names, values))

    def _value(self, attribute: str, value: str) -> str:
        if value in {UNKNOWN, ""}:
            return TEXTS["unknown"].format(attribute=self._title(attribute))
        if value == OTHER_GROUPS:
            return TEXTS["small_groups"].format(attribute=self.attribute(attribute))
        if value in self._known(attribute).groups:
            return self._known(attribute).groups[value]
        if attribute == "sex" and value in _SEX:
            return TEXTS[_SEX[value]]
        speaks = value.isalpha() or value.casefold().startswith(attribute.casefold())
        if len(value) <= 12 and not speaks:  # "80+", "2": no word by itself
            return f"{self._title(attribute)} {value}"
        return _capital(value)

    def of(self, row: Row) -> str:
        """Name the group of a row."""
        return self.group(row.attribute, row.group)

    def other(self, row: Row) -> str:
        """Name whom the group is compared with."""
        if row.against_rest:
            return TEXTS["everyone_else"]
        other = row.comparison.partition(":")[2] or row.comparison
        return TEXTS["largest_group"] if other == "largest" else self.group(row.attribute, other)

    def outcome(self, name: str) -> str:
        """Name an outcome."""
        return _capital(self.describe(name).title or name)

    def describe(self, name: str) -> OutcomeInfo:
        """Everything that the report says of an outcome."""
        return self.report.describe_outcomes.get(name, OutcomeInfo())


def _capital(word: str) -> str:
    return word[:1].upper() + word[1:]
