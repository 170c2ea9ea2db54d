"""Tokens: printed once, stored as salted hashes, compared in constant time, revoked at once."""

from __future__ import annotations

import hmac
import json
import multiprocessing
import stat
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.access import Permission, Role, TokenFile
from apps.access.access_file import AccessFile
from apps.access.commands import _RoleName, _What, token
from apps.access.door import Door, TooManyAttempts
from apps.access.limits import FailureLimit
from medembed.errors import ConditionError, ConfigError, InputError
from medembed.library import Condition

DAY = date(2026, 11, 1)


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "access-tokens.yaml", today=lambda: DAY)


def test_a_token_opens_what_its_roles_and_rows_allow(tokens: TokenFile) -> None:
    secret, _ = tokens.create("worklist", [Role.READER], ["site=north", "modality in CT,MR"])
    person = tokens.person(secret)
    assert person is not None
    assert person.name == "token:worklist"
    assert person.may(Permission.VIEW)
    assert not person.may(Permission.EXPORT)
    assert person.where == (
        Condition("site", "=", ("north",)),
        Condition("modality", "in", ("CT", "MR")),
    )


def test_the_file_holds_no_token_and_equal_tokens_would_not_show(tokens: TokenFile) -> None:
    made = [tokens.create(f"program-{n}", [Role.READER]) for n in range(3)]
    text = tokens.path.read_text(encoding="utf-8")
    for secret, record in made:
        assert secret not in text
        assert secret.split("_", 2)[2] not in text
        assert record.id in text
    records = tokens.records()
    assert len({record.salt for record in records}) == 3
    assert len({record.hash for record in records}) == 3
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[TokenFile, str, str]:
    """A file with one token: the file, the token, its id."""
    tokens = TokenFile(tmp_path_factory.mktemp("one") / "t.yaml")
    secret, record = tokens.create("a", [Role.ADMIN])
    return tokens, secret, record.id


@settings(deadline=None)
@given(text=st.text(max_size=80))
def test_nothing_but_the_token_itself_is_valid(one: tuple[TokenFile, str, str], text: str) -> None:
    tokens, secret, identity = one
    for wrong in (text, f"medembed_{identity}_{text}", secret + text, text + secret):
        assert (tokens.person(wrong) is not None) is (wrong == secret)


def test_hashes_are_compared_in_constant_time(
    tokens: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for an id that does not exist: as much is hashed and compared as for one that does."""
    secret, _ = tokens.create("a", [Role.READER])
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert tokens.person(secret) is not None
    assert tokens.person("medembed_000000000000_x") is None
    assert tokens.person("x") is None
    assert compared == [(64, 64)] * 3


def test_a_revoked_token_is_invalid_at_once_for_whoever_has_the_file_open(
    tokens: TokenFile,
) -> None:
    running = TokenFile(tokens.path, today=lambda: DAY)
    secret, record = tokens.create("a", [Role.READER])
    assert running.person(secret) is not None
    tokens.revoke("a")
    assert running.person(secret) is None
    assert record.hash not in tokens.path.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="no token in use"):
        tokens.revoke("a")
    again, _ = tokens.create("a", [Role.READER])
    assert running.person(again) is not None
    assert running.person(secret) is None


def test_a_token_expires(tokens: TokenFile) -> None:
    secret, _ = tokens.create("a", [Role.READER], days=30)
    for days, valid in ((0, True), (30, True), (31, False)):
        later = TokenFile(tokens.path, today=lambda days=days: DAY + timedelta(days=days))
        assert (later.person(secret) is not None) is valid


def test_a_name_is_given_once_and_conditions_are_checked(tokens: TokenFile) -> None:
    tokens.create("a", [Role.READER])
    with pytest.raises(InputError, match="has this name"):
        tokens.create("a", [Role.READER])
    for name in ("", "a b", "a\nb", "x" * 65):
        with pytest.raises(InputError, match="a name has"):
            tokens.create(name, [Role.READER])
    with pytest.raises(ConditionError):
        tokens.create("b", [Role.READER], ["site"])
    assert [record.name for record in tokens.records()] == ["a"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("tokens:", "tokenz:"),
        lambda text: text.replace("reader", "boss"),
        lambda text: text.replace("site=north", "site"),
        lambda text: text + "\x00",
        lambda text: text[: len(text) // 2],
    ],
)
def test_a_damaged_file_lets_nobody_in(tokens: TokenFile, damage: Any) -> None:
    secret, _ = tokens.create("a", [Role.READER], ["site=north"])
    tokens.path.write_text(damage(tokens.path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ConfigError):
        tokens.person(secret)


def _create(path: Path, number: int) -> None:
    TokenFile(path).create(f"program-{number}", [Role.READER])


def test_two_processes_lose_no_token(tokens: TokenFile) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_create, args=(tokens.path, n)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {r.name for r in tokens.records()} == {f"program-{n}" for n in range(8)}
    assert not [f for f in tokens.path.parent.iterdir() if f != tokens.path]


def test_guessing_is_stopped_without_locking_out_another_token(tokens: TokenFile) -> None:
    now = [0.0]
    door = Door(
        AccessFile(), tokens, limit=FailureLimit(3, 60.0, clock=lambda: now[0]), with_login=False
    )
    secret, record = tokens.create("a", [Role.READER])
    other, _ = tokens.create("b", [Role.READER])
    for _ in range(3):
        assert door.person_of_token(f"medembed_{record.id}_guess", "10.0.0.1") is None
    with pytest.raises(TooManyAttempts) as raised:
        door.person_of_token(secret, "10.0.0.1")
    assert 0 < raised.value.seconds <= 60
    assert door.person_of_token(other, "10.0.0.1") is not None
    assert door.person_of_token(secret, "10.0.0.2") is not None
    now[0] = 61.0
    assert door.person_of_token(secret, "10.0.0.1") is not None


# --- the command


def call(capsys: pytest.CaptureFixture[str], folder: Path, what: str, **options: Any) -> tuple:
    given = {
        "name": "",
        "role": None,
        "where": None,
        "days": 365,
        "identity": "",
        "as_json": True,
    } | options
    try:
        token(what=_What(what), access=folder, **given)
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prints_a_token_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text("{}", encoding="utf-8")
    role = [_RoleName.READER]
    code, out, _ = call(capsys, tmp_path, "create", name="a", role=role, where=["site=north"])
    made = json.loads(out)
    assert code == 0
    assert made["token"].startswith("medembed_")
    assert TokenFile(tmp_path / "access-tokens.yaml").person(made["token"]) is not None
    code, out, _ = call(capsys, tmp_path, "list")
    listed = json.loads(out)["tokens"]
    assert [(t["name"], t["roles"], t["where"], t["state"]) for t in listed] == [
        ("a", ["reader"], ["site=north"], "valid")
    ]
    assert not {"token", "hash", "salt"} & set(listed[0])
    assert call(capsys, tmp_path, "revoke", identity=listed[0]["id"])[0] == 0
    assert json.loads(call(capsys, tmp_path, "list")[1])["tokens"][0]["state"] == "revoked"


def test_people_read_lines_and_pipe_the_token_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "access.yaml").write_text("{}", encoding="utf-8")
    assert "no tokens" in call(capsys, tmp_path, "list", as_json=False)[2]
    _, out, err = call(capsys, tmp_path, "create", name="a", role=[_RoleName.READER], as_json=False)
    assert out.startswith("medembed_")
    assert out.count("\n") == 1
    assert out.strip() not in err
    assert "cannot be shown again" in err
    assert "valid" in call(capsys, tmp_path, "list", as_json=False)[1]
    assert "revoked" in call(capsys, tmp_path, "revoke", name="a", as_json=False)[2]


@pytest.mark.parametrize(
    ("what", "options", "line"),
    [
        ("create", {"role": [_RoleName.READER]}, "--name"),
        ("create", {"name": "a"}, "--role"),
        ("create", {"name": "a", "role": [_RoleName.READER], "where": ["site"]}, "operator"),
        ("revoke", {}, "--name or --id"),
        ("revoke", {"name": "a"}, "no token in use"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
    options: dict[str, Any],
    line: str,
) -> None:
    (tmp_path / "access.yaml").write_text("{}", encoding="utf-8")
    code, out, err = call(capsys, tmp_path, what, **options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert line in err


def test_without_an_access_file_there_are_no_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, tmp_path, "list")
    assert code == 2
    assert err.count("\n") == 1
    assert str(tmp_path) not in err


def test_the_roles_of_the_command_are_all_roles() -> None:
    assert [role.value for role in _RoleName] == [role.value for role in Role]
