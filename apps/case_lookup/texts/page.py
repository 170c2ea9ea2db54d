"""Texts around every view: the language, the keys, and what Streamlit's widgets say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apps.case_lookup.texts.language import Language

__all__ = ["ENGLISH", "GERMAN", "LANGUAGE_NAMES", "PageTexts"]

LANGUAGE_NAMES = {Language.ENGLISH: "English", Language.GERMAN: "Deutsch"}
"""Each in its own language, so that it is found by who cannot read the page."""


@dataclass(frozen=True)
class PageTexts:
    """What stands around every view."""

    language: str
    loading: str
    no_script: str
    skip: str
    keys: str  # title of the list of keys
    keys_button: str
    key_names: tuple[str, ...]  # in the order of key_effects; "+" joins keys, " " lists them
    key_effects: tuple[str, ...]
    keys_typing: str
    keys_off: str
    keys_on: str
    close: str
    # Streamlit's own words, replaced by our style sheet and script
    upload: str
    upload_drop: str
    drop: str
    press_enter: str
    remove: str  # before the name of what is removed
    clear_all: str
    sidebar_open: str
    sidebar_close: str
    sidebar: str
    choices: str  # the list of a picker
    chosen: str
    choose_date: str
    help: str  # before the name of what is explained


ENGLISH = PageTexts(
    language="Language",
    loading="Loading the reading room",
    no_script="The reading room needs JavaScript; this page sends nothing to other machines.",
    skip="Skip to the cases",
    keys="Keys",
    keys_button="Keys (?)",
    key_names=("/", "↓ j", "↑ k", "Enter", "Alt+←", "Tab", "Esc", "Ctrl+P", "?"),
    key_effects=(
        "To the words of the query",
        "Next case of the results",
        "Previous case of the results",
        "Search, or open the case",
        "Back to the results, at the case you opened",
        "Next control (with Shift: the previous one)",
        "Close a list or this window, or leave the field",
        "Print: a case a page, on white",
        "This list",
    ),
    keys_typing="Single keys do nothing while you type.",
    keys_off="Turn single keys off",
    keys_on="Turn single keys on",
    close="Close",
    upload="Choose files",
    upload_drop="or drop them anywhere on the page",
    drop="Drop to search",
    press_enter="Enter searches",
    remove="Remove",
    clear_all="Clear all",
    sidebar_open="Show query and filters",
    sidebar_close="Hide query and filters",
    sidebar="Query and filters",
    choices="Choices",
    chosen="Chosen",
    choose_date="Choose a date",
    help="Help for",
)

GERMAN = replace(
    ENGLISH,
    language="Sprache",
    loading="Der Befundraum wird geladen",
    no_script="Der Befundraum braucht JavaScript; diese Seite sendet nichts an andere Rechner.",
    skip="Zu den Fällen springen",
    keys="Tasten",
    keys_button="Tasten (?)",
    key_names=("/", "↓ j", "↑ k", "Eingabe", "Alt+←", "Tab", "Esc", "Strg+P", "?"),
    key_effects=(
        "Zum Text der Anfrage",
        "Nächster Treffer",
        "Voriger Treffer",
        "Suchen oder den Fall öffnen",
        "Zurück zu den Treffern, an den geöffneten Fall",
        "Nächstes Bedienelement (mit Umschalt: das vorige)",
        "Eine Liste oder dieses Fenster schließen, oder das Feld verlassen",
        "Drucken: ein Fall je Seite, auf Weiß",
        "Diese Übersicht",
    ),
    keys_typing="Beim Schreiben wirken die Tastenkürzel nicht.",
    keys_off="Tastenkürzel abschalten",
    keys_on="Tastenkürzel einschalten",
    close="Schließen",
    upload="Dateien wählen",
    upload_drop="oder irgendwo auf die Seite ziehen",
    drop="Zum Suchen loslassen",
    press_enter="Eingabe sucht",
    remove="Entfernen:",
    clear_all="Alle entfernen",
    sidebar_open="Anfrage und Filter zeigen",
    sidebar_close="Anfrage und Filter ausblenden",
    sidebar="Anfrage und Filter",
    choices="Auswahl",
    chosen="Gewählt",
    choose_date="Datum wählen",
    help="Hilfe zu",
)
