"""Texts of review sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from apps.case_lookup.texts.language import DE, Noun
from apps.case_lookup.texts.reading_german import kappa_german, measures_german, query_german
from apps.review.exports import ExportKind
from apps.review.texts import kappa_text, measure_lines, query_text
from evaluation.reader_study import ReaderMeasures, Stage
from evaluation.stats.kappa import Kappa
from medembed.reviews import Mark, ReadingState, ReviewQuery

__all__ = ["ENGLISH", "GERMAN", "ReviewTexts"]


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
    came_by: Callable[[ReviewQuery], str]
    marks: Mapping[Mark, str]
    # what came out
    nothing_visible: str
    measures: str
    everyone: str
    measures_of: Callable[[ReaderMeasures], Sequence[str]]
    agreement: Callable[[str, str, Stage], str]  # the readers, which impressions
    both_read: Callable[[int], str]
    kappa: Callable[[Kappa], str]
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


_cases = Noun("case", "cases")

ENGLISH = ReviewTexts(
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
    came_by=lambda query: f"In this session by {query_text(query)}",
    marks={Mark.SHORTLIST: "Tumor board shortlist", Mark.TEACHING: "Teaching file"},
    nothing_visible="Agreement and exports appear here once you have finished a "
    "case, so that nobody reads a case after seeing what others wrote.",
    measures="Revisions and times",
    everyone="All readers",
    measures_of=measure_lines,
    agreement=lambda one, other, stage: (
        f"{one} and {other}: {'first impressions' if stage is Stage.FIRST else 'final impressions'}"
    ),
    both_read=lambda n: f"{_cases(n)} read by both",
    kappa=kappa_text,
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
)

_faelle = Noun("Fall", "Fälle", DE)

GERMAN = replace(
    ENGLISH,
    offer="Mit diesen Fällen eine Lesesitzung beginnen",
    offer_help="Jeder Fall wird zuerst verdeckt gelesen: nur die Bilder, bis eine Beurteilung "
    "geschrieben ist. Sie haben diese Treffer gesehen; bitten Sie daher Kollegen zu lesen.",
    name="Name der Sitzung",
    name_help="Nie der Name eines Patienten.",
    your_name="Ihr Name oder Kürzel",
    your_name_help="Beurteilungen werden je Leser aufbewahrt. Bitte in jedem Browser denselben "
    "Namen verwenden.",
    which_cases="Fälle",
    result=lambda rank: f"Treffer {rank}",
    shuffle="Zufällige Reihenfolge",
    shuffle_help="Damit die Reihenfolge nichts über die Ähnlichkeit verrät.",
    make="Sitzung beginnen",
    sessions="Lesesitzungen",
    session=lambda name, n: f"{name} ({_faelle(n)})",
    not_allowed="Ihr Konto darf nicht in Lesesitzungen lesen",
    not_allowed_hint="Bitte die Administration um die Rolle reviewer.",
    not_found="Lesesitzung nicht gefunden",
    not_found_hint="Bitte den Link prüfen.",
    no_cases="Diese Sitzung hat keinen Fall zu zeigen",
    no_cases_hint="Ihre Fälle können gelöscht worden sein.",
    leave="Zurück zur Suche",
    to_overview="Übersicht",
    begin="Beginnen",
    by=lambda name: f"von {name}",
    read_by=lambda name: f"Leser {name}",
    share="Link zum Teilen",
    settings="Einstellungen",
    close="Sitzung schließen",
    close_help="Danach wird nicht mehr gelesen. Wer den Link hat, sieht alles Geschriebene.",
    reopen="Sitzung wieder öffnen",
    closed="Diese Sitzung ist geschlossen",
    closed_hint="Wer sie angelegt hat, kann sie wieder öffnen.",
    progress=lambda done, n: (
        f"{done} von {'1 Fall' if n == 1 else f'{DE.whole(n)} Fällen'} abgeschlossen"
    ),
    go_on_with=lambda position: f"Weiter mit Fall {position}",
    cases="Fälle",
    states={
        ReadingState.OPENED: "geöffnet",
        ReadingState.IMPRESSION: "erste Beurteilung",
        ReadingState.REVEALED: "aufgedeckt",
        ReadingState.FINISHED: "abgeschlossen",
    },
    case=lambda position: f"Fall {position}",
    case_of=lambda number, n: f"Fall {number} von {n}",
    previous="Zurück",
    next="Weiter",
    paused="Unterbrochen",
    paused_hint="Der Fall ist verdeckt, und seine Zeit läuft nicht.",
    go_on="Fortsetzen",
    blind="Befundbericht, Befunde und Diagnose sind verdeckt, bis Ihre Beurteilung steht.",
    first="Erste Beurteilung",
    final="Endgültige Beurteilung",
    impression_placeholder="Schreiben oder diktieren",
    findings="Befunde",
    findings_placeholder="Befunde wählen, auch „kein pathologischer Befund“",
    kept="Gesichert. Bis zum Aufdecken änderbar.",
    reveal="Aufdecken",
    reveal_help="Zeigt Befundbericht und Befunde. Die erste Beurteilung bleibt dann, wie sie ist.",
    revised="geändert",
    unchanged="unverändert",
    finish="Fall abschließen",
    next_case="Nächster Fall",
    all_done="Übersicht",
    came_by=lambda query: f"In dieser Sitzung durch {query_german(query)}",
    marks={Mark.SHORTLIST: "Liste für das Tumorboard", Mark.TEACHING: "Lehrsammlung"},
    nothing_visible="Übereinstimmung und Exporte erscheinen, sobald Sie einen "
    "Fall abgeschlossen haben: so liest niemand einen Fall, nachdem er gesehen hat, was andere "
    "schrieben.",
    measures="Änderungen und Zeiten",
    everyone="Alle Leser",
    measures_of=measures_german,
    agreement=lambda one, other, stage: (
        f"{one} und {other}: "
        f"{'erste Beurteilungen' if stage is Stage.FIRST else 'endgültige Beurteilungen'}"
    ),
    both_read=lambda n: f"{_faelle(n)} von beiden gelesen",
    kappa=kappa_german,
    overall="Alle Befunde",
    disagreements=lambda n: f"Abweichungen ({n})" if n else "Keine Abweichung",
    and_more=lambda n: f"und {n} weitere in der CSV-Datei",
    marked=lambda mark, n: f"{mark}: {_faelle(n)}",
    session_of_shortlist="Aus der Liste eine Sitzung machen",
    shortlist_of=lambda name: f"{name}: Tumorboard",
    exports=lambda n: f"{_faelle(n)} exportieren",
    with_reports="Mit Befundberichten",
    with_reports_help="Befundberichte können den Patienten nennen.",
    export_kinds={
        ExportKind.PDF: "PDF",
        ExportKind.CSV: "CSV",
        ExportKind.SR: "DICOM SR",
        ExportKind.KO: "DICOM-Schlüsselbilder",
        ExportKind.TEACHING: "Lehrsammlung",
    },
    download=lambda name: f"{name} herunterladen",
    left_out=lambda n: f"Ausgelassen, da ohne DICOM-Bild: {_faelle(n)}",
)
