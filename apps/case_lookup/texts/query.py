"""The texts of a query's state and of its answer as a whole, a part of the catalog."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from apps.case_lookup.archive_checks import Aspect, CheckState

__all__ = ["ENGLISH", "QueryTexts"]


@dataclass(frozen=True)
class QueryTexts:
    """The query's state, and what is said of its answer as a whole."""

    # what was asked for
    asked_for: str
    removable: Callable[[str], str]  # the line
    remove: str
    words: Callable[[str], str]
    region: str
    like: Callable[[str], str]  # case id
    unlike: Callable[[str], str]  # case id
    left_out: Callable[[str], str]  # a term, in words
    weight: Callable[[str], str]  # percent
    one_per_patient: str
    undo: str
    redo: str
    unread: str
    gone_image: str
    gone_words: str
    series: str
    series_name: Callable[[int, str, int], str]  # number, modality and view, images
    mark_region: str
    drag_region: str
    top_to_bottom: str
    left_to_right: str
    slice_: str
    search_region: str
    # is there anything like it
    like_library: str
    like_detail: Callable[[float], str]  # p-value
    not_known: str
    novelty_stale: str
    instead: Callable[[Sequence[str]], str]  # findings
    aspects: Mapping[Aspect, str]
    checks: Mapping[CheckState, Callable[[str, str, int], str]]  # aspect, value, cases
    lacks: Callable[[Aspect, str], str]  # value
    no_such_case: Callable[[Sequence[str]], str]  # attributes
    fit: Callable[[int, int, int], str]  # hits that state everything, all, that contradict
    # what a hit is worth
    in_ten: Callable[[float, float, float], str]  # share, its interval
    basis: Callable[[str, int, float], str]  # day, patients, share of any case
    basis_stale: str
    worth_unknown: Callable[[str], str]  # the reason
    # a hit and what belongs to it
    more_like: str
    less_like: str
    more_like_help: Callable[[int], str]  # rank
    less_like_help: Callable[[int], str]  # rank
    same_image: Callable[[int], str]  # cases
    earlier_studies: Callable[[int], str]
    other_studies: Callable[[int], str]
    own_studies: Callable[[int], str]
    before: Callable[[int], str]  # days
    possible: Callable[[str], str]  # finding
    possible_help: str
    ruled_out: Callable[[str], str]  # finding
    # the latest audit
    no_audit: str
    audit_of_other_model: str
    audit_needs_patient: Callable[[str], str]  # day
    audit_has_no_group: Callable[[str], str]  # day
    audit: Callable[[str, str], str]  # day, outcome
    audit_group: Callable[[str, str], str]  # attribute, group
    audit_withheld: Callable[[str], str]  # group
    audit_verdict: Callable[[str, bool, float], str]  # verdict, whether better, margin
    audit_line: Callable[[str, float, tuple[float, float], float, str], str]


def _fit(fitting: int, n: int, contradicting: int) -> str:
    hits = "this hit" if n == 1 else f"these {n} hits"
    against = f" {contradicting} contradict{'s' if contradicting == 1 else ''} it."
    if not contradicting:
        against = ""
    if not fitting:
        return f"None of {hits} fits everything you asked for.{against}"
    fit = "fits" if fitting == 1 else "fit"
    return f"{fitting} of {hits} {fit} everything you asked for.{against}"


def _in_ten(share: float, low: float, high: float) -> str:
    """Round the share, and the interval outward."""
    ends = f"{math.floor(10 * low + 1e-9)} to {math.ceil(10 * high - 1e-9)}"
    about = math.floor(10 * share + 0.5)
    return f"Of 10 hits like this, about {about} share the finding (95%: {ends})"


def _before(days: int) -> str:
    if days < 60:
        return f"{_counted(days, 'day')} before"
    if days < 730:
        return f"{round(days / 30.44)} months before"
    return f"{round(days / 365.25)} years before"


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def _lacks(aspect: Aspect, value: str) -> str:
    shown = value.lower() if aspect is Aspect.VIEW and len(value) > 3 else value
    noun = {
        Aspect.VIEW: f"{shown} views",
        Aspect.MODALITY: f"{shown} studies",
        Aspect.BODY_PART: f"images of this body part ({shown.lower()})",
    }
    return f"The archive holds no {noun[aspect]}. The hits show something else."


def _on(day: str) -> str:
    return f"of {day}" if day else "(undated)"


def _audit_group(attribute: str, group: str) -> str:
    named = {("sex", "F"): "Women", ("sex", "M"): "Men"}
    if (attribute, group) in named:
        return named[attribute, group]
    label = {"age_band": "Age", "race": "Race", "site": "Site", "sex": "Sex"}
    return f"{label.get(attribute, attribute)} {group}"


def _audit_verdict(verdict: str, is_better: bool, margin: float) -> str:
    how = "better" if is_better else "worse"
    return {
        "within": f"no difference beyond {100 * margin:.0f} points",
        "exceeds": f"served {how} than others, by more than {100 * margin:.0f} points",
        "differs": f"served {how} than others",
        "inconclusive": "too few patients to tell a difference",
    }.get(verdict, "the difference could not be assessed")


ENGLISH = QueryTexts(
    asked_for="Your search",
    removable=lambda line: f"{line} ×",
    remove="Take this out of the search",
    words=lambda text: f"“{text}”",
    region="Marked region",
    like=lambda case_id: f"More like case {case_id}",
    unlike=lambda case_id: f"Less like case {case_id}",
    left_out=lambda name: f"Not counted: {name}",
    weight=lambda percent: f"Image {percent}%",
    one_per_patient="One case per patient",
    undo="Undo",
    redo="Redo",
    unread="A part of this address could not be used here and was left out.",
    gone_image="The image of this search is no longer here: images are not part of a link, and "
    "are removed ten minutes after their page. Drop it again; everything else was kept.",
    gone_words="The words of this search are no longer here: words that may name a patient are "
    "not part of a link. Type them again; everything else was kept.",
    series="Series",
    series_name=lambda number, what, n: (
        f"{number}: {what + ', ' if what else ''}{_counted(n, 'image')}"
    ),
    mark_region="Search by a region",
    drag_region="Drag a box on the image, or set its edges.",
    top_to_bottom="Top to bottom",
    left_to_right="Left to right",
    slice_="Slice",
    search_region="Search with this region",
    like_library="The library holds cases like this.",
    like_detail=lambda p_value: f"{p_value:.0%} of its own cases are at least as unusual.",
    not_known="Not known whether the library holds anything like this.",
    novelty_stale="This was calibrated before the library changed.",
    instead=lambda names: f"Its reports do not use these words, but state: {', '.join(names)}.",
    aspects={Aspect.MODALITY: "Modality", Aspect.BODY_PART: "Body part", Aspect.VIEW: "View"},
    checks={
        CheckState.HOLDS: lambda aspect, value, n: (
            f"{aspect} {value}: {_counted(n, 'case')} in the archive"
        ),
        CheckState.LACKS: lambda aspect, value, _: f"{aspect} {value}: none in the archive",
        CheckState.NOT_STATED: lambda aspect, *_: f"{aspect}: the image does not say",
        CheckState.NOT_RECORDED: lambda aspect, *_: f"{aspect}: the archive does not say",
    },
    lacks=_lacks,
    no_such_case=lambda names: (
        f"No case here has {', '.join(names)}. The hits show something else."
    ),
    fit=_fit,
    in_ten=_in_ten,
    basis=lambda day, n, any_case: (
        f"Of 10 cases of any score, about {math.floor(10 * any_case + 0.5)} share the finding. "
        f"Measured on {day} with {_counted(n, 'held-out patient')}."
    ),
    basis_stale="The library has changed since (run medembed index LIBRARY).",
    worth_unknown=lambda why: f"How many such hits share the finding is not known: {why}.",
    more_like="More like this",
    less_like="Less like this",
    more_like_help=lambda rank: f"Keep the search and look for more like hit {rank}",
    less_like_help=lambda rank: f"Keep the search and look for less like hit {rank}",
    same_image=lambda n: f"Same image in {_counted(n, 'case')}:",
    earlier_studies=lambda n: f"Earlier {'study' if n == 1 else f'studies ({n})'}:",
    other_studies=lambda n: f"Also matching{'' if n == 1 else f' ({n})'}:",
    own_studies=lambda n: (
        f"This patient's own {'study' if n == 1 else f'studies ({n})'} (not listed below):"
    ),
    before=_before,
    possible=lambda finding: f"possible {finding}",
    possible_help="The report is not certain",
    ruled_out=lambda finding: f"{finding}: labeled, but ruled out in the report",
    no_audit="No audit yet: how well the search serves patients like this one is not known "
    "(run medembed audit).",
    audit_of_other_model="The latest audit is of another model: how well this search serves "
    "patients like this one is not known (run medembed audit).",
    audit_needs_patient=lambda day: (
        f"The audit {_on(day)} compares groups of patients. The search does not say the "
        "patient's sex or age."
    ),
    audit_has_no_group=lambda day: (
        f"The audit {_on(day)} does not compare patients like this one with others."
    ),
    audit=lambda day, outcome: f"Patients like this one in the audit {_on(day)}: {outcome}",
    audit_group=_audit_group,
    audit_withheld=lambda group: f"{group}: too few patients to show a number",
    audit_verdict=_audit_verdict,
    audit_line=lambda group, share, ends, rest, verdict: (
        f"{group}: {share:.0%} ({ends[0]:.0%}–{ends[1]:.0%}), others {rest:.0%}; {verdict}"
    ),
)
