"""Every text of the reading room, in one catalog.

Each part of the page has a dataclass with one field a text, and :class:`Texts` holds the parts.
:data:`ENGLISH` fills them in. A second language is a second :class:`Texts` beside it: mypy lists
what it lacks. A text with numbers or names in it is a function, because word order and plural
forms differ between languages. States (status of a finding, novelty, window preset) come in as
enums or literals and are looked up here; no text is ever read back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from apps.case_lookup.query_texts import ENGLISH_QUERY, QueryTexts
from apps.case_lookup.viewer_texts import ENGLISH_VIEWER
from apps.review.exports import ExportKind
from apps.viewer import ViewerTexts
from evaluation.reader_study import Stage
from medembed.explain import Relation
from medembed.index import SearchNote, SearchNoteKind
from medembed.lookup.conformal import ALPHA
from medembed.lookup.messages import NoveltyReason
from medembed.lookup.score_worth import WorthReason
from medembed.reviews import Mark, ReadingState

__all__ = ["ENGLISH", "TEXTS", "Texts"]


@dataclass(frozen=True)
class WelcomeTexts:
    """The page before anything was searched for."""

    title: str
    introduction: Callable[[int], str]  # number of cases
    examples: str
    not_ready: str
    no_cases: str
    no_cases_hint: str


@dataclass(frozen=True)
class SidebarTexts:
    """The query and the filters."""

    library: Callable[[str, int], str]  # its name, number of cases
    image: str
    image_help: str
    reading_image: str
    unusable_files: Callable[[int, str], str]  # number of files, the reason
    text: str
    text_placeholder: str
    similar_to: Callable[[str], str]  # case id
    image_weight: str
    percent_format: str  # printf, for the slider
    search: str
    clear: str
    modality: str
    view: str
    sex: str
    findings: str
    any_value: str
    age: str
    more_filters: str
    date_from: str
    date_to: str
    site: str
    n_results: str
    clear_filters: str
    disclaimer: str


@dataclass(frozen=True)
class ResultTexts:
    """The ranked cases and the lines above them."""

    searching: str
    loading_model: str
    changed: str
    search_again: str
    no_filter: str
    filters: str
    ranked: Callable[[int, int], str]  # shown, matching
    approximate: Callable[[float | None], str]  # share of the nearest cases found, if measured
    patient_excluded: str
    seconds: Callable[[float], str]
    in_library: str
    also_in_library: str
    read_as: str
    read_as_nothing: str
    term: Callable[[str], str]  # what the text was read as
    ignore_term: str
    use_all_terms: str
    out_of_depth: str
    case: Callable[[str], str]  # case id
    novel: str
    novel_detail: Callable[[float], str]  # p-value
    novelty_reasons: Mapping[NoveltyReason, str]
    notes: Mapping[SearchNoteKind, Callable[[SearchNote], str]]
    query: str
    query_image: str
    query_alt: Callable[[str], str]  # what the image is
    weights: Callable[[int, int], str]  # percent of image and text
    open_case: Callable[[int], str]  # rank
    no_report: str
    image_missing: str
    score_help: str
    percentile: Callable[[str], str]  # share of the archive's scores that are lower
    worth_reasons: Mapping[WorthReason, str]
    worth_unknown: Callable[[str], str]  # the reason
    shared: Callable[[str], str]
    conflicts: Callable[[str], str]
    relations: Mapping[Relation, Callable[[str, str], str]]  # the hit's finding, the query's side
    report_words: Callable[[str], str]
    part_scores: Callable[[Mapping[str, float]], str]  # cosine by part of the query
    no_vectors: str
    no_vectors_hint: str
    no_match: str
    and_: str
    without: Callable[[str, int], str]  # the filter, cases that would match
    remove_more: str


@dataclass(frozen=True)
class CaseTexts:
    """The page of one case."""

    to_search: str
    to_results: str
    not_found: str
    not_found_hint: str
    find_similar: str
    previous_hit: str
    next_hit: str
    hit_of: Callable[[int, int], str]  # rank, number of hits
    this_case: str
    findings: str
    uncertain: Callable[[str], str]  # the findings
    absent: Callable[[str], str]
    report: str
    no_report: str
    other_studies: str
    study: str
    case: str
    patient: str
    date: str
    date_shifted: Callable[[str], str]
    site: str
    scanner: str
    n_images: str
    image_moved: str
    image_replaced: str


@dataclass(frozen=True)
class WordTexts:
    """Words for the values of a case and for conditions."""

    years: Callable[[int], str]
    unknown_age: str
    unknown_sex: str
    unknown_age_and_sex: str
    sexes: Mapping[str, str]
    unknown_modality: str
    no_date: str
    no_finding: str
    finding: Callable[[str, str], str]  # label, side ("" without)
    statuses: Mapping[str, str]
    fields: Mapping[str, str]  # of conditions
    one_of: Callable[[Sequence[str]], str]
    at_least_age: Callable[[float], str]
    at_most_age: Callable[[float], str]
    from_date: Callable[[str], str]
    until_date: Callable[[str], str]


@dataclass(frozen=True)
class FaultTexts:
    """Errors outside of a search."""

    internal: Callable[[str], str]  # kind and place
    no_library: str
    no_library_hint: str
    lost: str
    lost_hint: str


@dataclass(frozen=True)
class SignedInTexts:
    """Who is at the page; the pages around the sign-in have theirs in ``apps/access/texts.py``."""

    as_person: Callable[[str], str]  # name
    sign_out: str


@dataclass(frozen=True)
class ReviewTexts:
    """Review sessions."""

    # making one
    offer: str
    offer_help: str
    name: str
    name_help: str
    your_name: str
    your_name_help: str
    which_cases: str
    result: Callable[[int], str]  # rank
    shuffle: str
    shuffle_help: str
    make: str
    sessions: str
    session: Callable[[str, int], str]  # its name, number of cases
    # around a session
    not_allowed: str
    not_allowed_hint: str
    not_found: str
    not_found_hint: str
    no_cases: str
    no_cases_hint: str
    leave: str
    to_overview: str
    begin: str
    by: Callable[[str], str]  # who made it
    read_by: Callable[[str], str]  # the reader
    share: str
    settings: str
    close: str
    close_help: str
    reopen: str
    closed: str
    closed_hint: str
    progress: Callable[[int, int], str]  # finished, of how many
    go_on_with: Callable[[int], str]  # position
    cases: str
    states: Mapping[ReadingState, str]
    # one case
    case: Callable[[int], str]  # position
    case_of: Callable[[int, int], str]  # number from 1, of how many
    previous: str
    next: str
    pause: str
    paused: str
    paused_hint: str
    go_on: str
    blind: str
    first: str
    final: str
    impression_placeholder: str
    findings: str
    findings_placeholder: str
    kept: str
    reveal: str
    reveal_help: str
    revised: str
    unchanged: str
    finish: str
    next_case: str
    all_done: str
    came_by: Callable[[str], str]  # the query
    marks: Mapping[Mark, str]
    # what came out
    nothing_visible: str
    measures: str
    everyone: str
    agreement: Callable[[str, str, Stage], str]  # the readers, which impressions
    both_read: Callable[[int], str]
    overall: str
    disagreements: Callable[[int], str]
    and_more: Callable[[int], str]
    marked: Callable[[str, int], str]  # the mark, number of cases
    session_of_shortlist: str
    shortlist_of: Callable[[str], str]  # name of the session
    exports: Callable[[int], str]  # number of cases
    with_reports: str
    with_reports_help: str
    export_kinds: Mapping[ExportKind, str]
    download: Callable[[str], str]  # name of the file
    left_out: Callable[[int], str]


@dataclass(frozen=True)
class Texts:
    """All texts in one language."""

    welcome: WelcomeTexts
    sidebar: SidebarTexts
    results: ResultTexts
    query: QueryTexts
    case: CaseTexts
    viewer: ViewerTexts
    words: WordTexts
    signed_in: SignedInTexts
    faults: FaultTexts
    review: ReviewTexts


def _cases(n: int) -> str:
    return f"{n:,} {'case' if n == 1 else 'cases'}"


def _ranked(shown: int, matching: int) -> str:
    if shown < matching:
        return f"Top {shown} of {_cases(matching)}"
    return "1 matching case" if shown == 1 else f"All {shown} matching cases, closest first"


def _approximate(share: float | None) -> str:
    if share is None:
        return "Approximate: a close case may be missing"
    return f"Approximate: finds about {math.floor(100 * share)}% of the closest cases"


ENGLISH = Texts(
    welcome=WelcomeTexts(
        title="Find the most similar past cases",
        introduction=lambda n: (
            f"Drop an image on this page, describe what you see, or do both. The closest of the "
            f"library's {_cases(n)} appear here with image, report and score."
        ),
        examples="Examples",
        not_ready="Search is not ready",
        no_cases="This library has no cases yet",
        no_cases_hint="Add cases with medembed ingest.",
    ),
    sidebar=SidebarTexts(
        library=lambda name, n: f"{name} · {_cases(n)}",
        image="Image or series",
        image_help="Drop a DICOM, PNG, JPEG or NIfTI file anywhere on the page, or all files of "
        "one series.",
        reading_image="Reading the image",
        unusable_files=lambda n, reason: (
            f"Cannot use {'this file' if n == 1 else 'these files'}: {reason}."
        ),
        text="Findings or report text",
        text_placeholder="right effusion, basal atelectasis",
        similar_to=lambda case_id: f"Similar to case {case_id}",
        image_weight="Image weight",
        percent_format="%d%%",
        search="Search",
        clear="Clear",
        modality="Modality",
        view="View",
        sex="Sex",
        findings="Required findings",
        any_value="Any",
        age="Age (years)",
        more_filters="Date, site, number of results",
        date_from="From",
        date_to="To",
        site="Site",
        n_results="Results to show",
        clear_filters="Clear filters",
        disclaimer="For research and teaching. Not a medical device; not for diagnosis.",
    ),
    results=ResultTexts(
        searching="Searching",
        loading_model="Loading the model (only after a restart)",
        changed="The query or the filters have changed.",
        search_again="Search again",
        no_filter="No filters",
        filters="Filters:",
        ranked=_ranked,
        approximate=_approximate,
        patient_excluded="same patient excluded",
        seconds=lambda s: f"{s:.2f} s",
        in_library="This image is already in the library (not listed below):",
        read_as="Read as",
        read_as_nothing="Compared by similarity only",
        term=lambda name: f"{name.replace(':', ', ')} ×",
        ignore_term="Leave this out",
        use_all_terms="Use all words",
        out_of_depth=(
            "This text names nothing known here and is unlike this library's reports. "
            "Do not rely on these cases."
        ),
        also_in_library="The library also holds this image as:",
        case=lambda case_id: f"Case {case_id}",
        novel="Nothing like this in the library.",
        novel_detail=lambda p_value: (
            f"Only {p_value:.1%} of the library's own cases are at least as unusual "
            f"({ALPHA:.0%} of them would get this message). "
            "The cases below are the closest available."
        ),
        novelty_reasons={
            NoveltyReason.NONE: "Novelty was not checked.",
            NoveltyReason.NOT_CALIBRATED: "No novelty check: the library is not calibrated yet.",
            NoveltyReason.FEW_CASES: "No novelty check: too few patients in the library.",
            NoveltyReason.NO_WORDS: "No novelty check: the text has no words to look up.",
            NoveltyReason.UNREADABLE: (
                "No novelty check: the image is new, or could not be read at the last calibration."
            ),
            NoveltyReason.VECTOR: "No novelty check for a vector.",
            NoveltyReason.MARKS: "No novelty check for marked cases alone.",
            NoveltyReason.NO_OTHER_PATIENTS: (
                "No novelty check: no other patients to compare with."
            ),
        },
        notes=dict.fromkeys(SearchNoteKind, str),  # in English, medembed has the texts
        query="Query",
        query_image="Your image",
        query_alt=lambda image: f"Query: {image}",
        weights=lambda image, text: f"Image {image}%, text {text}%",
        open_case=lambda rank: f"Open case {rank}",
        no_report="No report",
        image_missing="Image missing",
        score_help="Similarity and, for a short text, agreement with it; 1 is the most",
        percentile=lambda share: f"Higher than {share} of the archive's scores for such queries",
        worth_reasons={
            WorthReason.NONE: "",
            WorthReason.NOT_MEASURED: "not measured in this library yet",
            WorthReason.OTHER_KIND: "not measured for this kind of query",
            WorthReason.FEW_PATIENTS: "too few held-out patients to measure it",
            WorthReason.NO_FINDING: "the query states no finding",
            WorthReason.FILTERED: "the filter on findings decides what the hits share",
            WorthReason.UNLIKE: "the query is unlike the library",
            WorthReason.BELOW: "no measured hit scored so low",
        },
        worth_unknown=lambda why: f"What such a score is worth cannot be told: {why}",
        shared=lambda findings: f"Shared: {findings}",
        conflicts=lambda findings: f"Differs: {findings}",
        relations={
            Relation.SHARED: lambda finding, _: finding,
            Relation.SIDE_NOT_STATED: lambda finding, _: f"{finding} (side not stated)",
            Relation.BOTH_RULE_OUT: lambda finding, _: f"no {finding}",
            Relation.OTHER_SIDE: lambda finding, side: f"{finding}, not {side}",
            Relation.RULED_OUT_BY_HIT: lambda finding, _: f"its report rules out {finding}",
            Relation.RULED_OUT_BY_QUERY: lambda finding, _: f"{finding} present",
        },
        report_words=lambda words: f"Words in the report: {words}",
        part_scores=lambda scores: (
            "Score by part: " + ", ".join(f"{part} {s:.2f}" for part, s in scores.items())
        ),
        no_vectors="No cases to compare with",
        no_vectors_hint="Embed the library's cases with medembed embed.",
        no_match="No case matches all filters",
        and_=" and ",
        without=lambda condition, n: f"Remove “{condition}” ({_cases(n)})",
        remove_more="Removing one filter is not enough. Remove two or more.",
    ),
    query=ENGLISH_QUERY,
    case=CaseTexts(
        to_search="Back to search",
        to_results="Back to results",
        not_found="Case not found",
        not_found_hint="Check the link. The case may have been erased.",
        find_similar="Find similar cases",
        previous_hit="Previous hit",
        next_hit="Next hit",
        hit_of=lambda rank, n: f"Hit {rank} of {n}",
        this_case="This case",
        findings="Findings",
        uncertain=lambda findings: f"Uncertain: {findings}",
        absent=lambda findings: f"Absent: {findings}",
        report="Report",
        no_report="This case has no report.",
        other_studies="Other studies of this patient",
        study="Study",
        case="Case",
        patient="Patient",
        date="Date",
        date_shifted=lambda date: f"{date} (shifted; intervals preserved)",
        site="Site",
        scanner="Scanner",
        n_images="Images",
        image_moved="the image file has been moved or deleted since the case was added",
        image_replaced="the image file was replaced after the case was added",
    ),
    viewer=ENGLISH_VIEWER,
    words=WordTexts(
        years=lambda age: f"{age} y",
        unknown_age="age unknown",
        unknown_sex="sex unknown",
        unknown_age_and_sex="age and sex unknown",
        sexes={"F": "F", "M": "M", "O": "other"},
        unknown_modality="modality unknown",
        no_date="no date",
        no_finding="No finding recorded",
        finding=lambda label, side: f"{side} {label}".strip(),
        statuses={
            "present": "present",
            "absent": "absent",
            "uncertain": "uncertain",
            "historical": "previous",
        },
        fields={
            "modality": "modality",
            "view": "view",
            "sex": "sex",
            "site": "site",
        },
        one_of=" or ".join,
        at_least_age=lambda age: f"age ≥ {age:.0f}",
        at_most_age=lambda age: f"age ≤ {age:.0f}",
        from_date=lambda date: f"from {date}",
        until_date=lambda date: f"through {date}",
    ),
    signed_in=SignedInTexts(
        as_person=lambda name: f"Signed in as {name}.",
        sign_out="Sign out",
    ),
    faults=FaultTexts(
        internal=lambda place: f"Internal error ({place}). Reload the page to continue.",
        no_library="no library was given",
        no_library_hint="start with: medembed app LIBRARY",
        lost="No connection to the reading room",
        lost_hint="It has stopped, or this machine was asleep. If the page does not return, start "
        "the reading room again (medembed app LIBRARY) and reload this page.",
    ),
    review=ReviewTexts(
        offer="Start a review session with these cases",
        offer_help="Readers see each case blind first: images only, until they have written an "
        "impression. You have seen these results, so ask colleagues to read.",
        name="Name of the session",
        name_help="Never the name of a patient.",
        your_name="Your name or initials",
        your_name_help="Impressions are kept by reader. Use the same name in every browser.",
        which_cases="Cases",
        result=lambda rank: f"Result {rank}",
        shuffle="Random order",
        shuffle_help="So that the order says nothing of the scores.",
        make="Start session",
        sessions="Review sessions",
        session=lambda name, n: f"{name} ({_cases(n)})",
        not_allowed="Your account may not read in review sessions",
        not_allowed_hint="Ask the administrator for the role reviewer.",
        not_found="Review session not found",
        not_found_hint="Check the link.",
        no_cases="This session has no case to show",
        no_cases_hint="Its cases may have been erased.",
        leave="Back to search",
        to_overview="Overview",
        begin="Begin",
        by=lambda name: f"by {name}",
        read_by=lambda name: f"Reader {name}",
        share="Link to share",
        settings="Settings",
        close="Close the session",
        close_help="No more readings. Everyone with the link sees all that was written.",
        reopen="Reopen the session",
        closed="This session is closed",
        closed_hint="Ask its creator to reopen it.",
        progress=lambda done, n: f"Finished {done} of {_cases(n)}",
        go_on_with=lambda position: f"Continue with case {position}",
        cases="Cases",
        states={
            ReadingState.OPENED: "opened",
            ReadingState.IMPRESSION: "first impression",
            ReadingState.REVEALED: "revealed",
            ReadingState.FINISHED: "finished",
        },
        case=lambda position: f"Case {position}",
        case_of=lambda number, n: f"Case {number} of {n}",
        previous="Previous",
        next="Next",
        pause="Pause",
        paused="Paused",
        paused_hint="The case is covered, and its time does not count.",
        go_on="Continue",
        blind="Report, findings and diagnosis are covered until you have written your impression.",
        first="First impression",
        final="Final impression",
        impression_placeholder="Write or dictate",
        findings="Findings",
        findings_placeholder="Choose findings, or “no finding”",
        kept="Saved. You can change it until the reveal.",
        reveal="Reveal",
        reveal_help="Shows report and findings. Your first impression stays as it is from then on.",
        revised="revised",
        unchanged="unchanged",
        finish="Finish case",
        next_case="Next case",
        all_done="Overview",
        came_by=lambda query: f"In this session by {query}",
        marks={Mark.SHORTLIST: "Tumor board shortlist", Mark.TEACHING: "Teaching file"},
        nothing_visible="Agreement, marked cases and exports appear here once you have finished a "
        "case, so that nobody reads a case after seeing what others wrote.",
        measures="Revisions and times",
        everyone="All readers",
        agreement=lambda one, other, stage: (
            f"{one} and {other}: "
            f"{'first impressions' if stage is Stage.FIRST else 'final impressions'}"
        ),
        both_read=lambda n: f"{_cases(n)} read by both",
        overall="All findings",
        disagreements=lambda n: f"Disagreements ({n})" if n else "No disagreement",
        and_more=lambda n: f"and {n} more in the CSV",
        marked=lambda mark, n: f"{mark}: {_cases(n)}",
        session_of_shortlist="Make a session of the shortlist",
        shortlist_of=lambda name: f"{name}: shortlist",
        exports=lambda n: f"Export {_cases(n)}",
        with_reports="With reports",
        with_reports_help="Reports may name the patient.",
        export_kinds={
            ExportKind.PDF: "PDF",
            ExportKind.CSV: "CSV",
            ExportKind.SR: "DICOM SR",
            ExportKind.KO: "DICOM key objects",
            ExportKind.TEACHING: "Teaching file",
        },
        download=lambda name: f"Download {name}",
        left_out=lambda n: f"Left out, since they have no DICOM image: {_cases(n)}",
    ),
)

TEXTS = ENGLISH
"""The language of the page."""
