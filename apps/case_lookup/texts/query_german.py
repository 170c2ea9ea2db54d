"""The texts of a query's state in German."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

from apps.case_lookup.archive_checks import Aspect, CheckState
from apps.case_lookup.texts.language import DE, Noun
from apps.case_lookup.texts.query import ENGLISH
from apps.case_lookup.texts.words import GERMAN as WORDS

__all__ = ["GERMAN"]


_patienten = Noun("zurückgehaltenen Patienten", "zurückgehaltenen Patienten", DE)


def _zahl(n: int, noun: str, plural: str) -> str:
    return Noun(noun, plural, DE)(n)


def _fit_german(fitting: int, n: int, contradicting: int) -> str:
    hits = (
        "Dieser Treffer nennt"
        if n == 1
        else f"Von diesen {n} Treffern {'nennt' if fitting == 1 else 'nennen'}"
    )
    against = f" {contradicting} von ihnen widersprechen." if contradicting > 1 else ""
    against = " Einer von ihnen widerspricht." if contradicting == 1 else against
    if n == 1:
        what = "alles Gesuchte" if fitting else "nicht alles Gesuchte"
        return f"{hits} {what}.{' Er widerspricht.' if contradicting else ''}"
    if not fitting:
        return f"Keiner dieser {n} Treffer nennt alles Gesuchte.{against}"
    return f"{hits} {fitting} alles Gesuchte.{against}"


def _in_ten_german(share: float, low: float, high: float) -> str:
    ends = f"{math.floor(10 * low + 1e-9)} bis {math.ceil(10 * high - 1e-9)}"
    n = math.floor(10 * share + 0.5)
    shared = "teilt etwa 1 den Befund" if n == 1 else f"teilen etwa {n} den Befund"
    return f"Von 10 solchen Treffern {shared} (95\u00a0%: {ends})"


def _before_german(days: int) -> str:
    if days < 60:
        return f"{_zahl(days, 'Tag', 'Tage')} zuvor"
    if days < 730:
        return f"{round(days / 30.44)} Monate zuvor"
    return f"{round(days / 365.25)} Jahre zuvor"


_BODY_PARTS = {
    "chest": "Thorax",
    "abdomen": "Abdomen",
    "pelvis": "Becken",
    "head": "Kopf",
    "brain": "Gehirn",
    "neck": "Hals",
    "spine": "Wirbelsäule",
    "knee": "Knie",
    "hand": "Hand",
    "foot": "Fuß",
    "shoulder": "Schulter",
    "hip": "Hüfte",
    "breast": "Mamma",
    "heart": "Herz",
}


def _value_german(aspect: str, value: str) -> str:
    return _BODY_PARTS.get(value.lower(), value) if aspect == "Körperregion" else value


def _lacks_german(aspect: Aspect, value: str) -> str:
    named = f"{_ASPECTS[aspect]} {_value_german(_ASPECTS[aspect], value)}"
    return f"Die Sammlung enthält nichts mit {named}. Die Treffer zeigen etwas anderes."


_ASPECTS = {
    Aspect.MODALITY: "Modalität",
    Aspect.BODY_PART: "Körperregion",
    Aspect.VIEW: "Projektion",
}


def _on_german(day: str) -> str:
    return f"vom {_day_german(day)}" if day else "(ohne Datum)"


def _day_german(day: str) -> str:
    """Write a day of a file: what is no date is shown as it is."""
    try:
        return WORDS.day(date.fromisoformat(day))
    except ValueError:
        return day


def _audit_group_german(attribute: str, group: str) -> str:
    named = {("sex", "F"): "Frauen", ("sex", "M"): "Männer"}
    if (attribute, group) in named:
        return named[attribute, group]
    label = {"age_band": "Alter", "race": "Ethnie", "site": "Standort", "sex": "Geschlecht"}
    return f"{label.get(attribute, attribute)} {group}"


def _audit_verdict_german(verdict: str, is_better: bool, margin: float) -> str:
    how = "besser" if is_better else "schlechter"
    points = f"{100 * margin:.0f} Prozentpunkte"
    return {
        "within": f"kein Unterschied über {points} hinaus",
        "exceeds": f"{how} bedient als andere, um mehr als {points}",
        "differs": f"{how} bedient als andere",
        "inconclusive": "zu wenige Patienten, um einen Unterschied zu erkennen",
    }.get(verdict, "der Unterschied ließ sich nicht beurteilen")


GERMAN = replace(
    ENGLISH,
    asked_for="Ihre Suche",
    remove="Aus der Suche nehmen",
    words=lambda text: f"„{text}“",
    region="Markierter Bereich",
    like=lambda case_id: f"Mehr wie Fall {case_id}",
    unlike=lambda case_id: f"Weniger wie Fall {case_id}",
    left_out=lambda name: f"Zählt nicht: {name}",
    weight=lambda percent: f"Bild {percent}\u00a0%",
    one_per_patient="Ein Fall je Patient",
    undo="Rückgängig",
    redo="Wiederholen",
    unread="Ein Teil dieser Adresse ließ sich hier nicht verwenden und wurde weggelassen.",
    gone_image="Das Bild dieser Suche ist nicht mehr hier: Bilder gehören nicht zu einem Link und "
    "werden zehn Minuten nach ihrer Seite entfernt. Bitte neu ablegen; alles andere bleibt.",
    gone_words="Der Text dieser Suche ist nicht mehr hier: Text, der einen Patienten nennen kann, "
    "gehört nicht zu einem Link. Bitte neu eingeben; alles andere blieb erhalten.",
    series="Serie",
    series_name=lambda number, what, n: (
        f"{number}: {what + ', ' if what else ''}{_zahl(n, 'Bild', 'Bilder')}"
    ),
    mark_region="Nach einem Bereich suchen",
    drag_region="Ziehen Sie einen Rahmen auf dem Bild, oder stellen Sie seine Ränder ein.",
    top_to_bottom="Von oben nach unten",
    left_to_right="Von links nach rechts",
    slice_="Schicht",
    search_region="Mit diesem Bereich suchen",
    like_library="Die Sammlung enthält solche Fälle.",
    like_detail=lambda p_value: (
        f"{DE.share(p_value)} ihrer eigenen Fälle sind mindestens so ungewöhnlich."
    ),
    not_known="Nicht bekannt, ob die Sammlung Vergleichbares enthält.",
    novelty_stale="Das wurde kalibriert, bevor sich die Sammlung änderte.",
    instead=lambda names: (
        f"Ihre Befundberichte verwenden diese Wörter nicht, nennen aber: {', '.join(names)}."
    ),
    aspects=_ASPECTS,
    checks={
        CheckState.HOLDS: lambda aspect, value, n: (
            f"{aspect} {_value_german(aspect, value)}: {_zahl(n, 'Fall', 'Fälle')} in der Sammlung"
        ),
        CheckState.LACKS: lambda aspect, value, _: (
            f"{aspect} {_value_german(aspect, value)}: nicht in der Sammlung"
        ),
        CheckState.NOT_STATED: lambda aspect, *_: f"{aspect}: im Bild nicht angegeben",
        CheckState.NOT_RECORDED: lambda aspect, *_: f"{aspect}: in der Sammlung nicht angegeben",
    },
    lacks=_lacks_german,
    no_such_case=lambda names: (
        f"Kein Fall hier hat {', '.join(names)}. Die Treffer zeigen etwas anderes."
    ),
    fit=_fit_german,
    in_ten=_in_ten_german,
    basis=lambda day, n, any_case: (
        f"Von 10 beliebigen Fällen teilen etwa {math.floor(10 * any_case + 0.5)} den Befund. "
        f"Gemessen am {_day_german(day)} an {_patienten(n)}."
    ),
    basis_stale="Die Sammlung hat sich seither geändert (medembed index SAMMLUNG ausführen).",
    worth_unknown=lambda why: (
        f"Wie viele solcher Treffer den Befund teilen, ist nicht bekannt: {why}."
    ),
    more_like="Mehr davon",
    less_like="Weniger davon",
    more_like_help=lambda rank: f"Die Suche behalten und mehr suchen wie Treffer {rank}",
    less_like_help=lambda rank: f"Die Suche behalten und weniger suchen wie Treffer {rank}",
    same_image=lambda n: f"Dasselbe Bild in {'1 Fall' if n == 1 else f'{DE.whole(n)} Fällen'}:",
    earlier_studies=lambda n: "Voraufnahme:" if n == 1 else f"Voraufnahmen ({n}):",
    other_studies=lambda n: f"Passt ebenfalls{'' if n == 1 else f' ({n})'}:",
    own_studies=lambda n: (
        "Eigene Untersuchung dieses Patienten (unten nicht aufgeführt):"
        if n == 1
        else f"Eigene Untersuchungen dieses Patienten ({n}, unten nicht aufgeführt):"
    ),
    before=_before_german,
    possible=lambda finding: f"V. a. {finding}",
    possible_help="Der Befundbericht legt sich nicht fest",
    ruled_out=lambda finding: f"{finding}: so gekennzeichnet, im Befundbericht aber ausgeschlossen",
    no_audit="Noch keine Prüfung: wie gut die Suche Patienten wie diesem dient, ist nicht bekannt "
    "(medembed audit ausführen).",
    audit_of_other_model="Die letzte Prüfung gilt einem anderen Modell: wie gut diese Suche "
    "Patienten wie diesem dient, ist nicht bekannt (medembed audit ausführen).",
    audit_needs_patient=lambda day: (
        f"Die Prüfung {_on_german(day)} vergleicht Gruppen von Patienten. Die Suche nennt weder "
        "Geschlecht noch Alter des Patienten."
    ),
    audit_has_no_group=lambda day: (
        f"Die Prüfung {_on_german(day)} vergleicht Patienten wie diesen nicht mit anderen."
    ),
    audit=lambda day, outcome: f"Patienten wie dieser in der Prüfung {_on_german(day)}: {outcome}",
    audit_group=_audit_group_german,
    audit_withheld=lambda group: f"{group}: zu wenige Patienten für eine Zahl",
    audit_verdict=_audit_verdict_german,
    audit_line=lambda group, share, ends, rest, verdict: (
        f"{group}: {DE.share(share)} ({DE.share(ends[0])}–{DE.share(ends[1])}), "
        f"andere {DE.share(rest)}; {verdict}"
    ),
)
