"""The hits, patient by patient: a card each, and what belongs to it beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from apps.case_lookup.asking import less_like, more_like, open_case
from apps.case_lookup.finding_chips import case_chips
from apps.case_lookup.formatting import (
    date_text,
    evidence_text,
    excerpt,
    modality_text,
    patient_text,
)
from apps.case_lookup.html import Markup, escaped, tag
from apps.case_lookup.own_cases import study_text
from apps.case_lookup.rendering import data_uri
from apps.case_lookup.texts import TEXTS
from medembed.cases import Case
from medembed.errors import ScanError

if TYPE_CHECKING:
    from apps.case_lookup.session import LibrarySession
    from medembed.lookup import LookupHit, Result
    from medembed.lookup.hit_groups import PatientHits
    from medembed.lookup.score_worth import ScoreBasis

__all__ = ["show_hits"]

_MOST_BESIDE = 3


def show_hits(session: LibrarySession, result: Result) -> None:
    """Draw the hits in the order of each patient's best."""
    hits = {hit.case_id: hit for hit in result.hits}
    beside = session.select(_beside(result))
    with st.container(key="hits"):
        for position, patient in enumerate(result.patients):
            several = "several-" if len(patient.hits) > 1 else ""
            with st.container(key=f"patient-{several}{position}", gap="small"):
                for case_id in patient.hits:
                    _show_hit(session, hits[case_id], result.score_basis, beside)
                _show_studies(patient, position, beside)


def _beside(result: Result) -> list[str]:
    """List the cases that are named beside the hits."""
    named: list[str] = []
    for patient in result.patients:
        named += [*patient.others[:_MOST_BESIDE], *[*patient.priors][:_MOST_BESIDE]]
    for hit in result.hits:
        named += hit.same_image[:_MOST_BESIDE]
    return named


def _show_hit(
    session: LibrarySession, hit: LookupHit, basis: ScoreBasis, beside: Mapping[str, Case]
) -> None:
    texts = TEXTS.query
    with st.container(key=f"hit-{hit.rank}", gap=None):
        st.html(_card(session, hit, basis))
        st.button(
            escaped(TEXTS.results.open_case(hit.rank), "markdown"),
            key=f"open-{hit.rank}",
            on_click=open_case,
            args=(hit.case_id,),
        )
        with st.container(
            key=f"marks-{hit.rank}", horizontal=True, vertical_alignment="center", gap="small"
        ):
            st.button(
                TEXTS.query.more_like,
                key=f"more-{hit.rank}",
                icon=":material/add:",
                type="tertiary",
                help=escaped(texts.more_like_help(hit.rank), "markdown"),
                on_click=more_like,
                args=(hit.case_id,),
            )
            st.button(
                TEXTS.query.less_like,
                key=f"less-{hit.rank}",
                icon=":material/remove:",
                type="tertiary",
                help=escaped(texts.less_like_help(hit.rank), "markdown"),
                on_click=less_like,
                args=(hit.case_id,),
            )
            same = [name for name in hit.same_image[:_MOST_BESIDE] if name in beside]
            if same:
                st.html(tag("p", texts.same_image(len(hit.same_image)), class_="rr-quiet"))
            for position, name in enumerate(same):
                st.button(
                    escaped(TEXTS.results.case(name), "markdown"),
                    key=f"same-{hit.rank}-{position}",
                    type="tertiary",
                    on_click=open_case,
                    args=(name,),
                )


def _show_studies(patient: PatientHits, number: int, beside: Mapping[str, Case]) -> None:
    """List the patient's studies that are no hits: earlier ones with the days between."""
    texts = TEXTS.query
    priors = [name for name in patient.priors if name not in patient.hits]
    others = [name for name in patient.others if name not in priors]
    _studies(
        f"priors-{number}",
        texts.earlier_studies(len(priors)),
        {
            name: f"{texts.before(patient.priors[name])} · {study_text(beside[name])}"
            for name in priors[:_MOST_BESIDE]
            if name in beside
        },
    )
    _studies(
        f"others-{number}",
        texts.other_studies(len(others)),
        {name: study_text(beside[name]) for name in others[:_MOST_BESIDE] if name in beside},
    )


def _studies(key: str, heading: str, shown: Mapping[str, str]) -> None:
    if not shown:
        return
    with st.container(key=key, horizontal=True, vertical_alignment="center", gap="small"):
        st.html(tag("p", heading, class_="rr-quiet"))
        for position, (name, text) in enumerate(shown.items()):
            st.button(
                escaped(text, "markdown"),
                key=f"{key}-{position}",
                type="tertiary",
                on_click=open_case,
                args=(name,),
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
        tag("div", line, _score(hit), class_="rr-top"),
        tag("div", case_chips(case), class_="rr-chips"),
        tag("p", excerpt(case.note) or TEXTS.results.no_report, class_="rr-text"),
        tag("p", evidence, class_="rr-why") if evidence else None,
        *(tag("p", line, class_="rr-why rr-quiet") for line in _meaning(hit, basis)),
        class_="rr-body",
    )
    return tag(
        "article", tag("div", _thumbnail(session, case), class_="rr-thumb"), body, class_="rr-hit"
    )


def _meaning(hit: LookupHit, basis: ScoreBasis) -> Sequence[str]:
    """Say what the score means; what holds for all hits alike is said above them."""
    lines = []
    if hit.percentile is not None:
        lines.append(TEXTS.results.percentile(hit.percentile))
    worth = hit.worth
    if worth.share is not None and worth.low is not None and worth.high is not None:
        lines.append(TEXTS.query.in_ten(worth.share, worth.low, worth.high))
    elif worth.reason and not basis.reason:
        reason = TEXTS.results.worth_reasons[worth.reason]
        lines.append(TEXTS.results.worth_unknown(reason))
    return lines


def _score(hit: LookupHit) -> Markup:
    """Show the percentile as a bar; the bare similarity means nothing by itself."""
    bar = None
    if hit.percentile is not None:
        width = f"width:{min(max(hit.percentile, 0.0), 100.0):.0f}%"
        bar = tag("span", tag("i", style=width), class_="rr-bar")
    return tag(
        "span",
        bar,
        tag("b", TEXTS.results.score(hit.score)),
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
