"""Entries as audit messages (IHE ATNA) and as AuditEvents (FHIR): codes and structure."""

from __future__ import annotations

import base64
import json
from xml.etree import ElementTree

import pytest
from support.audit_messages import check_audit_event, grammar

from medembed.journal import Action, Entry, Outcome
from medembed.journal.atna import audit_message
from medembed.journal.codes import EVENTS, OUTCOMES
from medembed.journal.fhir import audit_event, event_bundle

JOURNAL = "0123456789abcdef0123456789abcdef"
TIME = "2026-11-29T08:00:00.000000+00:00"
ONE, TWO = "a1" * 16, "b2" * 16


def entry(
    action: Action, outcome: Outcome = Outcome.DONE, cases: tuple[str, ...] = (ONE, TWO)
) -> Entry:
    details = {"k": 10, "format": "csv", "address": "10.1.2.3", "empty": ""}
    return Entry(7, TIME, "anna müller <a&b>", action, outcome, cases, details)


def test_every_action_and_outcome_has_its_codes() -> None:
    assert set(EVENTS) == set(Action)
    assert set(OUTCOMES) == set(Outcome)
    assert len(set(OUTCOMES.values())) == len(Outcome)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_audit_messages_have_the_structure_of_ps3_15(action: Action, outcome: Outcome) -> None:
    etree = pytest.importorskip("lxml.etree")
    schema = etree.RelaxNG(etree.fromstring(grammar()))
    line = audit_message(entry(action, outcome), JOURNAL)
    assert "\n" not in line
    assert schema.validate(etree.fromstring(line)), schema.error_log
    assert not schema.validate(etree.fromstring(line.replace("UserIsRequestor", "Requestor")))
    without = line.replace("<ParticipantObjectName>case</ParticipantObjectName>", "")
    assert not schema.validate(etree.fromstring(without))


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_audit_events_have_the_structure_of_fhir_r4(action: Action, outcome: Outcome) -> None:
    event = json.loads(json.dumps(audit_event(entry(action, outcome), JOURNAL)))
    check_audit_event(event)
    check_audit_event(audit_event(entry(action, outcome, ()), JOURNAL))
    with pytest.raises(AssertionError):
        check_audit_event({**event, "agent": []})
    with pytest.raises(AssertionError):
        check_audit_event({name: value for name, value in event.items() if name != "source"})


@pytest.mark.parametrize("action", list(Action))
def test_audit_events_are_valid_to_the_published_models(action: Action) -> None:
    """R4B has the AuditEvent of R4 unchanged."""
    models = pytest.importorskip("fhir.resources.R4B.auditevent")
    bundles = pytest.importorskip("fhir.resources.R4B.bundle")
    event = audit_event(entry(action), JOURNAL)
    models.AuditEvent.model_validate(event)
    bundles.Bundle.model_validate(event_bundle([event]))


def test_the_message_of_an_export_is_as_in_table_a_5_3_4_1() -> None:
    """Golden: DICOM PS3.15 2026a, table A.5.3.4-1 (data export), and PS3.17 example WW.3-1."""
    message = ElementTree.fromstring(audit_message(entry(Action.EXPORT), JOURNAL))
    assert [child.tag for child in message] == [
        "EventIdentification",
        *["ActiveParticipant"] * 3,
        "AuditSourceIdentification",
        *["ParticipantObjectIdentification"] * 3,
    ]
    event, user, program, medium, source, log, first, _ = message
    assert event.attrib == {
        "EventActionCode": "R",
        "EventDateTime": TIME,
        "EventOutcomeIndicator": "0",
    }
    assert event[0].attrib == {
        "csd-code": "110106",
        "codeSystemName": "DCM",
        "originalText": "Export",
    }
    assert (event[1].attrib["csd-code"], event[1].attrib["codeSystemName"]) == (
        "export",
        "99MEDEMBED",
    )
    assert user.attrib == {
        "UserID": "anna müller <a&b>",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "10.1.2.3",
        "NetworkAccessPointTypeCode": "2",
    }
    assert user[0].attrib["csd-code"] == "110153"  # Source Role ID
    assert program.attrib == {"UserID": "MedEmbed", "UserIsRequestor": "false"}
    assert program[0].attrib["csd-code"] == "110150"  # Application
    assert medium.attrib == {"UserID": "csv", "UserIsRequestor": "false"}
    assert medium[0].attrib["csd-code"] == "110154"  # Destination Media
    assert medium[1][0].attrib["csd-code"] == "110037"  # URI
    assert source.attrib == {"AuditSourceID": f"medembed-{JOURNAL}"}
    assert source[0].attrib == {"csd-code": "4"}
    assert log.attrib["ParticipantObjectID"] == ("urn:uuid:01234567-89ab-cdef-0123-456789abcdef#7")
    details = {
        child.attrib["type"]: base64.b64decode(child.attrib["value"]).decode()
        for child in log
        if child.tag == "ParticipantObjectDetail"
    }
    assert details["k"] == "10"
    assert details["digest"] == entry(Action.EXPORT).digest
    assert first.attrib == {
        "ParticipantObjectID": ONE,
        "ParticipantObjectTypeCode": "2",
        "ParticipantObjectTypeCodeRole": "3",
        "ParticipantObjectDataLifeCycle": "10",
    }


@pytest.mark.parametrize(
    ("action", "code", "kind", "letter"),
    [  # CID 400, CID 401 and 403 of PS3.16; EventActionCode of the tables A.5.3.x-1 of PS3.15
        (Action.LOGIN, "110114", "110122", "E"),
        (Action.LOGOUT, "110114", "110123", "E"),
        (Action.QUERY, "110112", None, "E"),
        (Action.SHOWN, "110103", None, "R"),
        (Action.OPENED, "110103", None, "R"),
        (Action.PIXELS, "110103", None, "R"),
        (Action.REVEAL, "110110", None, "R"),
        (Action.REVIEW, "110110", None, "U"),
        (Action.EXPORT, "110106", None, "R"),
        (Action.REFUSED, "110113", "110132", "E"),
        (Action.READ, "110101", None, "R"),
        (Action.ERASED, "110105", None, "D"),
        (Action.STARTED, "110113", "110134", "E"),
    ],
)
def test_events_have_the_codes_of_the_standard(
    action: Action, code: str, kind: str | None, letter: str
) -> None:
    event = audit_event(entry(action), JOURNAL)
    message = ElementTree.fromstring(audit_message(entry(action), JOURNAL))
    assert event["type"]["code"] == code
    assert event["type"]["system"] == "http://dicom.nema.org/resources/ontology/DCM"
    assert event["action"] == message[0].attrib["EventActionCode"] == letter
    kinds = [subtype["code"] for subtype in event["subtype"]]
    assert kinds == [child.attrib["csd-code"] for child in message[0].findall("EventTypeCode")]
    assert kinds == ([kind] if kind else []) + [action.value]


def test_a_refusal_and_a_failure_are_told_apart() -> None:
    refused = audit_event(entry(Action.LOGIN, Outcome.REFUSED), JOURNAL)
    failed = audit_event(entry(Action.LOGIN, Outcome.FAILED), JOURNAL)
    assert (refused["outcome"], failed["outcome"]) == ("4", "8")


def test_cases_have_numbers_unless_their_ids_are_asked_for() -> None:
    ids = {ONE: "C-17"}
    plain = audit_message(entry(Action.OPENED), JOURNAL)
    named = audit_message(entry(Action.OPENED), JOURNAL, lambda n: ids.get(n, n))
    assert ONE in plain
    assert "C-17" not in plain
    assert "C-17" in named
    assert ONE not in named
    assert TWO in named


def test_an_address_is_given_as_one_only_if_it_is_one() -> None:
    odd = Entry(1, TIME, "a", Action.LOGIN, Outcome.DONE, (), {"address": "elsewhere"})
    assert "NetworkAccessPointID" not in audit_message(odd, JOURNAL)
    assert "network" not in audit_event(odd, JOURNAL)["agent"][0]


def test_a_bundle_puts_each_event_under_its_own_id() -> None:
    bundle = event_bundle([audit_event(entry(Action.QUERY), JOURNAL)])
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "batch")
    (item,) = bundle["entry"]
    assert item["request"] == {"method": "PUT", "url": f"AuditEvent/{JOURNAL}-7"}
