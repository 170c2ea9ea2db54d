"""The findings of a case as chips that do not say more than its report."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from apps.case_lookup.formatting import finding_text
from apps.case_lookup.html import Markup, join, tag
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case, Finding

__all__ = ["Certainty", "case_chips", "certainties"]


class Certainty(StrEnum):
    """How certain the report is of a finding."""

    STATED = "stated"
    """The report states it, or says nothing of it and the case was labeled with it."""
    POSSIBLE = "possible"
    RULED_OUT = "ruled-out"
    """The case is labeled with it, and its report denies it."""


def certainties(case: Case) -> dict[Finding, Certainty]:
    """Return the findings of a case, and what its report calls possible, with the certainty.

    Parameters
    ----------
    case : Case

    Returns
    -------
    dict of Finding to Certainty
        The case's own findings first.
    """
    found = {finding: _certainty(case, finding) for finding in case.findings}
    for finding in _uncertain(case):
        if not any(known.label == finding.label for known in found):
            found[finding] = Certainty.POSSIBLE
    return found


def _certainty(case: Case, finding: Finding) -> Certainty:
    sides = ("", finding.side, "bilateral")
    stated = {
        one.status
        for one in (case.note.assertions if case.note else ())
        if one.label == finding.label
        and not one.historical
        and (not finding.side or one.side in sides)
    }
    if not stated or "present" in stated:
        return Certainty.STATED
    return Certainty.POSSIBLE if "uncertain" in stated else Certainty.RULED_OUT


def _uncertain(case: Case) -> Iterator[Finding]:
    assertions = case.note.assertions if case.note else ()
    present = {one.label for one in assertions if one.status == "present" and not one.historical}
    for one in assertions:
        if one.status == "uncertain" and not one.historical and one.label not in present:
            yield Finding(one.label, one.side)


def case_chips(case: Case) -> Markup:
    """Show the findings of a case as chips, or that none is recorded."""
    texts = TEXTS.query
    chips: list[Markup] = []
    for finding, certainty in certainties(case).items():
        name = finding_text(finding)
        if certainty is Certainty.STATED:
            chips.append(tag("span", name, class_="rr-chip"))
        elif certainty is Certainty.POSSIBLE:
            text, why = texts.possible(name), texts.possible_help
            chips.append(tag("span", text, class_="rr-chip rr-possible", title=why))
        else:
            chips.append(tag("span", texts.ruled_out(name), class_="rr-chip rr-possible"))
    return join(*chips) if chips else tag("span", TEXTS.words.no_finding, class_="rr-quiet")
