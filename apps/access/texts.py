"""Texts of the pages around the sign-in, in English and German."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from apps.access.asgi import Message, header_values
from apps.access.provider import SignInFault
from apps.access.sessions import Ended

__all__ = ["SIGN_IN_TEXTS", "SignInTexts", "texts_for"]


@dataclass(frozen=True)
class SignInTexts:
    """The pages before, beside and after the reading room."""

    language: str
    product: str
    title: str
    introduction: str
    sign_in: str
    sign_in_at: Callable[[str], str]  # name of the provider
    again: str
    ended: Mapping[Ended, str]
    failed: str
    faults: Mapping[SignInFault, str]
    not_allowed: str
    not_allowed_hint: str
    sign_out: str
    signed_out: str
    foot: str


ENGLISH = SignInTexts(
    language="en",
    product="MedEmbed",
    title="Reading room",
    introduction="Sign in to look up similar past cases.",
    sign_in="Sign in",
    sign_in_at=lambda name: f"Sign in with {name}",
    again="Sign in again",
    ended={
        Ended.SIGNED_OUT: "You are signed out.",
        Ended.IDLE: "You were signed out because nothing happened for a while. Images that you had "
        "dropped were removed.",
        Ended.ABSOLUTE: "Your session reached its longest time. Images that you had dropped were "
        "removed.",
        Ended.REPLACED: "Your session ended because you signed in again.",
        Ended.CLOSED: "The reading room was restarted.",
    },
    failed="You are not signed in",
    faults={
        SignInFault.UNREACHABLE: "The sign-in service does not answer. Try again in a minute.",
        SignInFault.MISCONFIGURED: "The sign-in service and the access file do not agree. Tell "
        "whoever looks after the reading room.",
        SignInFault.REFUSED: "The sign-in service did not let you in, or you canceled.",
        SignInFault.STATE: "This sign-in took too long, was used before, or began in another "
        "window.",
        SignInFault.TOKEN: "The sign-in service's answer was not valid.",
        SignInFault.NO_ROLE: "Your account may not use the reading room. Ask whoever looks after "
        "it for a role.",
        SignInFault.BUSY: "Too many sign-ins at once. Try again in a minute.",
    },
    not_allowed="Not for your account",
    not_allowed_hint="Your roles do not include the reading room.",
    sign_out="Sign out",
    signed_out="Signed out",
    foot="For research and teaching. Not a medical device.",
)

GERMAN = SignInTexts(
    language="de",
    product="MedEmbed",
    title="Befundraum",
    introduction="Melden Sie sich an, um ähnliche frühere Fälle zu suchen.",
    sign_in="Anmelden",
    sign_in_at=lambda name: f"Anmelden mit {name}",
    again="Erneut anmelden",
    ended={
        Ended.SIGNED_OUT: "Sie sind abgemeldet.",
        Ended.IDLE: "Sie wurden abgemeldet, weil länger nichts geschah. Abgelegte Bilder wurden "
        "entfernt.",
        Ended.ABSOLUTE: "Ihre Sitzung hat ihre längste Dauer erreicht. Abgelegte Bilder wurden "
        "entfernt.",
        Ended.REPLACED: "Ihre Sitzung endete, weil Sie sich erneut angemeldet haben.",
        Ended.CLOSED: "Der Befundraum wurde neu gestartet.",
    },
    failed="Sie sind nicht angemeldet",
    faults={
        SignInFault.UNREACHABLE: "Der Anmeldedienst antwortet nicht. Versuchen Sie es in einer "
        "Minute erneut.",
        SignInFault.MISCONFIGURED: "Anmeldedienst und Zugriffsdatei passen nicht zusammen. Sagen "
        "Sie es denen, die den Befundraum betreuen.",
        SignInFault.REFUSED: "Der Anmeldedienst hat Sie nicht angemeldet, oder Sie haben "
        "abgebrochen.",
        SignInFault.STATE: "Diese Anmeldung dauerte zu lange, wurde schon benutzt oder begann in "
        "einem anderen Fenster.",
        SignInFault.TOKEN: "Die Antwort des Anmeldedienstes war nicht gültig.",
        SignInFault.NO_ROLE: "Ihr Konto darf den Befundraum nicht benutzen. Bitten Sie die "
        "Betreuenden um eine Rolle.",
        SignInFault.BUSY: "Zu viele Anmeldungen auf einmal. Versuchen Sie es in einer Minute "
        "erneut.",
    },
    not_allowed="Nicht für Ihr Konto",
    not_allowed_hint="Ihre Rollen umfassen den Befundraum nicht.",
    sign_out="Abmelden",
    signed_out="Abgemeldet",
    foot="Für Forschung und Lehre. Kein Medizinprodukt.",
)

SIGN_IN_TEXTS: Mapping[str, SignInTexts] = {"en": ENGLISH, "de": GERMAN}
"""By language."""


def texts_for(scope: Message) -> SignInTexts:
    """Choose the first language of the browser that there are texts in; else English."""
    for entry in ",".join(header_values(scope, b"accept-language")).split(","):
        language = entry.partition(";")[0].strip().lower().partition("-")[0]
        if language in SIGN_IN_TEXTS:
            return SIGN_IN_TEXTS[language]
    return ENGLISH
