"""A row rule holds wherever a case is named, counted or shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from apps.access import (
    LOCAL_PERSON,
    NotAllowedError,
    Person,
    Role,
    VisibleLibrary,
    conditions,
    visible,
    visible_case,
    visible_cases,
    visible_result,
)
from apps.case_lookup import signed_in
from apps.case_lookup.session import LibrarySession, SearchRequest
from medembed.errors import ConditionError, LibraryError
from medembed.index.search_notes import SearchNote, SearchNoteKind
from medembed.library import Condition
from tests.apps.acting import PAGE, html, search

NORTH = Person("anna", [Role.READER], [Condition("site", "in", ("north",))])
SOUTH_CT = Person(
    "sven", [Role.READER], [Condition("site", "=", ("SOUTH",)), Condition("modality", "=", ("CT",))]
)
NOTHING = Person("nils", [Role.READER], [Condition("site", "in", ("\x00",))])
NORTHERN = [f"C-{n:04d}" for n in range(7)]
EVERY = [f"C-{n:04d}" for n in range(14)]


@pytest.fixture(scope="module")
def shared(small_library: Path) -> Iterator[LibrarySession]:
    session = LibrarySession(small_library)
    yield session
    session.close()


@pytest.mark.parametrize(
    ("person", "seen"),
    [(NORTH, NORTHERN), (SOUTH_CT, ["C-0013"]), (NOTHING, []), (LOCAL_PERSON, EVERY)],
)
def test_a_case_is_visible_exactly_where_the_conditions_hold(
    shared: LibrarySession, person: Person, seen: list[str]
) -> None:
    library = shared.library
    assert visible_cases(library, person, [*EVERY, "C-9999", "c-0001", ""]) == seen
    assert [c for c in EVERY if visible(library, person, c)] == seen
    assert library.find(conditions(person)) == seen
    for case_id in EVERY:
        if case_id in seen:
            assert visible_case(library, person, case_id).case_id == case_id
            continue
        with pytest.raises(LibraryError) as hidden:
            visible_case(library, person, case_id)
        with pytest.raises(LibraryError) as missing:
            visible_case(library, person, "C-9999")
        assert str(hidden.value) == str(missing.value)


def test_a_rule_on_an_attribute_that_does_not_exist_hides_everything(
    shared: LibrarySession,
) -> None:
    person = Person("x", [Role.READER], [Condition("ward", "=", ("A",))])
    with pytest.raises(ConditionError):
        visible(shared.library, person, "C-0001")
    with pytest.raises(ConditionError):
        shared.for_person(person).search(SearchRequest(text="effusion"))


@pytest.mark.parametrize(("person", "seen"), [(NORTH, NORTHERN), (SOUTH_CT, ["C-0013"])])
def test_a_library_seen_by_a_person_has_their_cases_only(
    shared: LibrarySession, person: Person, seen: list[str]
) -> None:
    library = VisibleLibrary(shared.library, person)
    assert library.find() == seen
    assert [case.case_id for case in library.cases()] == seen
    assert [case.case_id for case in library.select(EVERY)] == seen
    assert len(library) == len(seen)
    assert [c for c in EVERY if c in library] == seen
    assert sorted(library.patients()) == seen
    assert sum(library.value_counts("modality").values()) == len(seen)
    assert set(library.value_counts("site")) == {library.case(c).site for c in seen}
    assert library.value_counts("finding") == {"effusion": len(seen)}
    assert library.mask("sex=F").tolist() == [library.case(c).sex == "F" for c in seen]
    assert set(library.cases_with_note()) == set(seen) - {"C-0003"}
    assert library.n_notes() == len(set(seen) - {"C-0003"})
    hidden = next(c for c in EVERY if c not in seen)
    with pytest.raises(LibraryError):
        library.case(hidden)
    digest = shared.library.case(hidden).scans[0].sha256
    assert shared.library.cases_with_scan(digest) == [hidden]
    assert library.cases_with_scan(digest) == []


def test_a_library_seen_by_a_person_gives_no_vectors_and_changes_nothing(
    shared: LibrarySession,
) -> None:
    library = VisibleLibrary(shared.library, NORTH)
    kept = shared.library.embedding_sets()[0]
    with pytest.raises(NotAllowedError):
        library.vectors(kept.fingerprint, "image")
    with pytest.raises(NotAllowedError):
        library.erase("P-0001")
    with pytest.raises(NotAllowedError):
        library.add([])
    library.close()
    assert len(shared.library) == 14


@pytest.mark.parametrize(
    "request_",
    [
        SearchRequest(text="right pleural effusion", k=50),
        SearchRequest(text="effusion", where=(Condition("site", "=", ("south",)),), k=50),
        SearchRequest(case_id="C-0002", k=50),
        SearchRequest(text="effusion", case_id="C-0002", k=50),
        SearchRequest(text="effusion", own_patients=("P-0001",), k=50),
    ],
)
def test_no_search_finds_a_hidden_case(shared: LibrarySession, request_: SearchRequest) -> None:
    assert {h.case_id for h in shared.search(request_).hits} - set(NORTHERN)
    result = shared.for_person(NORTH).search(request_)
    hits = {hit.case_id for hit in result.hits}
    assert hits <= set(NORTHERN)
    assert bool(hits) is not any(c.field == "site" for c in request_.where)
    named = {n for p in result.patients for n in (*p.others, *p.priors)} | set(result.own_cases)
    assert named <= set(NORTHERN)
    assert result.plan.matching <= len(NORTHERN)


def test_a_result_says_nothing_of_hidden_cases_beside_its_hits(shared: LibrarySession) -> None:
    result = shared.for_person(NORTH).search(SearchRequest(text="effusion", k=50))
    patient = replace(result.patients[0], others=("C-0008", "C-0002"), priors={"C-0009": 3})
    notes = (
        SearchNote(SearchNoteKind.OWN_CASES, (), ("C-0009", "C-0001")),
        SearchNote(SearchNoteKind.OWN_PATIENT, (3, 1)),
        SearchNote(SearchNoteKind.FEWER_HITS, (7, 50)),
    )
    told = replace(
        result,
        own_cases=("C-0009", "C-0001"),
        own_patient_cases=3,
        patients=(patient,),
        plan=replace(result.plan, notes=notes),
        hits=(replace(result.hits[0], same_image=("C-0010", "C-0003")),),
    )
    assert visible_result(shared.library, LOCAL_PERSON, told) is told
    seen = visible_result(shared.library, NORTH, told)
    assert seen.own_cases == ("C-0001",)
    assert seen.own_patient_cases == 1
    assert seen.patients[0].others == ("C-0002",)
    assert seen.patients[0].priors == {}
    assert seen.hits[0].same_image == ("C-0003",)
    assert [(n.kind, n.names) for n in seen.plan.notes] == [
        (SearchNoteKind.OWN_CASES, ("C-0001",)),
        (SearchNoteKind.FEWER_HITS, ()),
    ]
    hidden = visible_result(shared.library, NORTH, replace(told, own_cases=("C-0009",)))
    assert [n.kind for n in hidden.plan.notes] == [SearchNoteKind.FEWER_HITS]
    for case_id in set(EVERY) - set(NORTHERN):
        assert case_id not in str(seen.to_json()["patients"])


def test_a_hidden_case_cannot_be_the_query(shared: LibrarySession) -> None:
    with pytest.raises(LibraryError) as hidden:
        shared.for_person(NORTH).search(SearchRequest(case_id="C-0009"))
    with pytest.raises(LibraryError) as missing:
        shared.for_person(NORTH).search(SearchRequest(case_id="C-9999"))
    assert str(hidden.value) == str(missing.value)


def test_counts_other_studies_and_dropped_files_keep_to_the_rule(
    shared: LibrarySession,
) -> None:
    seen = shared.for_person(NORTH)
    assert dict(shared.value_counts("site")) == {"north": 7, "south": 7}
    assert dict(seen.value_counts("site")) == {"north": 7}
    case = shared.library.case("C-0006")
    assert [c.case_id for c in shared.other_studies(case)] == ["C-0007"]
    assert seen.other_studies(case) == []
    where = [Condition("sex", "=", ("F",)), Condition("modality", "=", ("CT",))]
    assert [n for _, n in shared.counts_without_each(where)] == [1, 7]
    assert [n for _, n in seen.counts_without_each(where)] == [0, 3]
    file = shared.library.scan_files(shared.library.case("C-0009"))[0][0]

    class Dropped:
        name, file_id = "image-1.dcm", "1"

        def getbuffer(self) -> memoryview:
            return memoryview(file.read_bytes())

    assert shared.read_dropped([Dropped()]).cases == ("C-0009",)
    assert seen.read_dropped([Dropped()]).cases == ()


def test_people_with_equal_rules_share_what_is_counted_and_others_do_not(
    shared: LibrarySession,
) -> None:
    assert shared.for_person(LOCAL_PERSON) is shared
    assert shared.for_person(NORTH) is shared.for_person(NORTH)
    assert shared.for_person(SOUTH_CT) is not shared.for_person(NORTH)
    assert shared.for_person(Person("ann", [Role.ADMIN], NORTH.where)) is shared.for_person(NORTH)
    for number in range(300):
        where = [Condition("site", "=", (str(number),))]
        shared.for_person(Person("p", [Role.READER], where))
    assert len(shared._of_people) == 200


@pytest.fixture
def as_anna(small_library: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MEDEMBED_LIBRARY", str(small_library))
    monkeypatch.setattr(signed_in, "person_of_handle", lambda _: NORTH)
    monkeypatch.setattr(signed_in, "has_logins", lambda: True)
    return AppTest.from_file(PAGE, default_timeout=30)


def test_the_page_shows_the_rows_of_its_person_and_who_that_is(as_anna: AppTest) -> None:
    room = search(as_anna.run(), "effusion")
    shown = html(room)
    assert "Signed in as anna." in shown
    assert 'href="/access/logout"' in shown
    assert "7 cases" in shown
    assert "14 cases" not in shown
    assert not any(f"Case {hidden}" in shown for hidden in EVERY[7:])


def test_a_link_to_a_hidden_case_shows_that_there_is_none(as_anna: AppTest) -> None:
    as_anna.query_params["case"] = "C-0009"
    hidden = html(as_anna.run())
    assert "Planted" not in hidden
    assert "number 9" not in hidden
    as_anna.query_params["case"] = "C-9999"
    assert html(as_anna.run()) == hidden
    as_anna.query_params["case"] = "C-0001"
    assert "number 1" in html(as_anna.run())


def test_somebody_without_a_role_sees_one_line(
    as_anna: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_in, "person_of_handle", lambda _: Person("nils"))
    room = as_anna.run()
    assert "lacks the permission" in room.error[0].value
    assert "effusion" not in html(room)
    assert not room.text_input
