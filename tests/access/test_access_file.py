"""The access file: read strictly, and turned into people with roles and rows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.access import AccessFile, Permission, Role, open_door, read_access_file
from apps.access.access_file import FILE_NAME, find_access_file
from apps.access.recording import Recorder
from medembed.errors import ConfigError, InputError
from medembed.library import Condition
from tests.access.conftest import PEOPLE, write_access

URL, ISSUER = "https://room.example.org", "https://id.example.org/realms/hospital"
LOGIN = f"public_url: {URL}\nlogin: {{issuer: '{ISSUER}', client_id: medembed}}\n"
ROLES = "roles: [{claim: groups, value: radiology, roles: [reader]}]\n"


@pytest.fixture
def settings(tmp_path: Path) -> AccessFile:
    return read_access_file(write_access(tmp_path, ISSUER, URL))


def read(folder: Path, text: str) -> AccessFile:
    file = folder / FILE_NAME
    file.write_text(text, encoding="utf-8")
    return read_access_file(file)


def person(settings: AccessFile, name: str):  # type: ignore[no-untyped-def]
    found = settings.person({"sub": name, **PEOPLE[name]})
    assert found is not None
    return found


def test_groups_become_roles_and_rows(settings: AccessFile) -> None:
    anna = person(settings, "anna")
    assert (anna.name, anna.shown) == ("anna", "Anna Reader")
    assert anna.roles == {Role.READER}
    assert anna.where == (Condition("site", "in", ("north",)),)
    rob = person(settings, "rob")
    assert rob.roles == {Role.READER, Role.REVIEWER}
    assert rob.where == ()


def test_the_values_of_several_groups_add_up(settings: AccessFile) -> None:
    both = settings.person({"sub": "b", "groups": ["north-staff", "south-staff"]})
    assert both is not None
    assert both.where == (Condition("site", "in", ("north", "south")),)


def test_without_a_rule_that_fits_nothing_is_allowed_and_nothing_is_seen(
    settings: AccessFile,
) -> None:
    nils = person(settings, "nils")
    assert not any(nils.may(permission) for permission in Permission)
    assert nils.where == (Condition("site", "in", ("\x00",)),)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": ""},
        {"sub": 3},
        {"sub": ["anna"]},
        {"sub": "an\nna"},
        {"sub": "a" * 129},
        {"name": "Anna Reader"},
    ],
)
def test_nobody_is_made_of_claims_without_an_identity(
    settings: AccessFile, claims: dict[str, object]
) -> None:
    assert settings.person(claims) is None


@pytest.mark.parametrize(
    "groups", ["radiologyx", "radiology ", "RADIOLOGY", ["radiolog"], {"radiology": True}, True, 1]
)
def test_a_claim_must_have_the_value_itself(settings: AccessFile, groups: object) -> None:
    found = settings.person({"sub": "x", "groups": groups})
    assert found is not None
    assert found.roles == frozenset()


def test_a_dotted_name_leads_into_nested_claims_unless_a_claim_has_that_name(
    tmp_path: Path,
) -> None:
    nested = read(
        tmp_path,
        LOGIN + "roles: [{claim: realm_access.roles, value: reader, roles: [reader]}]\n",
    )
    for claims in (
        {"sub": "a", "realm_access": {"roles": ["reader"]}},
        {"sub": "a", "realm_access.roles": ["reader"]},
    ):
        found = nested.person(claims)
        assert found is not None
        assert found.roles == {Role.READER}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("publik_url: https://a.example", "unknown key 'publik_url'; did you mean 'public_url'?"),
        (f"public_url: {URL}\nlogin: {{isuer: x}}", "unknown key 'login.isuer'"),
        (LOGIN + "roles: [{claim: g, value: v, role: [reader]}]", "unknown key 'roles.0.role'"),
        (LOGIN, "login needs roles"),
        (f"login: {{issuer: '{ISSUER}', client_id: m}}\n{ROLES}", "login needs public_url"),
        (LOGIN + "roles: [{claim: g, value: v, roles: [boss]}]", "a role is one of reader"),
        (LOGIN + "roles: [{claim: g, value: true, roles: [reader]}]", "roles.0.value"),
        (LOGIN + "roles: [{claim: g, value: v, roles: []}]", "roles.0.roles"),
        (LOGIN + ROLES + "rows: {ward: [{claim: g, value: v, sees: all}]}", "rows.ward"),
        (LOGIN + ROLES + "rows: {site: [{claim: g, value: v, sees: []}]}", "rows.site.0.sees"),
        ("public_url: http://room.example.org", "must begin with https:"),
        ("public_url: https://room.example.org/room", "must not have a path"),
        ("public_url: https://me:secret@room.example.org", "write it as https://host"),
        ("public_url: room.example.org", "write it as https://host"),
        ("sessions: {idle_minutes: '30'}", "sessions.idle_minutes"),
        ("sessions: {idle_minutes: 0}", "sessions.idle_minutes"),
        ("proxies: [proxy.example.org]", "numeric addresses"),
        ("tokens: ../tokens.yaml", "without a folder"),
        ("tokens: access.yaml", "without a folder"),
        ("tokens: a.yaml\ntokens: b.yaml", "a key is given twice near line 2"),
        ("- a\n- b", "access.yaml"),
        ("tokens: [", "not valid YAML near line"),
        (
            LOGIN.replace("client_id", "client_secret_variable: hunter2, client_id") + ROLES,
            "never the secret itself",
        ),
        (LOGIN.replace("https://id", "http://id") + ROLES, "login.issuer: it must begin with"),
        (LOGIN.replace("client_id", "scopes: [profile], client_id") + ROLES, "scope openid"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_key(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    said = str(raised.value)
    assert line in said
    assert said.startswith(FILE_NAME)
    assert "\n" not in said
    assert str(tmp_path) not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://Room.Example.org:443/", "https://room.example.org"),
        ("https://room.example.org:8443", "https://room.example.org:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8501", "http://[::1]:8501"),
    ],
)
def test_the_public_address_is_kept_as_a_browser_writes_an_origin(
    tmp_path: Path, given: str, origin: str
) -> None:
    assert read(tmp_path, f"public_url: {given}").public_url == origin


def test_a_file_that_everybody_may_change_is_refused(tmp_path: Path) -> None:
    file = write_access(tmp_path, ISSUER, URL)
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="every user of this machine"):
        read_access_file(file)


def test_a_missing_secret_shows_at_the_start(
    settings: AccessFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDEMBED_CLIENT_SECRET")
    with pytest.raises(ConfigError, match="MEDEMBED_CLIENT_SECRET is not set"):
        open_door(tmp_path, "127.0.0.1", tmp_path, recorder=lambda _: Recorder())


def test_the_librarys_own_file_is_found_and_another_one_named(tmp_path: Path) -> None:
    assert find_access_file(None, tmp_path) is None
    own = write_access(tmp_path, ISSUER, URL)
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert find_access_file(None, tmp_path) == own
    assert find_access_file(other, tmp_path) == other / FILE_NAME
    assert find_access_file(other / "mine.yaml", tmp_path) == other / "mine.yaml"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "room.example.org"])
def test_others_get_in_only_by_an_access_file_or_an_explicit_word(
    tmp_path: Path, host: str
) -> None:
    with pytest.raises(InputError, match="--no-login") as raised:
        open_door(tmp_path, host)
    assert raised.value.exit_code == 2
    assert open_door(tmp_path, host, no_login=True) is None
    write_access(tmp_path, ISSUER, URL)
    door = open_door(tmp_path, host, recorder=lambda _: Recorder())
    assert door is not None
    assert door.sign_in is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_alone_nothing_has_to_be_set_up(tmp_path: Path, host: str) -> None:
    assert open_door(tmp_path, host) is None


def test_a_page_needs_a_login_and_a_service_does_not(tmp_path: Path) -> None:
    read(tmp_path, "{}")
    with pytest.raises(InputError, match="no section 'login'"):
        open_door(tmp_path, "127.0.0.1")
    door = open_door(tmp_path, "0.0.0.0", with_login=False, recorder=lambda _: Recorder())
    assert door is not None
    assert door.sign_in is None


def test_access_and_no_login_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        open_door(tmp_path, "127.0.0.1", tmp_path, no_login=True)


def test_an_unreadable_file_names_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read_access_file(tmp_path / "nowhere.yaml")
    assert str(tmp_path) not in str(raised.value)
    if os.geteuid() != 0:
        file = write_access(tmp_path, ISSUER, URL)
        file.chmod(0)
        with pytest.raises(ConfigError, match="cannot be read"):
            read_access_file(file)
