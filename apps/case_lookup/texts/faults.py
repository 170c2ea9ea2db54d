"""Texts of errors, and of a lost connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from medembed.errors import (
    ConditionError,
    ConfigError,
    FingerprintError,
    IndexServerError,
    InputError,
    LibraryBusyError,
    LibraryError,
    MedEmbedError,
    ModelError,
    NoteError,
    QueryError,
    ScanError,
    ScanReason,
    SourceError,
)

__all__ = ["ENGLISH", "GERMAN", "GERMAN_SCAN_REASONS", "FaultTexts"]


@dataclass(frozen=True)
class FaultTexts:
    """Errors, and a lost connection."""

    error: Callable[[MedEmbedError], str]  # one line; of a scan without its path
    internal: Callable[[str], str]  # kind and place
    no_library: str
    no_library_hint: str
    lost: str
    lost_hint: str


def _error(error: MedEmbedError) -> str:
    """Give medembed's own English line; a scan's path may name a patient and is left out."""
    if isinstance(error, ScanError):
        return f"{error.what}; {error.hint}" if error.hint else error.what
    return str(error)


ENGLISH = FaultTexts(
    error=_error,
    internal=lambda place: f"Internal error ({place}). Reload the page to continue.",
    no_library="no library was given",
    no_library_hint="start with: medembed app LIBRARY",
    lost="No connection to the reading room",
    lost_hint="It has stopped, or this machine was asleep. If the page does not return, start "
    "the reading room again (medembed app LIBRARY) and reload this page.",
)

GERMAN_SCAN_REASONS: Mapping[ScanReason, str] = MappingProxyType(
    {
        "bad-geometry": "die Angaben zu Lage und Pixelabstand sind unmöglich",
        "bad-rescale": "RescaleSlope und RescaleIntercept ergeben unmögliche Werte",
        "changed": "die Bilddatei wurde nach der Aufnahme des Falls ersetzt",
        "corrupt": "die Bilddaten sind beschädigt",
        "decoder-crashed": "an dieser Datei ist der Decoder abgestürzt",
        "duplicate-instance": "mehrere Schichten liegen an derselben Stelle",
        "empty": "die Datei ist leer",
        "encrypted": "die Datei ist verschlüsselt; bitte unverschlüsselt exportieren",
        "incomplete-volume": "in diesem Volumen fehlt eine Schicht",
        "invalid": "die Datei lässt sich nicht als Bild lesen",
        "irregular-spacing": (
            "die Schichtabstände sind ungleich: eine Schicht fehlt, oder mehrere Serien sind "
            "vermischt"
        ),
        "missing-attribute": "der Datei fehlt ein notwendiges DICOM-Attribut",
        "mixed-geometry": "die Schichten unterscheiden sich in Größe, Einheit oder Ausrichtung",
        "nested-too-deep": "die Sequenzen der Datei sind zu tief verschachtelt",
        "no-permission": "die Datei darf nicht gelesen werden (fehlende Berechtigung)",
        "no-picture": "die Datei enthält kein darstellbares Bild",
        "no-pixels": "dieses DICOM-Objekt enthält kein Bild (etwa ein Bericht oder Dokument)",
        "no-such-frame": "dieses Einzelbild gibt es in der Datei nicht",
        "not-a-file": "dieser Pfad ist keine Datei",
        "not-a-scan": "keine DICOM-, PNG-, JPEG- oder NIfTI-Datei",
        "not-found": "die Bilddatei wurde verschoben oder gelöscht",
        "several-series": "die Dateien gehören zu mehreren Serien; bitte nur eine wählen",
        "several-volumes": "die Dateien enthalten mehrere Volumina; bitte nur eines wählen",
        "timeout": "das Lesen dieser Datei dauert zu lange",
        "too-large": "das Bild ist zu groß",
        "truncated": "die Datei ist abgeschnitten",
        "unsupported-pixels": "diese Art von Pixeldaten wird nicht unterstützt",
        "unsupported-transfer-syntax": (
            "diese Kompression wird nicht unterstützt; bitte als JPEG 2000, JPEG-LS, RLE oder "
            "unkomprimiert speichern"
        ),
        "values-out-of-range": "die Pixelwerte sind nicht endlich oder unmöglich groß",
    }
)
"""What is wrong with a file, by the code of the error."""

# the first that fits: a class stands before its base
_GERMAN_KINDS: tuple[tuple[type[MedEmbedError], str], ...] = (
    (LibraryBusyError, "Die Sammlung wird gerade von einem anderen Vorgang geändert"),
    (LibraryError, "Die Sammlung lässt sich nicht verwenden"),
    (ConditionError, "Ein Filter ist ungültig"),
    (ConfigError, "Die Konfiguration ist ungültig"),
    (ModelError, "Das Modell fehlt oder lässt sich nicht laden"),
    (FingerprintError, "Vektoren oder Index stammen von einem anderen Modell"),
    (QueryError, "Diese Anfrage ist so nicht möglich"),
    (IndexServerError, "Der Indexserver antwortet nicht"),
    (NoteError, "Der Befundbericht lässt sich nicht lesen"),
    (SourceError, "Die Quelle lässt sich nicht lesen"),
    (InputError, "Diese Eingabe ist nicht möglich"),
    (MedEmbedError, "Interner Fehler"),
)


def _error_german(error: MedEmbedError) -> str:
    """Say what is wrong by the error's kind; the English line behind it is for the technician."""
    if isinstance(error, ScanError):
        return GERMAN_SCAN_REASONS[error.reason]
    what = next(text for kind, text in _GERMAN_KINDS if isinstance(error, kind))
    return f"{what} ({error})"


GERMAN = replace(
    ENGLISH,
    error=_error_german,
    internal=lambda place: f"Interner Fehler ({place}). Bitte die Seite neu laden.",
    no_library="keine Sammlung angegeben",
    no_library_hint="Start mit: medembed app SAMMLUNG",
    lost="Keine Verbindung zum Befundraum",
    lost_hint="Er wurde beendet, oder dieser Rechner war im Ruhezustand. Kommt die Seite nicht "
    "wieder, den Befundraum neu starten (medembed app SAMMLUNG) und diese Seite neu laden.",
)
