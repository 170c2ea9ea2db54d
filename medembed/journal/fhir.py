"""An entry as an AuditEvent of FHIR R4."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from medembed.journal.atna import LOG_NAME, entry_uri, network_address
from medembed.journal.codes import (
    APPLICATION,
    DCM,
    EVENTS,
    OUTCOMES,
    OWN_SCHEME,
    OWN_SYSTEM,
    URI,
    Code,
    Event,
    own_code,
)
from medembed.journal.entry import Entry

__all__ = ["audit_event", "event_bundle"]

_SYSTEMS = {DCM: "http://dicom.nema.org/resources/ontology/DCM", OWN_SCHEME: OWN_SYSTEM}
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_LIFE_CYCLE = "http://terminology.hl7.org/CodeSystem/dicom-audit-lifecycle"
_SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_IP_ADDRESS = "2"


def audit_event(
    entry: Entry, journal: str, case_name: Callable[[str], str] = str
) -> dict[str, Any]:
    """Return an entry as an AuditEvent.

    Parameters
    ----------
    entry : Entry
    journal : str
        Name of the journal, the observer.
    case_name : callable
        Gives what to call a case, from its number.

    References
    ----------
    HL7 FHIR R4 (4.0.1), AuditEvent; its elements map one to one to those of DICOM PS3.15 A.5.
    """
    event = EVENTS[entry.action]
    kinds = [own_code(entry.action)]
    if event.event_type is not None:
        kinds.insert(0, event.event_type)
    return {
        "resourceType": "AuditEvent",
        "id": f"{journal}-{entry.number}",
        "type": _coding(event.event_id),
        "subtype": [_coding(code) for code in kinds],
        "action": event.action,
        "recorded": entry.time,
        "outcome": OUTCOMES[entry.outcome],
        "agent": _agents(entry, event),
        "source": {
            "observer": {
                "identifier": {"system": OWN_SYSTEM, "value": journal},
                "display": "MedEmbed",
            },
            "type": [{"system": _SOURCE_TYPE, "code": "4", "display": "Application Server"}],
        },
        "entity": [
            _log_entity(entry, event, journal),
            *(_case_entity(case_name(number), event) for number in entry.cases),
        ],
    }


def event_bundle(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return AuditEvents as a Bundle that a FHIR server takes in one request.

    Each is put under its own id, so that sending it again adds nothing.
    """
    return {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {
                "resource": event,
                "request": {"method": "PUT", "url": f"AuditEvent/{event['id']}"},
            }
            for event in events
        ],
    }


def _coding(code: Code) -> dict[str, str]:
    return {"system": _SYSTEMS[code.scheme], "code": code.value, "display": code.meaning}


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [_coding(code)]}


def _agents(entry: Entry, event: Event) -> list[dict[str, Any]]:
    user: dict[str, Any] = {
        "who": {"identifier": {"value": entry.actor}},
        "altId": entry.actor,
        "requestor": True,
    }
    if event.user_role is not None:
        user["type"] = _concept(event.user_role)
    address = network_address(entry)
    if address:
        user["network"] = {"address": address, "type": _IP_ADDRESS}
    program = {
        "type": _concept(APPLICATION),
        "who": {"display": "MedEmbed"},
        "requestor": False,
    }
    agents = [user, program]
    if event.media_role is not None:
        name = str(entry.details.get("format") or "file")
        medium = {"type": _concept(event.media_role), "name": name, "requestor": False}
        agents.append({**medium, "media": _coding(URI)})
    return agents


def _log_entity(entry: Entry, event: Event, journal: str) -> dict[str, Any]:
    chain = {"digest": entry.digest, "previous": entry.previous}
    return {
        "what": {"identifier": {"value": entry_uri(entry, journal)}},
        "type": {"system": _ENTITY_TYPE, "code": "2", "display": "System Object"},
        "role": {"system": _OBJECT_ROLE, "code": event.objects.role},
        "name": LOG_NAME,
        "detail": [
            {"type": name, "valueString": str(value)}
            for name, value in {**chain, **entry.details}.items()
            if str(value)
        ],
    }


def _case_entity(name: str, event: Event) -> dict[str, Any]:
    return {
        "what": {"identifier": {"system": OWN_SYSTEM, "value": name}},
        "type": {"system": _ENTITY_TYPE, "code": "2", "display": "System Object"},
        "role": {"system": _OBJECT_ROLE, "code": "3", "display": "Report"},
        "lifecycle": {"system": _LIFE_CYCLE, "code": event.objects.life_cycle},
        "name": "case",
    }
