"""Which items of the reporting guidelines each section answers, and which a hospital has to add.

The topics are in our own words. Item numbers stand only where the published checklist was at hand:
TRIPOD+AI and FUTURE-AI number theirs as given here; CLAIM and STANDING Together are named by topic.

References
----------
TRIPOD+AI: Collins et al., BMJ 385:e078378, 2024. CLAIM 2024 update: Tejani et al., Radiology:
Artificial Intelligence 6:e240300, 2024. STANDING Together: Alderman et al., Lancet Digital Health
7:e64, 2025. FUTURE-AI: Lekadir et al., BMJ 388:e081554, 2025.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.report.model import Report
from evaluation.report.texts import GUIDELINES

__all__ = ["ITEMS", "Item", "answered"]


@dataclass(frozen=True)
class Item:
    """One item of a guideline.

    Parameters
    ----------
    guideline : str
    number : str
        Empty where the item is named by topic alone.
    topic : str
    sections : tuple of str
        Keys of the report that answer it; empty where no audit can and the hospital has to.
    place : str
        Id of the section on the page.
    """

    guideline: str
    number: str
    topic: str
    sections: tuple[str, ...]
    place: str


ITEMS: tuple[Item, ...] = tuple(
    Item(guideline, number, topic, tuple(parts.split()), place)
    for guideline, items in GUIDELINES.items()
    for number, topic, parts, place in items
)


@dataclass(frozen=True)
class Answered:
    """An item and where this report answers it.

    Parameters
    ----------
    item : Item
    state : {"answered", "not_done", "hospital"}
    """

    item: Item
    state: str


def answered(report: Report) -> dict[str, list[Answered]]:
    """Tell of each item whether this very report answers it.

    Returns
    -------
    dict
        Items by guideline; ``not_done`` where the section that would answer is empty.

    Examples
    --------
    >>> [one.state for one in answered(Report())["FUTURE-AI"]][:3]
    ['hospital', 'not_done', 'not_done']
    """
    by_guideline: dict[str, list[Answered]] = {}
    for item in ITEMS:
        done = all(_there(report, name) for name in item.sections)
        state = ("answered" if done else "not_done") if item.sections else "hospital"
        by_guideline.setdefault(item.guideline, []).append(Answered(item, state))
    return by_guideline


def _there(report: Report, name: str) -> bool:
    if name == "protocol":
        return report.protocol != type(report.protocol)()
    if name == "instrument":
        return report.instrument.false_alarm_rate is not None
    if name == "missing":
        return bool(report.missing.unknown)
    return report.why_not(name) is None
