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


_TRIPOD, _FUTURE = "TRIPOD+AI", "FUTURE-AI"
_CLAIM, _STANDING = "CLAIM (2024 update)", "STANDING Together"

ITEMS: tuple[Item, ...] = (
    Item(_TRIPOD, "3c", "known health inequalities between groups", (), ""),
    Item(_TRIPOD, "4", "objectives of the evaluation", ("protocol",), "answer"),
    Item(
        _TRIPOD, "5a", "whether the data represent those served (in part)", ("missing",), "missing"
    ),
    Item(_TRIPOD, "10", "whether the sample was large enough", ("instrument",), "instrument"),
    Item(_TRIPOD, "11", "how missing data were handled", ("missing",), "missing"),
    Item(_TRIPOD, "12e", "measures of performance and why these", ("outcomes",), "methods"),
    Item(_TRIPOD, "14", "approaches to fairness and their reasons", ("mitigation",), "mitigation"),
    Item(_TRIPOD, "17", "ethical approval and consent", (), ""),
    Item(_TRIPOD, "18c", "where the protocol can be found", ("protocol",), "stamp"),
    Item(
        _TRIPOD, "20b", "characteristics of the patients, group by group", ("outcomes",), "groups"
    ),
    Item(_TRIPOD, "23a", "performance with intervals, in key groups too", ("outcomes",), "groups"),
    Item(_TRIPOD, "25", "interpretation, including fairness", ("outcomes",), "answer"),
    Item(_TRIPOD, "26", "limitations", ("outcomes",), "unassessed"),
    Item(_CLAIM, "", "study aim and hypotheses", ("protocol",), "answer"),
    Item(_CLAIM, "", "how missing data were handled", ("missing",), "missing"),
    Item(_CLAIM, "", "reference standard and how good it is", ("label_quality",), "label_quality"),
    Item(
        _CLAIM, "", "statistical measures of significance and uncertainty", ("outcomes",), "methods"
    ),
    Item(_CLAIM, "", "sensitivity: with and without adjusting", ("outcomes",), "groups"),
    Item(_CLAIM, "", "performance and errors by finding", ("zero_shot",), "zero_shot"),
    Item(_CLAIM, "", "testing on data of another site", (), ""),
    Item(_STANDING, "", "which groups are recorded, and which are not", ("missing",), "missing"),
    Item(_STANDING, "", "missing attributes and their size", ("missing",), "missing"),
    Item(
        _STANDING, "", "bias in labels and in who was examined", ("label_quality",), "label_quality"
    ),
    Item(_STANDING, "", "groups at risk named in advance", ("protocol",), "answer"),
    Item(_STANDING, "", "performance in each of these groups", ("outcomes",), "groups"),
    Item(
        _STANDING, "", "limits of the data and what they mean for use", ("outcomes",), "unassessed"
    ),
    Item(_STANDING, "", "risks mitigated, and what that cost whom", ("mitigation",), "mitigation"),
    Item(_FUTURE, "Fairness 1", "sources of bias, with those concerned", (), ""),
    Item(_FUTURE, "Fairness 2", "attributes of people and data collected", ("missing",), "missing"),
    Item(_FUTURE, "Fairness 3", "fairness evaluated", ("outcomes",), "groups"),
    Item(_FUTURE, "Traceability", "audited again over time", ("drift",), "drift"),
    Item(
        _FUTURE,
        "Robustness",
        "robust against variation of the data",
        ("counterfactual",),
        "counterfactual",
    ),
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
