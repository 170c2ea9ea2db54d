"""Texts of the ranked cases and of the lines above them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from apps.case_lookup.texts.language import DE, EN, Noun
from apps.case_lookup.texts.search_notes import GERMAN_NOTES
from medembed.explain import Relation
from medembed.index import SearchNote, SearchNoteKind
from medembed.lookup.conformal import ALPHA
from medembed.lookup.messages import NoveltyReason
from medembed.lookup.score_worth import WorthReason

__all__ = ["ENGLISH", "GERMAN", "ResultTexts"]


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
    term: Callable[[str], str]  # what the text was read as, in words
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
    score: Callable[[float], str]
    score_help: str
    percentile: Callable[[float], str]  # percent of the archive's scores that are lower
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


_cases = Noun("case", "cases")
_faelle = Noun("Fall", "Fälle", DE)


def _ranked(shown: int, matching: int) -> str:
    if shown < matching:
        return f"Top {shown} of {_cases(matching)}"
    return "1 matching case" if shown == 1 else f"All {shown} matching cases, closest first"


def _ranked_german(shown: int, matching: int) -> str:
    if shown < matching:
        return f"Die ähnlichsten {shown} von {DE.whole(matching)} Fällen"
    return "1 passender Fall" if shown == 1 else f"Alle {shown} passenden Fälle, ähnlichste zuerst"


def _approximate(share: float | None) -> str:
    if share is None:
        return "Approximate: a close case may be missing"
    return f"Approximate: finds about {EN.share_at_least(share)} of the closest cases"


def _approximate_german(share: float | None) -> str:
    if share is None:
        return "Näherungssuche: ein ähnlicher Fall kann fehlen"
    return f"Näherungssuche: findet etwa {DE.share_at_least(share)} der ähnlichsten Fälle"


_PARTS = {
    "text": "Text",
    "image": "Bild",
    "case": "Fall",
    "agreement": "Übereinstimmung",
    "rerank": "gemeinsames Lesen",
}


def _part_german(part: str) -> str:
    """Name a part of a query: ``image``, or of several ``image (image2)``."""
    kind, _, which = part.partition(" ")
    return f"{_PARTS.get(kind, kind)} {which}".strip()


ENGLISH = ResultTexts(
    searching="Searching",
    loading_model="Loading the model (only after a restart)",
    changed="The query or the filters have changed.",
    search_again="Search again",
    no_filter="No filters",
    filters="Filters:",
    ranked=_ranked,
    approximate=_approximate,
    patient_excluded="same patient excluded",
    seconds=lambda s: f"{EN.decimal(s)} s",
    in_library="This image is already in the library (not listed below):",
    read_as="Read as",
    read_as_nothing="Compared by similarity only",
    term=lambda words: f"{words} ×",
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
        f"Only {EN.share(p_value, 1)} of the library's own cases are at least as unusual "
        f"({EN.share(ALPHA)} of them would get this message). "
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
        NoveltyReason.NO_OTHER_PATIENTS: "No novelty check: no other patients to compare with.",
    },
    notes=dict.fromkeys(SearchNoteKind, str),  # in English, medembed has the texts
    query="Query",
    query_image="Your image",
    query_alt=lambda image: f"Query: {image}",
    weights=lambda image, text: f"Image {image}%, text {text}%",
    open_case=lambda rank: f"Open case {rank}",
    no_report="No report",
    image_missing="Image missing",
    score=EN.decimal,
    score_help="Similarity and, for a short text, agreement with it; 1 is the most",
    percentile=lambda percent: (
        f"Higher than {EN.percentile(percent)} of the archive's scores for such queries"
    ),
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
        "Score by part: " + ", ".join(f"{part} {EN.decimal(s)}" for part, s in scores.items())
    ),
    no_vectors="No cases to compare with",
    no_vectors_hint="Embed the library's cases with medembed embed.",
    no_match="No case matches all filters",
    and_=" and ",
    without=lambda condition, n: f"Remove “{condition}” ({_cases(n)})",
    remove_more="Removing one filter is not enough. Remove two or more.",
)

GERMAN = replace(
    ENGLISH,
    searching="Die Suche läuft",
    loading_model="Das Modell wird geladen (nur nach einem Neustart)",
    changed="Anfrage oder Filter haben sich geändert.",
    search_again="Neu suchen",
    no_filter="Keine Filter",
    filters="Filter:",
    ranked=_ranked_german,
    approximate=_approximate_german,
    patient_excluded="derselbe Patient ausgeschlossen",
    seconds=lambda s: f"{DE.decimal(s)} s",
    in_library="Dieses Bild ist bereits in der Sammlung (unten nicht aufgeführt):",
    read_as="Verstanden als",
    read_as_nothing="Nur nach Ähnlichkeit verglichen",
    ignore_term="Weglassen",
    use_all_terms="Alle Angaben verwenden",
    out_of_depth=(
        "Dieser Text nennt nichts, was hier bekannt ist, und gleicht keinem Befundbericht der "
        "Sammlung. Bitte nicht auf diese Fälle stützen."
    ),
    also_in_library="Die Sammlung enthält dieses Bild auch als:",
    case=lambda case_id: f"Fall {case_id}",
    novel="Nichts Vergleichbares in der Sammlung.",
    novel_detail=lambda p_value: (
        f"Nur {DE.share(p_value, 1)} der eigenen Fälle sind mindestens so ungewöhnlich "
        f"({DE.share(ALPHA)} von ihnen bekämen diesen Hinweis). "
        "Darunter die ähnlichsten, die es gibt."
    ),
    novelty_reasons={
        NoveltyReason.NONE: "Nicht geprüft, ob es hier Vergleichbares gibt.",
        NoveltyReason.NOT_CALIBRATED: (
            "Nicht geprüft, ob es hier Vergleichbares gibt: die Sammlung ist noch nicht kalibriert."
        ),
        NoveltyReason.FEW_CASES: (
            "Nicht geprüft, ob es hier Vergleichbares gibt: zu wenige Patienten in der Sammlung."
        ),
        NoveltyReason.NO_WORDS: (
            "Nicht geprüft, ob es hier Vergleichbares gibt: im Text steht kein Wort zum "
            "Nachschlagen."
        ),
        NoveltyReason.UNREADABLE: (
            "Nicht geprüft, ob es hier Vergleichbares gibt: das Bild ist neu oder war bei der "
            "letzten Kalibrierung nicht lesbar."
        ),
        NoveltyReason.VECTOR: "Für einen Vektor wird nicht geprüft, ob es Vergleichbares gibt.",
        NoveltyReason.MARKS: (
            "Für markierte Fälle allein wird nicht geprüft, ob es Vergleichbares gibt."
        ),
        NoveltyReason.NO_OTHER_PATIENTS: (
            "Nicht geprüft, ob es hier Vergleichbares gibt: keine anderen Patienten zum Vergleich."
        ),
    },
    notes=GERMAN_NOTES,
    query="Anfrage",
    query_image="Ihr Bild",
    query_alt=lambda image: f"Anfrage: {image}",
    weights=lambda image, text: f"Bild {image}\u00a0%, Text {text}\u00a0%",
    open_case=lambda rank: f"Fall {rank} öffnen",
    no_report="Kein Befundbericht",
    image_missing="Bild fehlt",
    score=DE.decimal,
    score_help="Ähnlichkeit und, bei kurzem Text, Übereinstimmung mit ihm; 1 ist das Höchste",
    percentile=lambda percent: (
        f"Höher als {DE.percentile(percent)} der Werte dieser Sammlung bei solchen Anfragen"
    ),
    worth_reasons={
        WorthReason.NONE: "",
        WorthReason.NOT_MEASURED: "in dieser Sammlung noch nicht gemessen",
        WorthReason.OTHER_KIND: "für diese Art von Anfrage nicht gemessen",
        WorthReason.FEW_PATIENTS: "zu wenige zurückgehaltene Patienten für eine Messung",
        WorthReason.NO_FINDING: "die Anfrage nennt keinen Befund",
        WorthReason.FILTERED: "der Filter nach Befunden legt fest, was die Treffer teilen",
        WorthReason.UNLIKE: "die Anfrage gleicht der Sammlung nicht",
        WorthReason.BELOW: "kein gemessener Treffer lag so niedrig",
    },
    worth_unknown=lambda why: f"Wie viel ein solcher Wert besagt, ist nicht bekannt: {why}",
    shared=lambda findings: f"Gemeinsam: {findings}",
    conflicts=lambda findings: f"Abweichend: {findings}",
    relations={
        Relation.SHARED: lambda finding, _: finding,
        Relation.SIDE_NOT_STATED: lambda finding, _: f"{finding} (ohne Seitenangabe)",
        Relation.BOTH_RULE_OUT: lambda finding, _: f"ohne {finding}",
        Relation.OTHER_SIDE: lambda finding, side: f"{finding}, nicht {side}",
        Relation.RULED_OUT_BY_HIT: lambda finding, _: f"laut Befundbericht ohne {finding}",
        Relation.RULED_OUT_BY_QUERY: lambda finding, _: f"{finding} vorhanden",
    },
    report_words=lambda words: f"Wörter im Befundbericht: {words}",
    part_scores=lambda scores: (
        "Wert je Teil: "
        + ", ".join(f"{_part_german(part)} {DE.decimal(s)}" for part, s in scores.items())
    ),
    no_vectors="Keine Fälle zum Vergleichen",
    no_vectors_hint="Fälle der Sammlung einbetten: medembed embed",
    no_match="Kein Fall erfüllt alle Filter",
    and_=" und ",
    without=lambda condition, n: f"Ohne „{condition}“ ({_faelle(n)})",
    remove_more="Einen Filter zu entfernen reicht nicht. Bitte zwei oder mehr entfernen.",
)
