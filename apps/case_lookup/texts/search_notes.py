"""The search's notes in German, by kind; in English, medembed has the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from apps.case_lookup.texts.language import DE, Noun
from medembed.index import SearchNote, SearchNoteKind

__all__ = ["GERMAN_NOTES"]

_MOST_NAMED = 5

_faelle = Noun("Fall", "Fälle", DE)
_vektoren = Noun("Vektor", "Vektoren", DE)
_bilder = Noun("Bild", "Bilder", DE)


def _own_cases(note: SearchNote) -> str:
    more = len(note.names) - _MOST_NAMED
    tail = f" und {more} weitere" if more > 0 else ""
    noun = "Fall" if len(note.names) == 1 else "Fälle"
    return f"dieses Bild ist in der Sammlung: {noun} {', '.join(note.names[:_MOST_NAMED])}{tail}"


def _own_patient(note: SearchNote) -> str:
    n_cases, n_patients = note.numbers
    of_whom = (
        f"der {n_patients} Patienten, zu denen die Anfrage gehören kann"
        if n_patients > 1
        else "desselben Patienten"
    )
    return f"{_faelle(n_cases)} {of_whom} ausgeschlossen"


def _reranked(note: SearchNote) -> str:
    n_read, n_unread = note.numbers
    first = "der erste Treffer" if n_read == 1 else f"die ersten {n_read} Treffer"
    line = (
        f"{first} nach gemeinsamem Lesen von Bild und Text neu geordnet; "
        "angezeigt sind die Werte der Suche"
    )
    could = "konnte" if n_unread == 1 else "konnten"
    return f"{line}; {_bilder(n_unread)} {could} nicht gelesen werden" if n_unread else line


def _fewer_hits(note: SearchNote) -> str:
    found, requested = note.numbers
    fits = "erfüllt" if found == 1 else "erfüllen"
    return f"nur {found} der {requested} angeforderten Fälle {fits} die Bedingungen"


def _fewer_patients(note: SearchNote) -> str:
    found, requested = note.numbers
    has = "hat" if found == 1 else "haben"
    return f"nur {found} der {requested} angeforderten Patienten {has} einen passenden Fall"


GERMAN_NOTES: Mapping[SearchNoteKind, Callable[[SearchNote], str]] = MappingProxyType(
    {
        SearchNoteKind.INDEX_BUILT: lambda n: f"Index aufgebaut: {_faelle(n.numbers[0])}",
        SearchNoteKind.INDEX_UPDATED: lambda n: (
            f"Index aktualisiert: {_vektoren(n.numbers[0])} hinzugefügt, {n.numbers[1]} entfernt"
        ),
        SearchNoteKind.INDEX_REBUILT: lambda n: f"Index neu aufgebaut: {_faelle(n.numbers[0])}",
        SearchNoteKind.INDEX_REPLACED: lambda n: (
            f"Index neu aufgebaut: {_faelle(n.numbers[0])} (seine Dateien waren beschädigt, von "
            "anderer Version oder aus einer anderen Sammlung)"
        ),
        SearchNoteKind.INDEX_NOT_SAVED: lambda _: (
            "die Dateien des Index konnten nicht geschrieben werden"
        ),
        SearchNoteKind.SERVER_UPDATED: lambda n: (
            f"Indexserver aktualisiert: {_vektoren(n.numbers[0])} gesendet, {n.numbers[1]} entfernt"
        ),
        SearchNoteKind.NO_GPU: lambda _: (
            "keine GPU gefunden, die für diese Sammlung eingestellt ist: auf dem Prozessor "
            "verglichen, mit demselben Ergebnis"
        ),
        SearchNoteKind.GPU_FAILED: lambda _: (
            "die GPU konnte nicht rechnen (zu wenig freier Speicher?): auf dem Prozessor "
            "verglichen, mit demselben Ergebnis"
        ),
        SearchNoteKind.MODEL_COLLAPSED: lambda _: (
            "dieses Modell ist beim Training kollabiert; die Reihenfolge der Treffer ist nicht "
            "verlässlich"
        ),
        SearchNoteKind.TEXT_CUT: lambda n: (
            f"Text nach {DE.whole(n.numbers[0])} Token abgeschnitten, der Grenze des Modells"
        ),
        SearchNoteKind.UNKNOWN_WORDS: lambda n: (
            f"nicht im Vokabular dieser Sammlung: {', '.join(n.names)}; nur nach dem Wortlaut "
            "verglichen"
        ),
        SearchNoteKind.READ_AS: lambda n: f"verstanden als: {', '.join(n.names)}",
        SearchNoteKind.NO_SUCH_CASE: lambda n: f"kein Fall hier hat {', '.join(n.names)}",
        SearchNoteKind.ARCHIVE_LACKS: lambda n: f"nicht in der Sammlung: {', '.join(n.names)}",
        SearchNoteKind.NO_REPORT: lambda n: (
            f"{_faelle(n.numbers[0])} ohne lesbaren Befundbericht: nur nach dem Bild eingeordnet"
        ),
        SearchNoteKind.OUT_OF_DEPTH: lambda _: (
            "dieser Text nennt nichts, was hier bekannt ist, und gleicht keinem Befundbericht der "
            "Sammlung; bitte nicht auf die Treffer stützen"
        ),
        SearchNoteKind.UNKNOWN_FINDINGS: lambda n: (
            "unbekannter Befund, weder in der Sammlung noch in ihrem Vokabular: "
            + ", ".join(n.names)
        ),
        SearchNoteKind.OWN_CASES: _own_cases,
        SearchNoteKind.OWN_PATIENT: _own_patient,
        SearchNoteKind.MARKED_PATIENTS: lambda n: (
            f"{_faelle(n.numbers[0])} von Patienten mit einem markierten Fall ausgeschlossen"
        ),
        SearchNoteKind.DUPLICATES: lambda n: (
            f"{_faelle(n.numbers[0])} mit demselben Bild neben dem Treffer aufgeführt"
        ),
        SearchNoteKind.DIVERSIFIED: lambda n: (
            f"unter den ersten {n.numbers[0]} Treffern wurden voneinander verschiedene Fälle "
            "bevorzugt; die Werte fallen daher nicht stetig"
        ),
        SearchNoteKind.RERANKED: _reranked,
        SearchNoteKind.FEWER_HITS: _fewer_hits,
        SearchNoteKind.FEWER_PATIENTS: _fewer_patients,
        SearchNoteKind.NO_MATCH: lambda _: "kein Fall erfüllt die Bedingungen",
    }
)
