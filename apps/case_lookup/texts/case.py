"""Texts of the page of one case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from apps.case_lookup.rendering import Preset
from apps.case_lookup.texts.language import DE, EN

__all__ = ["ENGLISH", "GERMAN", "CaseTexts"]


@dataclass(frozen=True)
class CaseTexts:
    """The page of one case."""

    to_search: str
    to_results: str
    not_found: str
    not_found_hint: str
    find_similar: str
    images: str
    image_unreadable: Callable[[str], str]  # the reason
    this_case: str
    window: str
    windows: Mapping[Preset, str]
    invert: str
    compare: str
    center: str
    center_hu: str
    width: str
    width_hu: str
    slice_: str
    size: Callable[[int, int], str]  # columns, rows
    spacing_mm: Callable[[Sequence[float]], str]
    slice_of: Callable[[int, int], str]  # number from 1, of how many
    window_values: Callable[[int, int], str]  # center, width
    voi_lut: str
    orientation: str
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
    images="Images of this study",
    image_unreadable=lambda reason: f"Cannot show this image: {reason}.",
    this_case="This case",
    window="Window",
    windows={
        Preset.FILE: "File window",
        Preset.FILE_2: "File window 2",
        Preset.FILE_3: "File window 3",
        Preset.LUNG: "Lung",
        Preset.MEDIASTINUM: "Mediastinum",
        Preset.BONE: "Bone",
        Preset.AUTO: "Auto",
        Preset.FULL: "Full range",
    },
    invert="Invert",
    compare="Show query",
    center="Level",
    center_hu="Level (HU)",
    width="Width",
    width_hu="Width (HU)",
    slice_="Slice",
    size=lambda columns, rows: f"{columns} × {rows} pixels",
    spacing_mm=lambda values: " × ".join(EN.decimal(mm) for mm in values) + " mm",
    slice_of=lambda number, n: f"slice {number} of {n}",
    window_values=lambda center, width: f"level {center}, width {width}",
    voi_lut="lookup table from the file",
    orientation="orientation as stored",
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
    images="Bilder dieser Untersuchung",
    image_unreadable=lambda reason: f"Dieses Bild lässt sich nicht anzeigen: {reason}.",
    this_case="Dieser Fall",
    window="Fensterung",
    windows={
        Preset.FILE: "Fenster der Datei",
        Preset.FILE_2: "Fenster 2 der Datei",
        Preset.FILE_3: "Fenster 3 der Datei",
        Preset.LUNG: "Lunge",
        Preset.MEDIASTINUM: "Mediastinum",
        Preset.BONE: "Knochen",
        Preset.AUTO: "Automatisch",
        Preset.FULL: "Alle Werte",
    },
    invert="Invertieren",
    compare="Anfragebild daneben",
    center="Fenstermitte",
    center_hu="Fenstermitte (HE)",
    width="Fensterbreite",
    width_hu="Fensterbreite (HE)",
    slice_="Schicht",
    size=lambda columns, rows: f"{columns} × {rows} Pixel",
    spacing_mm=lambda values: " × ".join(DE.decimal(mm) for mm in values) + " mm",
    slice_of=lambda number, n: f"Schicht {number} von {n}",
    window_values=lambda center, width: f"Mitte {center}, Breite {width}",
    voi_lut="Fensterung nach der Tabelle in der Datei",
    orientation="Ausrichtung wie gespeichert",
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
