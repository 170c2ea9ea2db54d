"""The structure of audit messages (DICOM PS3.15 A.5.1) and of AuditEvents (FHIR R4), as checks.

Written from the tables and the schema of the standards: which attributes and elements there are, in
which order, how many, and which values they take.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

__all__ = ["check_audit_event", "grammar"]

_A = "http://relaxng.org/ns/structure/1.0"
_TYPES = "http://www.w3.org/2001/XMLSchema-datatypes"


def _required(name: str, content: str = "<text/>") -> str:
    return f'<attribute name="{name}">{content}</attribute>'


def _optional(name: str, content: str = "<text/>") -> str:
    return f"<optional>{_required(name, content)}</optional>"


def _choice(*values: str) -> str:
    return "<choice>" + "".join(f"<value>{value}</value>" for value in values) + "</choice>"


def _numbers(last: int) -> str:
    return _choice(*(str(n) for n in range(1, last + 1)))


def _coded(name: str) -> str:
    return (
        f'<element name="{name}">{_required("csd-code")}{_required("codeSystemName")}'
        f"{_optional('displayName')}{_required('originalText')}</element>"
    )


def grammar() -> str:
    """Return the schema of PS3.15 A.5.1 as RELAX NG, without what no message here has.

    Left out are the descriptions of instances (MPPS, accession, SOP classes).
    """
    event = (
        '<element name="EventIdentification">'
        + _optional("EventActionCode", _choice(*"CRUDE"))
        + _required("EventDateTime", '<data type="dateTime"/>')
        + _required("EventOutcomeIndicator", _choice("0", "4", "8", "12"))
        + _coded("EventID")
        + f"<zeroOrMore>{_coded('EventTypeCode')}</zeroOrMore>"
        + '<optional><element name="EventOutcomeDescription"><text/></element></optional>'
        + "</element>"
    )
    participant = (
        '<oneOrMore><element name="ActiveParticipant">'
        + _required("UserID")
        + _optional("AlternativeUserID")
        + _optional("UserName")
        + _required("UserIsRequestor", '<data type="boolean"/>')
        + _optional("NetworkAccessPointID", '<data type="token"/>')
        + _optional("NetworkAccessPointTypeCode", _numbers(5))
        + f"<zeroOrMore>{_coded('RoleIDCode')}</zeroOrMore>"
        + f'<optional><element name="MediaIdentifier">{_coded("MediaType")}</element></optional>'
        + "</element></oneOrMore>"
    )
    source = (
        '<element name="AuditSourceIdentification">'
        + _optional("AuditEnterpriseSiteID")
        + _required("AuditSourceID", '<data type="token"/>')
        + '<zeroOrMore><element name="AuditSourceTypeCode">'
        + _required("csd-code", _numbers(9))
        + "</element></zeroOrMore></element>"
    )
    detail = (
        '<zeroOrMore><element name="ParticipantObjectDetail">'
        + _required("type", '<data type="token"/>')
        + _required("value", '<data type="base64Binary"/>')
        + "</element></zeroOrMore>"
    )
    found = (
        '<zeroOrMore><element name="ParticipantObjectIdentification">'
        + _required("ParticipantObjectID", '<data type="token"/>')
        + _optional("ParticipantObjectTypeCode", _numbers(4))
        + _optional("ParticipantObjectTypeCodeRole", _numbers(26))
        + _optional("ParticipantObjectDataLifeCycle", _numbers(15))
        + _optional("ParticipantObjectSensitivity")
        + _coded("ParticipantObjectIDTypeCode")
        + '<choice><element name="ParticipantObjectName"><data type="token"/></element>'
        + '<element name="ParticipantObjectQuery"><data type="base64Binary"/></element></choice>'
        + detail
        + "</element></zeroOrMore>"
    )
    return (
        f'<element name="AuditMessage" xmlns="{_A}" datatypeLibrary="{_TYPES}">'
        f"{event}{participant}{source}{found}</element>"
    )


# FHIR R4, AuditEvent: name -> (least, most, kind); kinds are checked by _KINDS or are a table

_CODING = {"system": (1, 1, "uri"), "code": (1, 1, "code"), "display": (0, 1, "string")}
_CONCEPT = {"coding": (0, None, _CODING), "text": (0, 1, "string")}
_IDENTIFIER = {"system": (0, 1, "uri"), "value": (1, 1, "string")}
_REFERENCE = {"identifier": (0, 1, _IDENTIFIER), "display": (0, 1, "string")}
_EVENT: dict[str, Any] = {
    "resourceType": (1, 1, "string"),
    "id": (0, 1, "id"),
    "type": (1, 1, _CODING),
    "subtype": (0, None, _CODING),
    "action": (0, 1, "action"),
    "recorded": (1, 1, "instant"),
    "outcome": (0, 1, "outcome"),
    "agent": (
        1,
        None,
        {
            "type": (0, 1, _CONCEPT),
            "who": (0, 1, _REFERENCE),
            "altId": (0, 1, "string"),
            "name": (0, 1, "string"),
            "requestor": (1, 1, "boolean"),
            "media": (0, 1, _CODING),
            "network": (0, 1, {"address": (0, 1, "string"), "type": (0, 1, "code")}),
        },
    ),
    "source": (
        1,
        1,
        {"observer": (1, 1, _REFERENCE), "type": (0, None, _CODING)},
    ),
    "entity": (
        0,
        None,
        {
            "what": (0, 1, _REFERENCE),
            "type": (0, 1, _CODING),
            "role": (0, 1, _CODING),
            "lifecycle": (0, 1, _CODING),
            "name": (0, 1, "string"),
            "detail": (0, None, {"type": (1, 1, "string"), "valueString": (1, 1, "string")}),
        },
    ),
}
_KINDS = {
    "string": lambda value: isinstance(value, str) and bool(value.strip()),
    "code": lambda value: isinstance(value, str) and bool(re.fullmatch(r"\S+( \S+)*", value)),
    "uri": lambda value: isinstance(value, str) and bool(re.fullmatch(r"[a-z]+:\S+", value)),
    "id": lambda value: bool(re.fullmatch(r"[A-Za-z0-9.-]{1,64}", value)),
    "boolean": lambda value: type(value) is bool,
    "action": lambda value: value in tuple("CRUDE"),
    "outcome": lambda value: value in ("0", "4", "8", "12"),
    "instant": lambda value: datetime.fromisoformat(value).tzinfo is not None,
}


def check_audit_event(event: dict[str, Any]) -> None:
    """Check an AuditEvent against the elements, counts and types of FHIR R4.

    Raises
    ------
    AssertionError
        At the first that is not as the standard says.
    """
    assert event["resourceType"] == "AuditEvent"
    _check(event, _EVENT, "AuditEvent")


def _check(found: dict[str, Any], wanted: dict[str, Any], where: str) -> None:
    assert set(found) <= set(wanted), f"{where}: {set(found) - set(wanted)}"
    for name, (least, most, kind) in wanted.items():
        place = f"{where}.{name}"
        if name not in found:
            assert least == 0, f"{place} is missing"
            continue
        values = found[name] if most is None else [found[name]]
        assert isinstance(values, list), place
        assert values, f"{place} is empty, which FHIR forbids"
        for value in values:
            if isinstance(kind, str):
                assert _KINDS[kind](value), f"{place}: {value!r}"
            else:
                assert isinstance(value, dict), place
                _check(value, kind, place)
