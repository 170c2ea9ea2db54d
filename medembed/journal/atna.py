"""An entry as an audit message of DICOM PS3.15 A.5, which IHE ATNA sends to an audit repository."""

from __future__ import annotations

import base64
from collections.abc import Callable
from ipaddress import ip_address
from uuid import UUID
from xml.etree import ElementTree

from medembed.journal.codes import (
    APPLICATION,
    CASE_ID_TYPE,
    EVENTS,
    LOG_ID_TYPE,
    OUTCOMES,
    URI,
    Code,
    Event,
    own_code,
)
from medembed.journal.entry import Entry

__all__ = ["LOG_NAME", "audit_message", "entry_uri", "network_address"]

LOG_NAME = "Security Audit Log"
"""What PS3.15 A.5.3.2 calls the object."""

_APPLICATION_SERVER = "4"
_SYSTEM_OBJECT = "2"
_REPORT = "3"
_IP_ADDRESS = "2"


def audit_message(entry: Entry, journal: str, case_name: Callable[[str], str] = str) -> str:
    """Return an entry as an ``AuditMessage`` on one line.

    Parameters
    ----------
    entry : Entry
    journal : str
        Name of the journal, the AuditSourceID.
    case_name : callable
        Gives what to call a case, from its number.

    References
    ----------
    DICOM PS3.15 A.5.1 (schema), A.5.3 (messages).
    """
    event = EVENTS[entry.action]
    message = ElementTree.Element("AuditMessage")
    _identification(message, entry, event)
    _participants(message, entry, event)
    source = ElementTree.SubElement(
        message, "AuditSourceIdentification", AuditSourceID=f"medembed-{journal}"
    )
    ElementTree.SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    _log_object(message, entry, event, journal)
    for number in entry.cases:
        found = ElementTree.SubElement(
            message,
            "ParticipantObjectIdentification",
            ParticipantObjectID=case_name(number),
            ParticipantObjectTypeCode=_SYSTEM_OBJECT,
            ParticipantObjectTypeCodeRole=_REPORT,
            ParticipantObjectDataLifeCycle=event.objects.life_cycle,
        )
        _coded(found, "ParticipantObjectIDTypeCode", CASE_ID_TYPE)
        ElementTree.SubElement(found, "ParticipantObjectName").text = "case"
    return ElementTree.tostring(message, encoding="unicode")


def _identification(message: ElementTree.Element, entry: Entry, event: Event) -> None:
    found = ElementTree.SubElement(
        message,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=entry.time,
        EventOutcomeIndicator=OUTCOMES[entry.outcome],
    )
    _coded(found, "EventID", event.event_id)
    if event.event_type is not None:
        _coded(found, "EventTypeCode", event.event_type)
    _coded(found, "EventTypeCode", own_code(entry.action))


def _participants(message: ElementTree.Element, entry: Entry, event: Event) -> None:
    user = ElementTree.SubElement(
        message, "ActiveParticipant", UserID=entry.actor, UserIsRequestor="true"
    )
    address = network_address(entry)
    if address:
        user.set("NetworkAccessPointID", address)
        user.set("NetworkAccessPointTypeCode", _IP_ADDRESS)
    if event.user_role is not None:
        _coded(user, "RoleIDCode", event.user_role)
    program = ElementTree.SubElement(
        message, "ActiveParticipant", UserID="MedEmbed", UserIsRequestor="false"
    )
    _coded(program, "RoleIDCode", APPLICATION)
    if event.media_role is not None:
        medium = ElementTree.SubElement(
            message,
            "ActiveParticipant",
            UserID=str(entry.details.get("format") or "file"),
            UserIsRequestor="false",
        )
        _coded(medium, "RoleIDCode", event.media_role)
        _coded(ElementTree.SubElement(medium, "MediaIdentifier"), "MediaType", URI)


def _log_object(message: ElementTree.Element, entry: Entry, event: Event, journal: str) -> None:
    """Add the entry itself: its place in the chain, and its details."""
    found = ElementTree.SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=entry_uri(entry, journal),
        ParticipantObjectTypeCode=_SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=event.objects.role,
    )
    _coded(found, "ParticipantObjectIDTypeCode", LOG_ID_TYPE)
    ElementTree.SubElement(found, "ParticipantObjectName").text = LOG_NAME
    chain = {"digest": entry.digest, "previous": entry.previous}
    for name, value in {**chain, **entry.details}.items():
        if not str(value):
            continue
        encoded = base64.b64encode(str(value).encode()).decode("ascii")
        ElementTree.SubElement(found, "ParticipantObjectDetail", type=name, value=encoded)


def _coded(parent: ElementTree.Element, name: str, code: Code) -> None:
    ElementTree.SubElement(
        parent,
        name,
        {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning},
    )


def entry_uri(entry: Entry, journal: str) -> str:
    """Return the URI of an entry: the journal's UUID and its number."""
    return f"{UUID(journal).urn}#{entry.number}"


def network_address(entry: Entry) -> str:
    """Return the address that an entry names under ``address``, empty if it names none."""
    try:
        return str(ip_address(str(entry.details.get("address", ""))))
    except ValueError:
        return ""
