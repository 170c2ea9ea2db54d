"""One case under review: blind, then revealed, then finished.

Blind means that report, findings, diagnoses, scores and other studies are not sent to the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.faults import errors_on_one_line
from apps.case_lookup.formatting import (
    chips,
    finding_text,
    marked_note,
    modality_text,
    patient_text,
)
from apps.case_lookup.html import Markup, escaped, join, notice, tag
from apps.case_lookup.review_address import go_to, note_error
from apps.case_lookup.review_images import show_images
from apps.case_lookup.texts import TEXTS
from apps.review.document import visible_cases
from apps.review.journaling import ReviewAction, record
from medembed.cases import FINDINGS, NO_FINDING, SIDED_FINDINGS, Case, Finding
from medembed.errors import LibraryBusyError, MedEmbedError
from medembed.reviews import (
    NO_FINDING_LABEL,
    Impression,
    Mark,
    Reading,
    ReadingState,
    ReviewCase,
    ReviewSession,
    ReviewStore,
    SessionState,
)

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession

__all__ = ["show_review_case"]

_BEAT_SECONDS = 10


def show_review_case(
    session: LibrarySession,
    store: ReviewStore,
    review: ReviewSession,
    places: Sequence[ReviewCase],
    place: ReviewCase,
    reader: str,
) -> None:
    """Draw a case for its reader, as far as this reader has come.

    Parameters
    ----------
    session : LibrarySession
    store : ReviewStore
    review : ReviewSession
    places : sequence of ReviewCase
        The cases that this reader may see.
    place : ReviewCase
        The one to draw.
    reader : str
    """
    key = f"{review.link}-{place.position}"
    case = session.library.case(place.case_id)
    _bar(store, review, places, place, reader)
    if st.session_state.get(f"paused-{key}"):
        st.html(notice(TEXTS.review.paused, TEXTS.review.paused_hint))
        st.button(TEXTS.review.go_on, type="primary", on_click=_set_paused, args=(key, False))
        return
    reading = store.open_case(review.link, place.case_id, reader)
    if not reading.is_finished and review.state is SessionState.OPEN:
        st.session_state["review_opened"] = True
        _beat(store, review.link, place.case_id, reader)
    image, form = st.columns([1.45, 1], gap="medium")
    with image:
        show_images(session, case)
    with form, st.container(key="review-form"):
        st.html(tag("p", f"{patient_text(case)} · {modality_text(case)}", class_="rr-quiet"))
        steps = _Steps(session, store, review, place, reader, key)
        if review.state is SessionState.CLOSED and not reading.is_finished:
            st.html(notice(TEXTS.review.closed, TEXTS.review.closed_hint))
        elif reading.state.is_blind:
            _blind(steps, reading)
        else:
            _revealed(steps, reading, case)
        if reading.is_finished:
            _next(store, review, places, place, reader)


@st.fragment(run_every=_BEAT_SECONDS)
def _beat(store: ReviewStore, link: str, case_id: str, reader: str) -> None:
    """Count the time while the page is open; the time of a closed page is not counted."""
    if st.session_state.pop("review_opened", False):
        return  # by this run of the whole page
    with errors_on_one_line(), suppress(LibraryBusyError):  # the next beat counts this time, too
        store.open_case(link, case_id, reader)


def _bar(
    store: ReviewStore,
    review: ReviewSession,
    places: Sequence[ReviewCase],
    place: ReviewCase,
    reader: str,
) -> None:
    texts = TEXTS.review
    order = [case.position for case in places]
    at = order.index(place.position)
    key = f"{review.link}-{place.position}"
    with st.container(key="review-bar", horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            TEXTS.review.to_overview,
            icon=":material/list:",
            on_click=go_to,
            args=(None,),
            key="r-overview",
        )
        st.html(
            tag(
                "div",
                tag("strong", review.name),
                tag("span", texts.case_of(at + 1, len(order))),
                tag("span", texts.read_by(reader), class_="rr-quiet"),
                class_="rr-line",
            )
        )
        for label, step in ((texts.previous, -1), (texts.next, 1)):
            to = at + step
            inside = 0 <= to < len(order)
            st.button(
                escaped(label, "markdown"),
                on_click=go_to,
                args=(order[to] if inside else None,),
                disabled=not inside,
                key=f"r-step-{step}",
            )
        if not st.session_state.get(f"paused-{key}"):
            st.button(
                TEXTS.review.pause,
                icon=":material/pause:",
                on_click=_pause,
                args=(store, review.link, place.case_id, reader, key),
                key="r-pause",
            )


def _pause(store: ReviewStore, link: str, case_id: str, reader: str, key: str) -> None:
    _attempt(lambda: store.pause(link, case_id, reader))
    _set_paused(key, True)


def _set_paused(key: str, on: bool) -> None:
    st.session_state[f"paused-{key}"] = on


def _attempt(step: Callable[[], object]) -> bool:
    """Do a step of a callback; an error is shown by the run that follows."""
    try:
        step()
    except MedEmbedError as error:
        note_error(error)
        return False
    return True


class _Steps:
    """The widgets' callbacks for one reader and case: each is in the library when it returns."""

    def __init__(
        self,
        session: LibrarySession,
        store: ReviewStore,
        review: ReviewSession,
        place: ReviewCase,
        reader: str,
        key: str,
    ) -> None:
        self.session, self.store, self.review = session, store, review
        self.place, self.reader, self.key = place, reader, key

    @property
    def of_case(self) -> tuple[str, str, str]:
        return self.review.link, self.place.case_id, self.reader

    def typed(self, part: str) -> Impression:
        """What the widgets of one part hold now."""
        state = st.session_state
        return Impression(
            state.get(f"{part}-text-{self.key}") or "",
            tuple(state.get(f"{part}-findings-{self.key}") or ()),
        )

    def keep_first(self) -> None:
        """Keep the first impression whenever its widgets change."""
        _attempt(self._keep_first)

    def _keep_first(self) -> None:
        typed = self.typed("first")
        if not typed.is_empty:
            self.store.write_impression(*self.of_case, typed)

    def reveal(self) -> None:
        """Keep the first impression for good, and show the report."""
        _attempt(self._reveal)

    def _reveal(self) -> None:
        self.store.write_impression(*self.of_case, self.typed("first"))
        record(
            self.session.library,
            ReviewAction.REVEAL,
            actor=self.reader,
            cases=[self.place.case_id],
        )
        self.store.reveal(*self.of_case)

    def keep_final(self) -> None:
        """Keep the final impression whenever its widgets change."""
        _attempt(self._keep_final)

    def _keep_final(self) -> None:
        typed = self.typed("final")
        if not typed.is_empty:
            self.store.revise(*self.of_case, typed)

    def finish(self) -> None:
        """Keep the final impression for good."""
        _attempt(self._finish)

    def _finish(self) -> None:
        self.store.revise(*self.of_case, self.typed("final"))
        record(
            self.session.library,
            ReviewAction.REVIEW,
            actor=self.reader,
            cases=[self.place.case_id],
        )
        self.store.finish(*self.of_case)

    def mark(self, mark: Mark) -> None:
        """Put the case on a list, or take it off, as the checkbox says."""
        on = bool(st.session_state.get(f"mark-{mark.value}-{self.key}"))
        _attempt(lambda: self.store.mark(*self.of_case, mark, on))


def _blind(steps: _Steps, reading: Reading) -> None:
    texts = TEXTS.review
    st.html(tag("p", texts.blind, class_="rr-quiet", role="status"))
    _inputs(steps, "first", reading.impression, steps.keep_first, texts.first)
    st.button(
        TEXTS.review.reveal,
        type="primary",
        on_click=steps.reveal,
        key="r-reveal",
        help=TEXTS.review.reveal_help,
    )
    if reading.state is ReadingState.IMPRESSION:
        st.html(tag("p", texts.kept, class_="rr-quiet", role="status"))
    _marks(steps, reading)


def _inputs(
    steps: _Steps,
    part: str,
    known: Impression | None,
    keep: Callable[[], None],
    label: str,
) -> None:
    state = st.session_state
    text_key, findings_key = f"{part}-text-{steps.key}", f"{part}-findings-{steps.key}"
    shown = known or Impression()
    state.setdefault(text_key, shown.text)
    state.setdefault(findings_key, list(shown.findings))
    options = list(dict.fromkeys([*_choices(steps.session), *state[findings_key]]))
    st.text_area(
        escaped(label, "markdown"),
        key=text_key,
        on_change=keep,
        height=160,
        placeholder=TEXTS.review.impression_placeholder,
    )
    st.multiselect(
        TEXTS.review.findings,
        options,
        key=findings_key,
        on_change=keep,
        format_func=lambda name: escaped(finding_text(Finding.parse(name)), "text"),
        placeholder=TEXTS.review.findings_placeholder,
        select_all=False,
    )


def _choices(session: LibrarySession) -> list[str]:
    """List the findings to choose from: none, the library's, and the core findings."""
    core = [
        name
        for label in FINDINGS
        for name in (
            (label, f"{label}:right", f"{label}:left") if label in SIDED_FINDINGS else (label,)
        )
    ]
    return [NO_FINDING_LABEL, *(n for n in [*session.findings(), *core] if n not in NO_FINDING)]


def _revealed(steps: _Steps, reading: Reading, case: Case) -> None:
    texts = TEXTS.review
    st.html(join(tag("p", texts.first, class_="rr-label"), _shown(reading.impression)))
    if reading.is_finished:
        word = texts.revised if reading.is_revised else texts.unchanged
        st.html(
            join(tag("p", f"{texts.final} ({word})", class_="rr-label"), _shown(reading.revision))
        )
    else:
        known = reading.revision or reading.impression
        _inputs(steps, "final", known, steps.keep_final, texts.final)
        st.button(TEXTS.review.finish, type="primary", on_click=steps.finish, key="r-finish")
    _marks(steps, reading)
    st.html(_answer(case, steps.place))
    if reading.is_finished:
        _others(steps)


def _marks(steps: _Steps, reading: Reading) -> None:
    closed = steps.review.state is SessionState.CLOSED
    with st.container(horizontal=True, gap="medium"):
        for mark in Mark:
            key = f"mark-{mark.value}-{steps.key}"
            st.session_state.setdefault(key, mark in reading.marks)
            st.checkbox(
                escaped(TEXTS.review.marks[mark], "markdown"),
                key=key,
                on_change=steps.mark,
                args=(mark,),
                disabled=closed,
            )


def _shown(impression: Impression | None) -> Markup:
    """Show what somebody wrote: findings as chips, the text with its line breaks."""
    if impression is None:
        return tag("p", TEXTS.words.no_finding, class_="rr-quiet")
    named = [
        tag("span", finding_text(Finding.parse(name)), class_="rr-chip")
        for name in impression.findings
    ]
    return join(
        tag("div", *named, class_="rr-chips") if named else None,
        tag("p", impression.text, class_="rr-written") if impression.text else None,
    )


def _answer(case: Case, place: ReviewCase) -> Markup:
    """What was covered: recorded findings, the report, and how the case came into the session."""
    texts = TEXTS.case
    report = (
        tag("p", texts.no_report, class_="rr-quiet")
        if case.note is None
        else marked_note(case.note)
    )
    return join(
        tag("p", texts.findings, class_="rr-label"),
        tag("div", chips(case.findings), class_="rr-chips"),
        tag("p", texts.report, class_="rr-label"),
        report,
        tag("p", TEXTS.review.came_by(place.query), class_="rr-quiet") if place.query else None,
    )


def _others(steps: _Steps) -> None:
    """What other readers wrote, once this one has finished the case."""
    readings = steps.store.readings(steps.review.link)
    if steps.place.case_id not in visible_cases(steps.review, readings, steps.reader):
        return
    for reading in readings:
        if reading.case_id != steps.place.case_id or reading.reader == steps.reader:
            continue
        if reading.state.is_blind:
            continue
        final = reading.revision if reading.is_finished else reading.impression
        st.html(
            join(tag("p", TEXTS.review.read_by(reading.reader), class_="rr-label"), _shown(final))
        )


def _next(
    store: ReviewStore,
    review: ReviewSession,
    places: Sequence[ReviewCase],
    place: ReviewCase,
    reader: str,
) -> None:
    done = {r.case_id for r in store.readings(review.link, reader) if r.is_finished}
    after = [c for c in places if c.position > place.position] + list(places)
    left = next((case.position for case in after if case.case_id not in done), None)
    label = TEXTS.review.all_done if left is None else TEXTS.review.next_case
    st.button(
        escaped(label, "markdown"), type="primary", on_click=go_to, args=(left,), key="r-next"
    )
