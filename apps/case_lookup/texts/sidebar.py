"""Texts of the sidebar: the query and the filters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from apps.case_lookup.texts.language import DE, Noun

__all__ = ["ENGLISH", "GERMAN", "DateFormat", "SidebarTexts"]

DateFormat = Literal["YYYY-MM-DD", "DD.MM.YYYY"]


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
    date_format: DateFormat  # of Streamlit's date input
    site: str
    n_results: str
    clear_filters: str
    disclaimer: str


_cases = Noun("case", "cases")
_faelle = Noun("Fall", "Fälle", DE)

ENGLISH = SidebarTexts(
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
    date_format="YYYY-MM-DD",
    site="Site",
    n_results="Results to show",
    clear_filters="Clear filters",
    disclaimer="For research and teaching. Not a medical device; not for diagnosis.",
)

GERMAN = replace(
    ENGLISH,
    library=lambda name, n: f"{name} · {_faelle(n)}",
    image="Bild oder Serie",
    image_help="Eine DICOM-, PNG-, JPEG- oder NIfTI-Datei irgendwo auf die Seite ziehen, oder "
    "alle Dateien einer Serie.",
    reading_image="Das Bild wird gelesen",
    unusable_files=lambda n, reason: (
        f"{'Diese Datei ist' if n == 1 else 'Diese Dateien sind'} nicht verwendbar: {reason}."
    ),
    text="Befund oder Text des Berichts",
    text_placeholder="Pleuraerguss rechts, basale Atelektase",
    similar_to=lambda case_id: f"Ähnlich wie Fall {case_id}",
    image_weight="Gewicht des Bildes",
    percent_format="%d\u00a0%%",
    search="Suchen",
    clear="Leeren",
    modality="Modalität",
    view="Projektion",
    sex="Geschlecht",
    findings="Geforderte Befunde",
    any_value="Beliebig",
    age="Alter (Jahre)",
    more_filters="Datum, Standort, Trefferzahl",
    date_from="Von",
    date_to="Bis",
    date_format="DD.MM.YYYY",
    site="Standort",
    n_results="Angezeigte Treffer",
    clear_filters="Filter zurücksetzen",
    disclaimer="Für Forschung und Lehre. Kein Medizinprodukt, nicht zur Befundung.",
)
