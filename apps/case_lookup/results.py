"""The page of what was found: the query stays beside the ranked cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.dropped import Dropped
from apps.case_lookup.faults import line_of
from apps.case_lookup.formatting import (
    chips,
    condition_words,
    excerpt,
    kind,
    thousands,
    when,
    who,
    why_words,
)
from apps.case_lookup.html import Markup, escaped, join, notice, tag
from apps.case_lookup.rendering import Look, data_uri, n_slices, presets, render
from apps.case_lookup.session import Question
from apps.case_lookup.sidebar import examples, open_case, relax, search_again, use
from medembed.cases import Case
from medembed.errors import ScanError
from medembed.scans import Scan

if TYPE_CHECKING:
    from apps.case_lookup.session import Desk
    from medembed.lookup import LookupHit, Result

_MOST_OWN = 5

__all__ = ["Found", "answers_to", "show_found", "show_welcome"]


@dataclass(frozen=True)
class Found:
    """What a question found, kept while the visitor looks at a case.

    Parameters
    ----------
    question : Question
    result : Result
    seconds : float
        From asking to the answer.
    """

    question: Question
    result: Result
    seconds: float


def show_welcome(desk: Desk) -> None:
    """Say what this is to someone who sees it first, with queries to try."""
    count = len(desk.library)
    with st.container(key="welcome", gap="small"):
        st.html(
            join(
                tag("h1", "Find the most similar past cases"),
                tag(
                    "p",
                    "Drop an image file on this page, describe what you see, or both. You get the "
                    f"closest of {thousands(count)} cases in this library with image, report and "
                    "score.",
                ),
            )
        )
        offered = examples(desk)
        if count and offered:
            st.html(tag("p", "For example", class_="rr-label"))
            with st.container(horizontal=True, gap="small"):
                for position, words in enumerate(offered):
                    label = escaped(words, "markdown")
                    st.button(label, key=f"example-{position}", on_click=use, args=(words,))
        if count and desk.trouble:
            st.html(notice("Not ready to search", desk.trouble))
        if not count:
            st.html(notice("This library has no cases yet", "Add some with medembed ingest."))


def answers_to(question: Question) -> Markup:
    """Make the style by which only the answer to this question stands undimmed.

    It is drawn right after the sidebar and before anything is searched. From then on an answer to
    any other question is dimmed and says so, also if the search fails or is stopped.
    """
    found = f".st-key-found-{question.mark}" * 2  # named twice it outweighs the rule for all
    return Markup(
        f"<style>{found} .st-key-answer {{ opacity: 1; }}"
        f"{found} .st-key-changed {{ visibility: hidden; }}</style>"
    )


def show_found(desk: Desk, found: Found, dropped: Dropped | None) -> None:
    """Draw the query and the ranked cases; a query without an image takes no column."""
    with st.container(key=f"found-{found.question.mark}"):
        with st.container(key="changed", horizontal=True, vertical_alignment="center"):
            st.html(tag("p", "The query or the filters have changed.", role="status"))
            st.button("Search again", on_click=search_again)
        with st.container(key="answer"):
            _show_answer(desk, found, dropped)


def _show_answer(desk: Desk, found: Found, dropped: Dropped | None) -> None:
    question = found.question
    if question.scan is None and not question.case_id:
        st.html(tag("p", question.words, class_="rr-asked"))
        _show_ranked(desk, found)
        return
    beside, main = st.columns([1, 2.6], gap="medium")
    with beside, st.container(key="query"):
        _show_question(desk, question, dropped)
    with main:
        _show_ranked(desk, found)


def _show_ranked(desk: Desk, found: Found) -> None:
    result = found.result
    st.html(_in_force(found.question))
    _show_own(found)
    if not result.hits:
        _show_nothing(desk, found)
        return
    st.html(_summary(found))
    if result.novelty != "familiar":
        st.html(_novelty(result))
    with st.container(key="hits"):
        for hit in result.hits:
            _show_hit(desk, hit)


def _show_own(found: Found) -> None:
    """Name the cases that are the query itself, apart from those that are like it."""
    question = found.question
    own = sorted({*found.result.own_cases, *question.own_cases})[:_MOST_OWN]
    if not own:
        return
    line = (
        "The same image is also in the library as:"
        if question.case_id
        else ("This image is in the library, and left out of the list:")
    )
    with st.container(key="own", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(tag("p", line, role="status"))
        for position, case_id in enumerate(own):
            label = escaped(f"case {case_id}", "markdown")
            st.button(label, key=f"own-{position}", on_click=open_case, args=(case_id,))


def _novelty(result: Result) -> Markup:
    """Say that nothing is quite like the query, or why that cannot be told."""
    if result.novelty == "unknown" or result.best_score is None or result.novelty_threshold is None:
        line = result.novelty_line
        return tag("p", f"{line[:1].upper()}{line[1:]}.", class_="rr-quiet")
    return tag(
        "div",
        tag("strong", "Nothing like it here."),
        f" The best score is {result.best_score:.2f}; of the library's own cases 1 in 100 scores "
        f"below {result.novelty_threshold:.2f}. These are the closest cases, but none is a close "
        "match.",
        class_="rr-novel",
        role="status",
    )


def _in_force(question: Question) -> Markup:
    """Which filters the list was made with, as they were when it was made."""
    if not question.where:
        return tag("p", "Showing all cases, no filter", class_="rr-force")
    named = [tag("span", condition_words(c), class_="rr-chip") for c in question.where]
    return tag("p", "Showing cases: ", join(*named), class_="rr-force")


def _summary(found: Found) -> Markup:
    result, question = found.result, found.question
    shown = len(result.hits)
    words = [f"The {shown} closest of {thousands(result.plan.matching)} cases"]
    if shown < question.k:
        words = ["Only 1 case matches" if shown == 1 else f"Only {shown} cases match"]
    if question.own_patients and not result.own_patient_cases:
        words.append("the query's own patient was left out")
    words += [note for note in result.plan.notes if note != result.own_cases_line]
    return tag(
        "div",
        tag("span", "; ".join(words)),
        tag("span", f"{found.seconds:.2f} s"),
        class_="rr-summary",
    )


def _show_question(desk: Desk, question: Question, dropped: Dropped | None) -> None:
    parts: list[Markup] = [tag("p", "Query", class_="rr-label")]
    scan: Scan | None = dropped.scan if dropped else None
    title = "dropped image"
    if scan is None and question.case_id:
        title = f"case {question.case_id}"
        try:
            scan = desk.scan(desk.library.case(question.case_id))
        except ScanError as error:
            parts.append(tag("p", f"{line_of(error)}.", class_="rr-quiet"))
    if scan is not None:
        window = next(iter(presets(scan).values()))
        image = render(scan, Look(window, n_slices(scan) // 2), 900)
        parts.append(tag("img", src=data_uri(image), alt=f"Query: {title}", class_="rr-query"))
        parts.append(tag("p", title, class_="rr-quiet"))
    if question.words:
        parts.append(tag("p", question.words, class_="rr-words"))
    if question.is_mixed:
        share = round(100 * question.image_weight)
        parts.append(tag("p", f"Image {share} %, words {100 - share} %", class_="rr-quiet"))
    st.html(join(*parts))


def _show_hit(desk: Desk, hit: LookupHit) -> None:
    with st.container(key=f"hit-{hit.rank}"):
        st.html(_card(desk, hit))
        st.button(
            f"Open case {hit.rank:d}",
            key=f"open-{hit.rank}",
            on_click=open_case,
            args=(hit.case_id,),
        )


def _card(desk: Desk, hit: LookupHit) -> Markup:
    case, why = hit.case, why_words(hit.evidence)
    line = tag(
        "div",
        tag("span", str(hit.rank), class_="rr-rank"),
        tag("strong", who(case)),
        tag("span", kind(case)),
        tag("span", when(case)),
        class_="rr-line",
    )
    body = tag(
        "div",
        tag("div", line, _score(hit.score), class_="rr-top"),
        tag("div", chips(case.findings), class_="rr-chips"),
        tag("p", excerpt(case.note) or "no report", class_="rr-text"),
        tag("p", why, class_="rr-why") if why else None,
        class_="rr-body",
    )
    return tag(
        "article", tag("div", _thumbnail(desk, case), class_="rr-thumb"), body, class_="rr-hit"
    )


def _score(score: float) -> Markup:
    width = f"width:{100 * min(max(score, 0.0), 1.0):.0f}%"
    return tag(
        "span",
        tag("span", tag("i", style=width), class_="rr-bar"),
        tag("b", f"{score:.2f}"),
        class_="rr-score",
        title="cosine similarity, 1 is the same",
    )


def _thumbnail(desk: Desk, case: Case) -> Markup:
    try:
        image = desk.thumbnail(case)
    except ScanError:
        return tag("span", "image missing", class_="rr-quiet")
    return tag("img", src=data_uri(image, lossless=False), alt=f"{kind(case)}, {who(case)}")


def _show_nothing(desk: Desk, found: Found) -> None:
    """No case matches: say which filter to relax, and what that would give."""
    where = found.question.where
    if not where:
        st.html(notice("Nothing to compare with", "Prepare the library with medembed embed."))
        return
    st.html(notice("No case matches all filters", " and ".join(condition_words(c) for c in where)))
    helpful = [(condition, n) for condition, n in desk.relaxations(where) if n]
    for position, (condition, n) in enumerate(helpful):
        st.button(
            escaped(
                f"Without “{condition_words(condition)}”: {thousands(n)} "
                f"{'case' if n == 1 else 'cases'}",
                "markdown",
            ),
            key=f"relax-{position}",
            on_click=relax,
            args=(condition,),
        )
    if not helpful:
        st.html(
            tag("p", "Removing one filter is not enough. Remove two or more.", class_="rr-quiet")
        )
