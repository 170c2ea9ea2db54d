"""Texts of the page of one case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

__all__ = ["ENGLISH", "GERMAN", "CaseTexts"]


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
    attributes: Mapping[str, str]  # by name; others are shown under their own
    image_moved: str
    image_replaced: str


ENGLISH = CaseTexts(
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
    attributes={"body_part": "Body part", "ward": "Ward", "race": "Race", "language": "Language"},
    image_moved="the image file has been moved or deleted since the case was added",
    image_replaced="the image file was replaced after the case was added",
)

GERMAN = replace(
    ENGLISH,
    to_search="Zurück zur Suche",
    to_results="Zurück zu den Treffern",
    not_found="Fall nicht gefunden",
    not_found_hint="Bitte den Link prüfen. Der Fall kann gelöscht worden sein.",
    find_similar="Ähnliche Fälle suchen",
    previous_hit="Voriger Treffer",
    next_hit="Nächster Treffer",
    hit_of=lambda rank, n: f"Treffer {rank} von {n}",
    this_case="Dieser Fall",
    findings="Befunde",
    uncertain=lambda findings: f"Fraglich: {findings}",
    absent=lambda findings: f"Kein Nachweis: {findings}",
    report="Befundbericht",
    no_report="Zu diesem Fall gibt es keinen Befundbericht.",
    other_studies="Weitere Untersuchungen dieses Patienten",
    study="Untersuchung",
    case="Fall",
    patient="Patient",
    date="Datum",
    date_shifted=lambda date: f"{date} (verschoben, Abstände erhalten)",
    site="Standort",
    scanner="Gerät",
    n_images="Bilder",
    attributes={
        "body_part": "Körperregion",
        "ward": "Station",
        "race": "Ethnie (Angabe der Quelle)",
        "language": "Sprache",
    },
    image_moved="die Bilddatei wurde nach der Aufnahme des Falls verschoben oder gelöscht",
    image_replaced="die Bilddatei wurde nach der Aufnahme des Falls ersetzt",
)
