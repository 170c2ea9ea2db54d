"""How entries map to the events of DICOM PS3.15 A.5 (IHE ATNA) and of FHIR AuditEvent.

References
----------
DICOM PS3.15 annex A.5 (audit trail message format profile); DICOM PS3.16 CID 400 (event id), 401
and 403 (event type), 402 (role), 405 (media type); IHE ITI TF-1 section 9 (ATNA), ITI-20.
"""

from __future__ import annotations

from dataclasses import dataclass

from medembed.journal.action import Action, Outcome

__all__ = [
    "EVENTS",
    "OUTCOMES",
    "OWN_SCHEME",
    "OWN_SYSTEM",
    "Code",
    "Event",
    "ObjectKind",
    "own_code",
]

OWN_SCHEME = "99MEDEMBED"
"""Coding scheme designator of our own codes; PS3.16 section 8 keeps 99 for private ones."""

OWN_SYSTEM = "urn:oid:2.25.264848881510367790130242438877993867067"
"""The same as a URI, for FHIR: an OID under 2.25 needs no registration."""

DCM = "DCM"
OBJECT_IDS = "RFC-3881"


@dataclass(frozen=True)
class Code:
    """A code with its scheme and its meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class ObjectKind:
    """How the objects of an event take part in it.

    Parameters
    ----------
    role : str
        ParticipantObjectTypeCodeRole of the entry's own object: 24 query, 13 security resource,
        20 job.
    life_cycle : str
        ParticipantObjectDataLifeCycle of the cases.
    """

    role: str = "20"
    life_cycle: str = "6"


@dataclass(frozen=True)
class Event:
    """The event that an action is.

    Parameters
    ----------
    event_id : Code
        EventID, CID 400.
    action : str
        EventActionCode: C, R, U, D or E.
    event_type : Code or None
        EventTypeCode of the standard; our own code is always added.
    objects : ObjectKind
    user_role : Code or None
        RoleIDCode of the user.
    media_role : Code or None
        RoleIDCode of the medium, for exports and imports.
    """

    event_id: Code
    action: str
    event_type: Code | None = None
    objects: ObjectKind = ObjectKind()
    user_role: Code | None = None
    media_role: Code | None = None


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, DCM, meaning)


AUTHENTICATION = _dcm("110114", "User Authentication")
ACCESSED = _dcm("110103", "DICOM Instances Accessed")
RECORD = _dcm("110110", "Patient Record")
QUERY = _dcm("110112", "Query")
ALERT = _dcm("110113", "Security Alert")
LOG_USED = _dcm("110101", "Audit Log Used")
APPLICATION = _dcm("110150", "Application")
DESTINATION = _dcm("110152", "Destination Role ID")
SOURCE = _dcm("110153", "Source Role ID")
DESTINATION_MEDIA = _dcm("110154", "Destination Media")
SOURCE_MEDIA = _dcm("110155", "Source Media")
URI = _dcm("110037", "URI")

_LOG = ObjectKind(role="13")

EVENTS: dict[Action, Event] = {
    Action.LOGIN: Event(AUTHENTICATION, "E", _dcm("110122", "Login")),
    Action.LOGOUT: Event(AUTHENTICATION, "E", _dcm("110123", "Logout")),
    Action.QUERY: Event(QUERY, "E", objects=ObjectKind(role="24"), user_role=SOURCE),
    Action.SHOWN: Event(ACCESSED, "R"),
    Action.OPENED: Event(ACCESSED, "R"),
    Action.PIXELS: Event(ACCESSED, "R"),
    Action.REVEAL: Event(RECORD, "R"),
    Action.REVIEW: Event(RECORD, "U", objects=ObjectKind(life_cycle="3")),
    Action.EXPORT: Event(
        _dcm("110106", "Export"),
        "R",
        objects=ObjectKind(life_cycle="10"),
        user_role=SOURCE,
        media_role=DESTINATION_MEDIA,
    ),
    Action.AUDIT: Event(QUERY, "E", objects=ObjectKind(role="24"), user_role=SOURCE),
    Action.REFUSED: Event(
        ALERT, "E", _dcm("110132", "Use of Restricted Function"), ObjectKind(role="13")
    ),
    Action.STARTED: Event(ALERT, "E", _dcm("110134", "Audit Recording Started"), _LOG),
    Action.READ: Event(LOG_USED, "R", objects=_LOG),
    Action.ERASED: Event(
        _dcm("110105", "DICOM Study Deleted"), "D", objects=ObjectKind(life_cycle="15")
    ),
    Action.ARCHIVED: Event(LOG_USED, "R", objects=_LOG),
    Action.RESTORED: Event(
        _dcm("110107", "Import"), "C", user_role=DESTINATION, media_role=SOURCE_MEDIA
    ),
    Action.LOST: Event(ALERT, "E", _dcm("110133", "Audit Recording Stopped"), _LOG),
}
"""The event of each action."""

OUTCOMES: dict[Outcome, str] = {Outcome.DONE: "0", Outcome.REFUSED: "4", Outcome.FAILED: "8"}
"""EventOutcomeIndicator: success, minor failure, serious failure."""

LOG_ID_TYPE = Code("12", OBJECT_IDS, "URI")
CASE_ID_TYPE = Code("case", OWN_SCHEME, "Number of a case in this journal")


def own_code(action: Action) -> Code:
    """Return our own code of an action, which is more precise than the standard's events."""
    return Code(action.value, OWN_SCHEME, action.text)
