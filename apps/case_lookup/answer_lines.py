"""The lines above the hits: is there anything like it here, and what are the hits worth?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.case_lookup.archive_checks import ArchiveCheck, Aspect, CheckState, check_archive
from apps.case_lookup.formatting import condition_text
from apps.case_lookup.html import Markup, join, tag
from apps.case_lookup.patient_audit import audit_lines, patient_of
from apps.case_lookup.search_request import SearchRequest
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case
from medembed.explain import Relation
from medembed.index import SearchNoteKind
from medembed.lookup.messages import Novelty
from medembed.lookup.terms import TermKind

if TYPE_CHECKING:
    from apps.case_lookup.dropped import DroppedImage
    from apps.case_lookup.search_outcome import SearchOutcome
    from apps.case_lookup.session import LibrarySession
    from medembed.lookup import LookupHit, Result

__all__ = ["answer_markup", "archive_checks", "filters_markup", "fitting_hits"]

_ELSEWHERE = (
    SearchNoteKind.OWN_CASES,
    SearchNoteKind.READ_AS,
    SearchNoteKind.OUT_OF_DEPTH,
    SearchNoteKind.NO_SUCH_CASE,
    SearchNoteKind.DUPLICATES,
)
_FITTING = (Relation.SHARED, Relation.SIDE_NOT_STATED, Relation.BOTH_RULE_OUT)


def answer_markup(
    session: LibrarySession, outcome: SearchOutcome, dropped: DroppedImage | None, case: Case | None
) -> Markup:
    """State what was found, before the hits themselves.

    Parameters
    ----------
    session : LibrarySession
    outcome : SearchOutcome
    dropped : DroppedImage or None
    case : Case or None
        The query, if it is a case of the library.
    """
    result = outcome.result
    return join(
        _novelty(result),
        _checks(archive_checks(session, dropped, case)),
        _no_such_case(result),
        _fit(result),
        _summary(outcome),
        _basis(result),
        audit_lines(session, result, patient_of(case, dropped, result.terms)),
    )


def filters_markup(request: SearchRequest) -> Markup:
    """List the filters that the results were made with."""
    if not request.where:
        return tag("p", TEXTS.results.no_filter, class_="rr-force")
    named = [tag("span", condition_text(c), class_="rr-chip") for c in request.where]
    return tag("p", f"{TEXTS.results.filters} ", join(*named), class_="rr-force")


def _novelty(result: Result) -> Markup:
    """Say whether the library holds anything like the query: yes, no, or why it is not known."""
    texts, words, answer = TEXTS.results, TEXTS.query, result.novelty_answer
    if result.out_of_depth:
        return tag("div", texts.out_of_depth, class_="rr-novel", role="status")
    stale = f" {words.novelty_stale}" if answer.is_stale else ""
    if answer.state is Novelty.UNLIKE and answer.p_value is not None:
        detail = f" {texts.novel_detail(answer.p_value)}{stale}"
        return tag("div", tag("strong", texts.novel), detail, class_="rr-novel", role="status")
    if answer.state is Novelty.LIKE and answer.p_value is not None:
        detail = f" {words.like_detail(answer.p_value)}{stale}"
        instead = f" {words.instead(answer.instead)}" if answer.instead else ""
        return tag(
            "div",
            tag("strong", words.like_library),
            f"{detail}{instead}",
            class_="rr-known",
            role="status",
        )
    return tag(
        "div",
        tag("strong", words.not_known),
        f" {texts.novelty_reasons[answer.reason]}",
        class_="rr-untold",
        role="status",
    )


def archive_checks(
    session: LibrarySession, dropped: DroppedImage | None, case: Case | None
) -> tuple[ArchiveCheck, ...]:
    """Compare modality, body part and view of the query's image with the library's cases."""
    scan = dropped.scan if dropped else None
    if scan is not None:
        image = {
            Aspect.MODALITY: scan.modality,
            Aspect.BODY_PART: scan.body_part,
            Aspect.VIEW: scan.view,
        }
    elif case is not None:
        image = {
            Aspect.MODALITY: case.modality,
            Aspect.BODY_PART: case.attributes.get(Aspect.BODY_PART, ""),
            Aspect.VIEW: case.view,
        }
    else:
        return ()
    return check_archive(image, session.value_counts)


def _checks(checks: tuple[ArchiveCheck, ...]) -> Markup:
    """State each check; what the archive lacks stands out."""
    texts = TEXTS.query
    lacking = [c for c in checks if c.state is CheckState.LACKS]
    others = [c for c in checks if c.state is not CheckState.LACKS]
    parts = [
        tag("div", texts.lacks(c.aspect, c.value), class_="rr-novel", role="status")
        for c in lacking
    ]
    said = [texts.checks[c.state](texts.aspects[c.aspect], c.value, c.n_cases) for c in others]
    return join(*parts, tag("p", " · ".join(said), class_="rr-quiet") if said else None)


def _no_such_case(result: Result) -> Markup:
    """State which modality or view of the words no case has."""
    names = [
        name
        for note in result.plan.notes
        if note.kind is SearchNoteKind.NO_SUCH_CASE
        for name in note.names
    ]
    if not names:
        return Markup("")
    return tag("div", TEXTS.query.no_such_case(names), class_="rr-novel", role="status")


def fitting_hits(result: Result) -> tuple[int, int] | None:
    """Count the hits that fit every finding of the words, and those that contradict one.

    A report that says nothing of a finding that the words deny fits. None if the words name no
    finding that could be compared.
    """
    wanted = [
        term
        for term in result.terms.terms
        if term.kind is TermKind.FINDING and term.status != "uncertain"
    ]
    if not wanted or not result.hits:
        return None
    present = {term.value for term in wanted if term.status == "present"}
    fitting = sum(_fits(hit, present) for hit in result.hits)
    return fitting, sum(bool(hit.evidence.conflicts) for hit in result.hits)


def _fits(hit: LookupHit, present: set[str]) -> bool:
    if hit.evidence.conflicts:
        return False
    shared = {m.finding.label for m in hit.evidence.shared if m.relation in _FITTING}
    return present <= shared


def _fit(result: Result) -> Markup:
    """Say how many hits fit what the words ask for: a list is never empty, however far it is."""
    counted = fitting_hits(result)
    if counted is None:
        return Markup("")
    fitting, contradicting = counted
    line = TEXTS.query.fit(fitting, len(result.hits), contradicting)
    return tag("p", line, class_="rr-fit" if fitting else "rr-novel", role="status")


def _summary(outcome: SearchOutcome) -> Markup:
    result, request, texts = outcome.result, outcome.request, TEXTS.results
    parts = [texts.ranked(len(result.hits), result.plan.matching)]
    if result.plan.method == "ann":
        recall = result.plan.recall
        parts.append(texts.approximate(None if recall is None else recall.share))
    if request.own_patients and not result.own_patient_cases:
        parts.append(texts.patient_excluded)
    parts += [
        texts.notes[note.kind](note) for note in result.plan.notes if note.kind not in _ELSEWHERE
    ]
    return tag(
        "div",
        tag("span", " · ".join(parts)),
        tag("span", texts.seconds(outcome.seconds)),
        class_="rr-summary",
    )


def _basis(result: Result) -> Markup:
    """State what the percentiles and shares of the hits rest on."""
    basis, texts = result.score_basis, TEXTS.query
    if basis.reason or basis.any_case is None:
        reason = TEXTS.results.worth_reasons[basis.reason]
        return tag("p", texts.worth_unknown(reason), class_="rr-quiet") if reason else Markup("")
    line = texts.basis(basis.day, basis.n_with_finding, basis.any_case)
    stale = f" {texts.basis_stale}" if basis.is_stale else ""
    return tag("p", f"{line}{stale}", class_="rr-quiet")
