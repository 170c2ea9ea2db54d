"""The page of what was found: the query stays beside the ranked cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.asking import examples, open_case, relax, use
from apps.case_lookup.desk import Dropped, Question
from apps.case_lookup.markup import Markup, join, notice, tag
from apps.case_lookup.pictures import Look, data_uri, n_slices, presets, render
from apps.case_lookup.wording import chips, condition_words, excerpt, kind, thousands, when, who
from medembed.cases import Case
from medembed.errors import MedEmbedError, ScanError
from medembed.scans import Scan

if TYPE_CHECKING:
    from apps.case_lookup.desk import Desk

__all__ = ["Found", "Row", "show_error", "show_found", "show_welcome"]


@dataclass(frozen=True)
class Row:
    """One ranked case as it stands on the page."""

    rank: int
    case: Case
    score: float
    why: str


@dataclass(frozen=True)
class Found:
    """What a question found, kept while the visitor looks at a case.

    Parameters
    ----------
    question : Question
    rows : tuple of Row
        Best first.
    novel : bool
        Whether the library holds nothing like the query.
    matching : int
        How many cases the conditions leave.
    seconds : float
        From asking to the answer.
    """

    question: Question
    rows: tuple[Row, ...]
    novel: bool
    matching: int
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
                    "Drop the image on your screen, type what you see, or both. The closest of "
                    f"{thousands(count)} cases in this library come back with image, report and "
                    "score.",
                ),
            )
        )
        offered = examples(desk)
        if count and offered:
            st.html(tag("p", "For example", class_="rr-label"))
            with st.container(horizontal=True, gap="small"):
                for position, words in enumerate(offered):
                    st.button(words, key=f"example-{position}", on_click=use, args=(words,))
        if not count:
            st.html(notice("This library holds no case yet", "medembed ingest adds some."))


def show_found(desk: Desk, found: Found, dropped: Dropped | None) -> None:
    """Draw the query and the ranked cases; a query without an image takes no column."""
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
    if not found.rows:
        _show_nothing(desk, found)
        return
    st.html(_summary(found))
    if found.novel:
        st.html(
            tag(
                "div",
                tag("strong", "Nothing like it here."),
                " The nearest case scores "
                f"{found.rows[0].score:.2f}, no more than unlike cases do. "
                "What follows is the nearest, not the similar.",
                class_="rr-novel",
                role="status",
            )
        )
    with st.container(key="hits"):
        for row in found.rows:
            _show_row(desk, row)


def _summary(found: Found) -> Markup:
    shown = len(found.rows)
    named = " and ".join(condition_words(c) for c in found.question.where)
    words = f"The {shown} nearest of {thousands(found.matching)} cases"
    if shown < found.question.k:
        words = "Only 1 case" if shown == 1 else f"Only {shown} cases"
    return tag(
        "div",
        tag("span", f"{words} with {named}" if named else words),
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
            parts.append(tag("p", str(error), class_="rr-quiet"))
    if scan is not None:
        window = next(iter(presets(scan).values()))
        image = render(scan, Look(window, n_slices(scan) // 2), 900)
        parts.append(tag("img", src=data_uri(image), alt=f"Query: {title}", class_="rr-query"))
        parts.append(tag("p", title, class_="rr-quiet"))
    if question.words:
        parts.append(tag("p", question.words, class_="rr-words"))
    if question.is_mixed:
        share = round(100 * question.image_weight)
        parts.append(tag("p", f"image {share} %, words {100 - share} %", class_="rr-quiet"))
    st.html(join(*parts))


def _show_row(desk: Desk, row: Row) -> None:
    with st.container(key=f"hit-{row.rank}"):
        st.html(_row(desk, row))
        st.button(
            f"Open case {row.rank}",
            key=f"open-{row.rank}",
            on_click=open_case,
            args=(row.case.case_id,),
        )


def _row(desk: Desk, row: Row) -> Markup:
    case = row.case
    return tag(
        "article",
        tag("div", _thumbnail(desk, case), class_="rr-thumb"),
        tag(
            "div",
            tag(
                "div",
                tag(
                    "div",
                    tag("span", str(row.rank), class_="rr-rank"),
                    tag("strong", who(case)),
                    tag("span", kind(case)),
                    tag("span", when(case)),
                    class_="rr-line",
                ),
                _score(row.score),
                class_="rr-top",
            ),
            tag("div", chips(case.findings), class_="rr-chips"),
            tag("p", excerpt(case.note) or "no report", class_="rr-text"),
            tag("p", row.why, class_="rr-why") if row.why else None,
            class_="rr-body",
        ),
        class_="rr-hit",
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
        st.html(notice("Nothing to compare with", "medembed embed LIBRARY makes it ready."))
        return
    st.html(notice("No case matches all filters", " and ".join(condition_words(c) for c in where)))
    helpful = [(condition, n) for condition, n in desk.relaxations(where) if n]
    for position, (condition, n) in enumerate(helpful):
        st.button(
            f"Without “{condition_words(condition)}”: {thousands(n)} "
            + ("case" if n == 1 else "cases"),
            key=f"relax-{position}",
            on_click=relax,
            args=(condition,),
        )
    if not helpful:
        st.html(tag("p", "No single filter is to blame: drop two or more.", class_="rr-quiet"))


def show_error(error: MedEmbedError) -> None:
    """Say in one line what went wrong; the query stays as it is."""
    st.error(str(error))
