"""The command ``medembed token``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medembed.cli.command import AsJson, emit, note, verb
from medembed.errors import InputError

if TYPE_CHECKING:
    from apps.access.tokens import TokenFile, TokenRecord

__all__ = ["token"]


class _What(StrEnum):
    CREATE = "create"
    LIST = "list"
    REVOKE = "revoke"


class _RoleName(StrEnum):  # as in apps.access.people, which the help does not load
    READER = "reader"
    REVIEWER = "reviewer"
    AUDITOR = "auditor"
    MONITOR = "monitor"
    ADMIN = "admin"


@verb
def token(
    what: Annotated[_What, typer.Argument(metavar="create|list|revoke", help="What to do.")],
    access: Annotated[
        Path,
        typer.Argument(metavar="ACCESS", help="Access file, or the library's folder that has one."),
    ],
    name: Annotated[
        str,
        typer.Option(help="With create: the program that uses the token. With revoke: it, too."),
    ] = "",
    role: Annotated[
        list[_RoleName] | None, typer.Option(help="With create: a role; repeat for several.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="With create: only cases that meet this, such as site=north; repeat for several.",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="With create: days until the token expires.")
    ] = 365,
    identity: Annotated[
        str, typer.Option("--id", metavar="ID", help="With revoke: the token's id in the list.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Create, list or revoke the tokens with which programs use the service.

    A token is printed once, when it is created: only its salted hash is stored. A revoked token is
    invalid at once, also for a service that is running.

    Example: medembed token create my-library --name worklist --role reader --where site=north
    """
    from apps.access.access_file import find_access_file, read_access_file
    from apps.access.tokens import TokenFile

    file = find_access_file(access, access)
    assert file is not None
    tokens = TokenFile(file.parent / read_access_file(file).tokens)
    if what is _What.LIST:
        _list(tokens, as_json)
    elif what is _What.REVOKE:
        if not (name or identity):
            raise InputError("say which token", where="--name or --id")
        record = tokens.revoke(identity or name)
        line = f"Token {record.name} ({record.id}) is revoked."
        emit(_plain(record), as_json, lambda: note(line))
    else:
        _create(tokens, name, role or [], where or [], days, as_json)


def _create(
    tokens: TokenFile,
    name: str,
    roles: list[_RoleName],
    where: list[str],
    days: int,
    as_json: bool,
) -> None:
    from apps.access.people import Role

    if not name:
        raise InputError("a token needs a name", where="--name")
    if not roles:
        raise InputError("a token needs a role", where="--role", hint="--role reader")
    secret, record = tokens.create(name, [Role(role.value) for role in roles], where, days)

    def human() -> None:
        note(f"Token {record.name} ({record.id}), valid through {record.expires}. Keep it now:")
        note("it is not stored and cannot be shown again. Send it as 'Authorization: Bearer …'.")
        sys.stdout.write(f"{secret}\n")

    emit({**_plain(record), "token": secret}, as_json, human)


def _list(tokens: TokenFile, as_json: bool) -> None:
    records = tokens.records()

    def human() -> None:
        if not records:
            note("There are no tokens.")
        for record in records:
            roles = ",".join(role.value for role in record.roles)
            parts = [record.id, record.name, roles, *record.where, tokens.state(record).value]
            sys.stdout.write("  ".join(parts) + f"  (expires {record.expires})\n")

    rows = [{**_plain(record), "state": tokens.state(record).value} for record in records]
    emit({"tokens": rows}, as_json, human)


def _plain(record: TokenRecord) -> dict[str, Any]:
    """Give a record as plain data, without salt and hash."""
    return record.model_dump(mode="json", exclude={"salt", "hash"})
