"""What readers measured and how a case came into a session, in German lines."""

from __future__ import annotations

from apps.case_lookup.html import escaped
from apps.case_lookup.texts.language import DE
from apps.case_lookup.texts.words import GERMAN as WORDS
from apps.review.texts import clock_text
from evaluation.reader_study import ReaderMeasures, Share, Times
from evaluation.stats.kappa import Kappa, KappaReason
from medembed.reviews import ReviewQuery

__all__ = ["kappa_german", "measures_german", "query_german"]

_KAPPA_REASONS = {
    KappaReason.NO_CASE: "nichts zu vergleichen",
    KappaReason.CONSTANT: "nicht bestimmt: jeder Leser gab durchweg dieselbe Antwort",
    KappaReason.RARE: "zu wenige Patienten für ein Intervall",
}
_PARTS = {"text": "Text", "image": "Bild", "case": "Fall"}


def measures_german(measures: ReaderMeasures) -> list[str]:
    """Put the measures of one reader into lines."""
    return [
        f"{measures.n_finished} von {measures.n_opened} geöffneten abgeschlossen",
        f"Nach dem Aufdecken geändert: {_share(measures.revised)}",
        f"Befunde geändert: {_share(measures.findings_revised)}",
        f"Zeit bis zur ersten Beurteilung: {_times(measures.to_impression)}",
        f"Zeit bis zum Ende: {_times(measures.to_end)}",
    ]


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "- (kein Fall abgeschlossen)"
    return (
        f"{share.count} von {share.n}, {DE.share(share.value)} "
        f"(95-%-Intervall {DE.share(share.low)} bis {DE.share(share.high)})"
    )


def _times(times: Times) -> str:
    if times.median is None:
        return "-"
    return (
        f"Median {clock_text(times.median)}, Quartile {clock_text(times.lower)} und "
        f"{clock_text(times.upper)}, n = {times.n}"
    )


def kappa_german(kappa: Kappa) -> str:
    """Put an agreement into words, with its interval or why there is none."""
    reason = _KAPPA_REASONS.get(kappa.reason, "")
    if kappa.value is None or kappa.agreement is None:
        return reason
    ends = (
        f"95-%-Intervall {DE.decimal(kappa.low)} bis {DE.decimal(kappa.high)}"
        if kappa.low is not None and kappa.high is not None
        else reason
    )
    agreement = DE.share(kappa.agreement)
    return f"Kappa {DE.decimal(kappa.value)} ({ends}), Übereinstimmung {agreement}"


def query_german(query: ReviewQuery) -> str:
    """Say in one line by which query a case came into the session."""
    asked = " und ".join(_PARTS.get(part, part) for part in query.parts) or "Filter"
    words = [f"Anfrage mit {asked}"]
    if query.case_id:
        words.append(f"Fall {query.case_id}")
    if query.terms:
        words.append(f"verstanden als {', '.join(map(WORDS.term_name, query.terms))}")
    for condition in query.where:
        values = ", ".join("unbekannt" if v is None else str(v) for v in condition.values)
        field = WORDS.fields.get(condition.field, condition.field)
        words.append(f"{field} {condition.op} {values}")
    if query.rank:
        words.append(f"Rang {query.rank}")
    return escaped("; ".join(words), "text")
