"""How well the search serves patients like the query's, by the library's latest audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.case_lookup.html import Markup, join, tag
from apps.case_lookup.texts import TEXTS
from evaluation.latest_audit import AuditedGroup, LatestAudit, read_latest
from medembed.cases import UNKNOWN, Case, ScanRef, Sex, group_of
from medembed.lookup.terms import QueryTerms, TermKind

if TYPE_CHECKING:
    from apps.case_lookup.dropped import DroppedImage
    from apps.case_lookup.session import LibrarySession
    from medembed.lookup import Result

__all__ = ["audit_lines", "patient_of"]

_ATTRIBUTES = ("sex", "age_band", "race", "site")


def patient_of(case: Case | None, image: DroppedImage | None, terms: QueryTerms) -> Case | None:
    """Return a case with what the query says of its patient; None if it says nothing.

    Parameters
    ----------
    case : Case or None
        The query, if it is a case of the library.
    image : DroppedImage or None
    terms : QueryTerms
        What the words were read as.
    """
    if case is not None:
        return case
    sex, age = "unknown", None
    if image is not None and image.scan is not None:
        sex, age = image.sex, image.age_years
    for term in terms.terms:
        if term.kind is TermKind.SEX and sex == UNKNOWN and len(term.codes) == 1:
            sex = term.codes[0]
        if term.kind is TermKind.AGE and age is None and term.years is not None:
            low, high = term.years
            age = (low + high) / 2 if high - low <= 1 else None
    if sex not in ("F", "M", "O") and age is None:
        return None
    known: Sex = sex if sex in ("F", "M", "O") else "unknown"  # type: ignore[assignment]
    nothing = ScanRef(("query",), "0" * 64)
    return Case("query", "query", (nothing,), sex=known, age_years=age)


def audit_lines(session: LibrarySession, result: Result, patient: Case | None) -> Markup:
    """State what the latest audit found for patients like this one, or why nothing is stated."""
    texts = TEXTS.query
    audit = read_latest(session.path)
    if audit is None:
        return tag("p", texts.no_audit, class_="rr-quiet")
    if audit.model != result.fingerprint:
        return tag("p", texts.audit_of_other_model, class_="rr-quiet")
    if patient is None:
        return tag("p", texts.audit_needs_patient(audit.date), class_="rr-quiet")
    side = "text" if result.asked is not None and not _has_image(result) else "image"
    lines = [
        _line(audit, one)
        for attribute in _ATTRIBUTES
        if (one := audit.of_group(attribute, group_of(patient, attribute, audit.age_bands), side))
    ]
    if not lines:
        return tag("p", texts.audit_has_no_group(audit.date), class_="rr-quiet")
    outcome = audit.outcomes[side]
    heading = texts.audit(audit.date, outcome.title)
    return join(
        tag("p", heading, class_="rr-label"),
        tag("ul", *(tag("li", line) for line in lines), class_="rr-audit"),
    )


def _has_image(result: Result) -> bool:
    return any(name.startswith(("image", "case")) for name in result.parts)


def _line(audit: LatestAudit, one: AuditedGroup) -> str:
    texts = TEXTS.query
    name = texts.audit_group(one.attribute, one.group)
    if one.estimate is None or one.low is None or one.high is None or one.rest is None:
        return texts.audit_withheld(name)
    better = one.gap is not None and one.gap > 0
    verdict = texts.audit_verdict(one.verdict, better, audit.margin)
    return texts.audit_line(name, one.estimate, (one.low, one.high), one.rest, verdict)
