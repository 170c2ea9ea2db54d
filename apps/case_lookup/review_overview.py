"""The overview of a review session: progress, link, agreement, exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from apps.access import Permission
from apps.case_lookup.formatting import finding_text
from apps.case_lookup.html import Markup, escaped, join, tag
from apps.case_lookup.review_access import may
from apps.case_lookup.review_address import enter_review, go_to, leave_review, note_error
from apps.case_lookup.texts import TEXTS
from apps.review import ExportKind, export, gather, visible_cases
from apps.review.exports import packed
from apps.review.journaling import ReviewAction, record
from apps.review.pictures import rendered
from evaluation.reader_study import Agreement, ReviewMeasures, measure_review
from medembed.cases import Finding
from medembed.errors import MedEmbedError, ScanError
from medembed.reviews import (
    Mark,
    Reading,
    ReadingState,
    ReviewCase,
    ReviewSession,
    ReviewStore,
    SessionState,
)
from medembed.scans import ScanReader

if TYPE_CHECKING:
    from PIL import Image

    from apps.case_lookup.session import LibrarySession
    from medembed.cases import Case

__all__ = ["show_overview"]

_MOST_DISAGREEMENTS = 100
_TYPES = {
    ExportKind.PDF: "application/pdf",
    ExportKind.CSV: "text/csv",
    ExportKind.SR: "application/zip",
    ExportKind.KO: "application/zip",
    ExportKind.TEACHING: "text/html",
}


def show_overview(
    session: LibrarySession,
    store: ReviewStore,
    review: ReviewSession,
    places: Sequence[ReviewCase],
    reader: str,
) -> None:
    """Draw the overview for one reader.

    Parameters
    ----------
    session : LibrarySession
    store : ReviewStore
    review : ReviewSession
    places : sequence of ReviewCase
        The cases that this reader may see.
    reader : str
    """
    readings = store.readings(review.link)
    own = {reading.case_id: reading for reading in readings if reading.reader == reader}
    _head(store, review, reader)
    _progress(review, places, own)
    visible = visible_cases(review, readings, reader) & {case.case_id for case in places}
    _shortlist(session, review, places, readings, visible, reader)
    if not visible:
        st.html(tag("p", TEXTS.review.nothing_visible, class_="rr-quiet"))
        return
    _measures(session, places, [r for r in readings if r.case_id in visible])
    if may(Permission.EXPORT):
        _exports(session, review, visible, reader)


def _head(store: ReviewStore, review: ReviewSession, reader: str) -> None:
    texts = TEXTS.review
    with st.container(key="review-bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            TEXTS.review.leave, icon=":material/arrow_back:", on_click=leave_review, key="r-leave"
        )
        st.html(
            tag(
                "div",
                tag("strong", review.name),
                tag("span", texts.by(review.creator)),
                tag("span", texts.read_by(reader), class_="rr-quiet"),
                tag("span", texts.closed) if review.state is SessionState.CLOSED else None,
                class_="rr-line",
            )
        )
        if reader == review.creator:
            with st.popover(TEXTS.review.settings):
                st.text_input(
                    TEXTS.review.name,
                    review.name,
                    key="review_rename",
                    autocomplete="off",
                    on_change=_rename,
                    args=(store, review.link),
                )
                closed = review.state is SessionState.CLOSED
                st.button(
                    TEXTS.review.reopen if closed else TEXTS.review.close,
                    help=TEXTS.review.close_help,
                    on_click=_try,
                    args=(store.reopen if closed else store.close, review.link),
                    key="r-close",
                )
    st.html(tag("p", texts.share, class_="rr-label"))
    base = str(getattr(st.context, "url", "") or "").partition("?")[0]
    # without the reader: whoever follows the link reads under an own name
    st.code(escaped(f"{base}?review={review.link}", "text"), language=None, wrap_lines=True)


def _rename(store: ReviewStore, link: str) -> None:
    _try(lambda at: store.rename(at, st.session_state["review_rename"]), link)


def _try(step: Callable[[str], object], link: str) -> None:
    try:
        step(link)
    except MedEmbedError as error:
        note_error(error)


def _progress(review: ReviewSession, places: Sequence[ReviewCase], own: dict[str, Reading]) -> None:
    texts = TEXTS.review
    done = sum(reading.is_finished for reading in own.values())
    st.html(tag("p", texts.progress(done, len(places)), class_="rr-summary", role="status"))
    left = next(
        (c.position for c in places if c.case_id not in own or not own[c.case_id].is_finished), None
    )
    if left is not None and review.state is SessionState.OPEN:
        label = texts.go_on_with(left) if own else texts.begin
        st.button(
            escaped(label, "markdown"), type="primary", on_click=go_to, args=(left,), key="r-go-on"
        )
    states = {c.position: own[c.case_id].state if c.case_id in own else None for c in places}
    st.pills(
        TEXTS.review.cases,
        [case.position for case in places],
        key="review_position",
        on_change=_go_to_chosen,
        format_func=lambda at: escaped(_state_text(at, states[at]), "markdown"),
    )


def _state_text(position: int, state: ReadingState | None) -> str:
    return f"{position} {TEXTS.review.states[state]}" if state else f"{position}"


def _go_to_chosen() -> None:
    position = st.session_state.get("review_position")
    st.session_state["review_position"] = None
    if position is not None:
        go_to(position)


def _measures(
    session: LibrarySession, places: Sequence[ReviewCase], readings: list[Reading]
) -> None:
    cases = session.library.select([case.case_id for case in places])
    measures = measure_review(readings, {case.case_id: case.patient_id for case in cases})
    positions = {case.case_id: case.position for case in places}
    with st.expander(TEXTS.review.measures):
        st.html(_readers(measures))
    for one in measures.agreements:
        with st.expander(
            escaped(TEXTS.review.agreement(one.first, one.second, one.stage), "markdown")
        ):
            st.html(_agreement(one, positions))


def _readers(measures: ReviewMeasures) -> Markup:
    parts: list[Markup] = []
    for reader in (measures.everyone, *measures.readers):
        parts.append(tag("p", reader.reader or TEXTS.review.everyone, class_="rr-label"))
        parts += [tag("p", line, class_="rr-quiet") for line in TEXTS.review.measures_of(reader)]
    return join(*parts)


def _findings_text(names: Sequence[str]) -> str:
    named = ", ".join(finding_text(Finding.parse(name)) for name in names)
    return named or TEXTS.words.no_finding


def _agreement(one: Agreement, positions: dict[str, int]) -> Markup:
    texts = TEXTS.review
    rows = [(texts.overall, one.overall)]
    rows += [(_findings_text([label]), kappa) for label, kappa in one.by_finding.items()]
    table = tag(
        "table",
        *(tag("tr", tag("th", name, scope="row"), tag("td", texts.kappa(k))) for name, k in rows),
        class_="rr-table",
    )
    shown = one.disagreements[:_MOST_DISAGREEMENTS]
    lines = [
        tag(
            "tr",
            tag("th", texts.case(positions[d.case_id]), scope="row"),
            tag("td", _findings_text(d.first)),
            tag("td", _findings_text(d.second)),
        )
        for d in shown
    ]
    more = len(one.disagreements) - len(shown)
    return join(
        tag("p", texts.both_read(one.n_cases), class_="rr-quiet"),
        table,
        tag("p", texts.disagreements(len(one.disagreements)), class_="rr-label"),
        tag(
            "table",
            tag("tr", tag("td"), tag("th", one.first), tag("th", one.second)),
            *lines,
            class_="rr-table",
        )
        if lines
        else None,
        tag("p", texts.and_more(more), class_="rr-quiet") if more else None,
    )


def _shortlist(
    session: LibrarySession,
    review: ReviewSession,
    places: Sequence[ReviewCase],
    readings: Sequence[Reading],
    visible: frozenset[str],
    reader: str,
) -> None:
    """List the cases that this reader marked; of finished ones also those that others marked.

    The shortlist can become a session of its own.
    """
    texts = TEXTS.review
    shown = [one for one in readings if one.reader == reader or one.case_id in visible]
    for mark in Mark:
        ids = {one.case_id for one in shown if mark in one.marks}
        chosen = [case for case in places if case.case_id in ids]
        if not chosen:
            continue
        st.html(tag("p", texts.marked(texts.marks[mark], len(chosen)), class_="rr-label"))
        with st.container(horizontal=True, gap="small"):
            for case in chosen:
                st.button(
                    escaped(texts.case(case.position), "markdown"),
                    key=f"r-{mark.value}-{case.position}",
                    on_click=go_to,
                    args=(case.position,),
                )
            if mark is Mark.SHORTLIST:
                st.button(
                    TEXTS.review.session_of_shortlist,
                    key="r-from-shortlist",
                    on_click=_from_shortlist,
                    args=(session, review, chosen, reader),
                )


def _from_shortlist(
    session: LibrarySession, review: ReviewSession, cases: list[ReviewCase], reader: str
) -> None:
    def make(_: str) -> None:
        name = TEXTS.review.shortlist_of(review.name)[:200]
        record(session.library, ReviewAction.REVIEW, actor=reader, cases=[c.case_id for c in cases])
        made = ReviewStore(session.library).create(name, reader, cases)
        enter_review(made.link)

    _try(make, review.link)


def _exports(
    session: LibrarySession, review: ReviewSession, visible: frozenset[str], reader: str
) -> None:
    texts = TEXTS.review
    st.html(tag("p", texts.exports(len(visible)), class_="rr-label"))
    with_reports = st.checkbox(
        TEXTS.review.with_reports, help=TEXTS.review.with_reports_help, key="r-reports"
    )
    with st.container(key="review-exports", horizontal=True, gap="small"):
        for kind in ExportKind:
            name = f"{kind.value}-{review.link}-{with_reports}"
            st.button(
                escaped(texts.export_kinds[kind], "markdown"),
                key=f"r-export-{kind.value}",
                on_click=_make,
                args=(session, review, visible, reader, kind, with_reports, name),
            )
    made = st.session_state.get("review_export")
    if made is None or review.link not in made[0]:
        return
    _, file_name, content, kind, n_left_out = made
    if n_left_out:
        st.html(tag("p", texts.left_out(n_left_out), class_="rr-quiet"))
    st.download_button(
        escaped(texts.download(file_name), "markdown"),
        content,
        file_name,
        _TYPES[kind],
        on_click="ignore",  # a rerun could take the bytes away before they are fetched
        type="primary",
        key="r-download",
    )


def _make(
    session: LibrarySession,
    review: ReviewSession,
    visible: frozenset[str],
    reader: str,
    kind: ExportKind,
    with_reports: bool,
    name: str,
) -> None:
    """Make an export, which the next run offers for download."""

    def picture(case: Case) -> Image.Image | None:
        try:
            return rendered(session.scan(case))
        except ScanError:
            return None

    def make(link: str) -> None:
        record(
            session.library,
            ReviewAction.EXPORT,
            actor=reader,
            cases=sorted(visible),
            details={"as": kind.value},
        )
        document = gather(session.library, link, visible, with_reports=with_reports)
        with ScanReader(workers=1) as headers:
            done = export(session.library, document, kind, picture, headers)
        file_name, content = packed(done)
        st.session_state["review_export"] = (name, file_name, content, kind, len(done.left_out))

    st.session_state.pop("review_export", None)
    _try(make, review.link)
