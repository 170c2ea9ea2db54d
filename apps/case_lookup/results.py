"""The results: the query beside the ranked cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.dropped import DroppedImage
from apps.case_lookup.faults import error_line
from apps.case_lookup.formatting import (
    chips,
    condition_text,
    date_text,
    evidence_text,
    excerpt,
    modality_text,
    patient_text,
)
from apps.case_lookup.html import Markup, escaped, join, notice, tag
from apps.case_lookup.rendering import DisplaySettings, data_uri, n_slices, presets, render
from apps.case_lookup.session import SearchRequest
from apps.case_lookup.sidebar import (
    example_queries,
    ignore_term,
    open_case,
    remove_filter,
    search_again,
    search_text,
    use_all_terms,
)
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case
from medembed.errors import ScanError
from medembed.index import SearchNoteKind
from medembed.lookup.messages import Novelty
from medembed.scans import Scan

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession
    from medembed.lookup import LookupHit, Result
    from medembed.lookup.score_worth import ScoreBasis

_MOST_OWN = 5
_ELSEWHERE = (SearchNoteKind.OWN_CASES, SearchNoteKind.READ_AS, SearchNoteKind.OUT_OF_DEPTH)

__all__ = ["SearchOutcome", "show_outcome", "show_welcome", "undim_style"]


@dataclass(frozen=True)
class SearchOutcome:
    """A request with its result, kept while the visitor looks at a case.

    Parameters
    ----------
    request : SearchRequest
    result : Result
    seconds : float
        How long the search took.
    """

    request: SearchRequest
    result: Result
    seconds: float


def show_welcome(session: LibrarySession) -> None:
    """Show a first-time visitor what the page does, with queries to try."""
    texts, count = TEXTS.welcome, len(session.library)
    with st.container(key="welcome", gap="small"):
        st.html(join(tag("h1", texts.title), tag("p", texts.introduction(count))))
        queries = example_queries(session)
        if count and queries:
            st.html(tag("p", texts.examples, class_="rr-label"))
            with st.container(horizontal=True, gap="small"):
                for position, query in enumerate(queries):
                    label = escaped(query, "markdown")
                    key = f"example-{position}"
                    st.button(label, key=key, on_click=search_text, args=(query,))
        if count and session.not_ready:
            st.html(notice(texts.not_ready, session.not_ready))
        if not count:
            st.html(notice(texts.no_cases, texts.no_cases_hint))


def undim_style(request: SearchRequest) -> Markup:
    """Make the style that undims only the results of this request.

    It is drawn right after the sidebar, before the search. From then on the results of any other
    request are dimmed and marked as out of date, even if the search fails or is stopped.
    """
    outcome = f".st-key-outcome-{request.digest}" * 2  # doubled to outweigh the general rule
    return Markup(
        f"<style>{outcome} .st-key-answer {{ opacity: 1; }}"
        f"{outcome} .st-key-changed {{ visibility: hidden; }}</style>"
    )


def show_outcome(
    session: LibrarySession, outcome: SearchOutcome, dropped: DroppedImage | None
) -> None:
    """Draw the query and the ranked cases; a query without an image takes no column."""
    with st.container(key=f"outcome-{outcome.request.digest}"):
        with st.container(key="changed", horizontal=True, vertical_alignment="center"):
            st.html(tag("p", TEXTS.results.changed, role="status"))
            st.button(TEXTS.results.search_again, on_click=search_again)
        with st.container(key="answer"):
            _show_query_and_cases(session, outcome, dropped)


def _show_query_and_cases(
    session: LibrarySession, outcome: SearchOutcome, dropped: DroppedImage | None
) -> None:
    request = outcome.request
    if request.scan is None and not request.case_id:
        st.html(tag("p", request.text, class_="rr-asked"))
        _show_cases(session, outcome)
        return
    beside, main = st.columns([1, 2.6], gap="medium")
    with beside, st.container(key="query"):
        _show_query(session, request, dropped)
    with main:
        _show_cases(session, outcome)


def _show_cases(session: LibrarySession, outcome: SearchOutcome) -> None:
    result = outcome.result
    st.html(_filters(outcome.request))
    _show_terms(outcome)
    _show_own_cases(outcome)
    if not result.hits:
        _show_no_match(session, outcome)
        return
    st.html(_summary(outcome))
    if result.out_of_depth:
        st.html(tag("div", TEXTS.results.out_of_depth, class_="rr-novel", role="status"))
    elif result.novelty is not Novelty.LIKE:
        st.html(_novelty(result))
    with st.container(key="hits"):
        for hit in result.hits:
            _show_hit(session, hit, result.score_basis)


def _show_terms(outcome: SearchOutcome) -> None:
    """List what the text was read as; a click leaves one of them out."""
    terms, texts = outcome.result.terms, TEXTS.results
    if not terms.terms and not terms.ignored:
        return
    with st.container(key="terms", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(tag("p", texts.read_as if terms.terms else texts.read_as_nothing))
        for position, term in enumerate(terms.terms):
            st.button(
                escaped(texts.term(TEXTS.words.terms(term)), "markdown"),
                key=f"term-{position}",
                help=TEXTS.results.ignore_term,
                on_click=ignore_term,
                args=(outcome.request.text, str(term)),
            )
        if terms.ignored:
            st.button(TEXTS.results.use_all_terms, key="all-terms", on_click=use_all_terms)


def _show_own_cases(outcome: SearchOutcome) -> None:
    """List the cases that hold the query's own image, apart from the similar ones."""
    request, texts = outcome.request, TEXTS.results
    own = sorted({*outcome.result.own_cases, *request.own_cases})[:_MOST_OWN]
    if not own:
        return
    line = texts.also_in_library if request.case_id else texts.in_library
    with st.container(key="own", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(tag("p", line, role="status"))
        for position, case_id in enumerate(own):
            label = escaped(texts.case(case_id), "markdown")
            st.button(label, key=f"own-{position}", on_click=open_case, args=(case_id,))


def _novelty(result: Result) -> Markup:
    """State that nothing in the library is close to the query, or why this was not checked."""
    texts, answer = TEXTS.results, result.novelty_answer
    if answer.state is Novelty.CANNOT_TELL or answer.p_value is None:
        return tag("p", texts.novelty_reasons[answer.reason], class_="rr-quiet")
    return tag(
        "div",
        tag("strong", texts.novel),
        f" {texts.novel_detail(answer.p_value)}",
        class_="rr-novel",
        role="status",
    )


def _filters(request: SearchRequest) -> Markup:
    """List the filters that the results were made with."""
    if not request.where:
        return tag("p", TEXTS.results.no_filter, class_="rr-force")
    named = [tag("span", condition_text(c), class_="rr-chip") for c in request.where]
    return tag("p", f"{TEXTS.results.filters} ", join(*named), class_="rr-force")


def _summary(outcome: SearchOutcome) -> Markup:
    result, request, texts = outcome.result, outcome.request, TEXTS.results
    parts = [texts.ranked(len(result.hits), result.plan.matching)]
    if result.plan.method == "ann":
        recall = result.plan.recall
        parts.append(texts.approximate(None if recall is None else recall.share))
    if request.own_patients and not result.own_patient_cases:
        parts.append(texts.patient_excluded)
    parts += _remarks(result)
    return tag(
        "div",
        tag("span", " · ".join(parts)),
        tag("span", texts.seconds(outcome.seconds)),
        class_="rr-summary",
    )


def _remarks(result: Result) -> list[str]:
    """Give what else a reader should know and no other line states."""
    return [
        TEXTS.results.notes[note.kind](note)
        for note in result.plan.notes
        if note.kind not in _ELSEWHERE
    ]


def _show_query(
    session: LibrarySession, request: SearchRequest, dropped: DroppedImage | None
) -> None:
    texts = TEXTS.results
    parts: list[Markup] = [tag("p", texts.query, class_="rr-label")]
    scan: Scan | None = dropped.scan if dropped else None
    title = texts.query_image
    if scan is None and request.case_id:
        title = texts.case(request.case_id)
        try:
            scan = session.scan(session.library.case(request.case_id))
        except ScanError as error:
            parts.append(tag("p", f"{error_line(error)}.", class_="rr-quiet"))
    if scan is not None:
        window = next(iter(presets(scan).values()))
        image = render(scan, DisplaySettings(window, n_slices(scan) // 2), 900)
        alt = texts.query_alt(title)
        parts.append(tag("img", src=data_uri(image), alt=alt, class_="rr-query"))
        parts.append(tag("p", title, class_="rr-quiet"))
    if request.text:
        parts.append(tag("p", request.text, class_="rr-words"))
    if request.is_mixed:
        share = round(100 * request.image_weight)
        parts.append(tag("p", texts.weights(share, 100 - share), class_="rr-quiet"))
    st.html(join(*parts))


def _show_hit(session: LibrarySession, hit: LookupHit, basis: ScoreBasis) -> None:
    with st.container(key=f"hit-{hit.rank}"):
        st.html(_card(session, hit, basis))
        st.button(
            escaped(TEXTS.results.open_case(hit.rank), "markdown"),
            key=f"open-{hit.rank}",
            on_click=open_case,
            args=(hit.case_id,),
        )


def _card(session: LibrarySession, hit: LookupHit, basis: ScoreBasis) -> Markup:
    case, evidence = hit.case, evidence_text(hit.evidence)
    line = tag(
        "div",
        tag("span", str(hit.rank), class_="rr-rank"),
        tag("strong", patient_text(case)),
        tag("span", modality_text(case)),
        tag("span", date_text(case)),
        class_="rr-line",
    )
    body = tag(
        "div",
        tag("div", line, _score(hit.score), class_="rr-top"),
        tag("div", chips(case.findings), class_="rr-chips"),
        tag("p", excerpt(case.note) or TEXTS.results.no_report, class_="rr-text"),
        tag("p", evidence, class_="rr-why") if evidence else None,
        tag("p", _worth(hit, basis), class_="rr-why rr-quiet"),
        class_="rr-body",
    )
    return tag(
        "article", tag("div", _thumbnail(session, case), class_="rr-thumb"), body, class_="rr-hit"
    )


def _worth(hit: LookupHit, basis: ScoreBasis) -> str:
    """Say what the score means, or why this cannot be told."""
    texts, worth, parts = TEXTS.results, hit.worth, []
    if hit.percentile is not None:
        parts.append(texts.percentile(hit.percentile))
    known = (worth.share, worth.low, worth.high, basis.any_case)
    numbers = [round(100 * value) for value in known if value is not None]
    if len(numbers) == len(known):
        parts.append(texts.worth(numbers[0], numbers[1], numbers[2], numbers[3]))
    else:
        parts.append(texts.worth_unknown(texts.worth_reasons[worth.reason]))
    return " · ".join(parts)


def _score(score: float) -> Markup:
    width = f"width:{100 * min(max(score, 0.0), 1.0):.0f}%"
    return tag(
        "span",
        tag("span", tag("i", style=width), class_="rr-bar"),
        tag("b", TEXTS.results.score(score)),
        class_="rr-score",
        title=TEXTS.results.score_help,
    )


def _thumbnail(session: LibrarySession, case: Case) -> Markup:
    try:
        image = session.thumbnail(case)
    except ScanError:
        return tag("span", TEXTS.results.image_missing, class_="rr-quiet")
    alt = f"{modality_text(case)}, {patient_text(case)}"
    return tag("img", src=data_uri(image, lossless=False), alt=alt)


def _show_no_match(session: LibrarySession, outcome: SearchOutcome) -> None:
    """State that no case matches, and what removing each filter would give."""
    where, texts = outcome.request.where, TEXTS.results
    if not where:
        st.html(notice(texts.no_vectors, texts.no_vectors_hint))
        return
    st.html(notice(texts.no_match, texts.and_.join(condition_text(c) for c in where)))
    helpful = [(condition, n) for condition, n in session.counts_without_each(where) if n]
    for position, (condition, n) in enumerate(helpful):
        st.button(
            escaped(texts.without(condition_text(condition), n), "markdown"),
            key=f"remove-{position}",
            on_click=remove_filter,
            args=(condition,),
        )
    if not helpful:
        st.html(tag("p", texts.remove_more, class_="rr-quiet"))
