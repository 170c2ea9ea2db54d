"""Tokens for the service: printed once, kept as salted hashes in a file beside the access file.

A token is 256 random bits, so no guess succeeds and a fast hash is enough; the salt keeps equal
hashes from showing anything, and a stolen file gives no token.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from apps.access.access_file import RoleNames
from apps.access.people import Person, Role
from apps.access.strict_yaml import read_strictly
from medembed.errors import ConditionError, ConfigError, InputError
from medembed.library import parse_condition

__all__ = ["TokenFile", "TokenRecord", "TokenState", "token_id"]

_PREFIX = "medembed"  # so that a scanner for secrets recognizes one in a log or a repository
_SECRET_BYTES = 32
_MOST_NAME = 64
_HEAD = "# Written by medembed token. Holds salted hashes only: a lost token cannot be restored.\n"


def _is_condition(text: object) -> object:
    try:
        parse_condition(str(text))
    except ConditionError as error:
        raise ValueError(str(error)) from None
    return text


class TokenState(StrEnum):
    """Whether a token opens anything."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


class TokenRecord(BaseModel):
    """What the file knows of a token."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    name: Annotated[str, Field(pattern=r"^[\w.@-]{1,64}$")]
    roles: RoleNames
    where: list[Annotated[str, BeforeValidator(_is_condition)]] = []
    created: date
    expires: date
    revoked: date | None = None
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def person(self) -> Person:
        """Give whom the token stands for."""
        return Person(f"token:{self.name}", self.roles, map(parse_condition, self.where))


class _Contents(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tokens: list[TokenRecord] = []


def _hashed(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}:{secret}".encode("utf-8", "surrogateescape")).hexdigest()


def _today() -> date:
    return datetime.now(UTC).date()


class TokenFile:
    """The tokens of an access file; a running service follows its changes.

    Parameters
    ----------
    path : Path
        Need not exist yet.
    today : callable
        The day in UTC.
    """

    def __init__(self, path: Path, today: Callable[[], date] = _today) -> None:
        self.path = path
        self._today = today
        self._lock = threading.Lock()
        self._read: tuple[tuple[int, int, int] | None, dict[str, TokenRecord]] = (None, {})

    def records(self) -> list[TokenRecord]:
        """Read all tokens, the expired and revoked ones included.

        Raises
        ------
        ConfigError
            If the file is not valid.
        """
        return list(self._current().values())

    def state(self, record: TokenRecord) -> TokenState:
        """Say whether a token opens anything today."""
        if record.revoked is not None:
            return TokenState.REVOKED
        return TokenState.VALID if self._today() <= record.expires else TokenState.EXPIRED

    def _current(self) -> dict[str, TokenRecord]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        except OSError:
            raise ConfigError(
                "the file cannot be read", where=self.path.name, hint="check its permissions"
            ) from None
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        with self._lock:
            if self._read[0] != stamp:
                contents = read_strictly(self.path, _Contents)
                self._read = (stamp, {record.id: record for record in contents.tokens})
            return self._read[1]

    def person(self, token: str) -> Person | None:
        """Give whom a token stands for; None if it is not valid.

        Raises
        ------
        ConfigError
            If the file is not valid: then no token is.
        """
        record = self._current().get(token_id(token))
        # an unknown id costs the same comparison as a known one
        salt, wanted = (record.salt, record.hash) if record else ("0" * 32, "0" * 64)
        is_right = hmac.compare_digest(_hashed(salt, token), wanted)
        if record is None or not is_right or self.state(record) is not TokenState.VALID:
            return None
        return record.person()

    def create(
        self, name: str, roles: Sequence[Role], where: Sequence[str] = (), days: int = 365
    ) -> tuple[str, TokenRecord]:
        """Make a token and store its hash.

        Parameters
        ----------
        name : str
            Of the program that will use it; the journal shows it.
        roles : sequence of Role
        where : sequence of str
            Conditions that hold for each case that it may see.
        days : int
            Until it expires.

        Returns
        -------
        token : str
            It is stored nowhere.
        record : TokenRecord

        Raises
        ------
        InputError
            If the name is in use or not valid.
        ConditionError
            If a condition is not valid.
        """
        for text in where:
            parse_condition(text)
        identity, salt = secrets.token_hex(6), secrets.token_hex(16)
        token = f"{_PREFIX}_{identity}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        today = self._today()
        try:
            record = TokenRecord(
                id=identity,
                name=name,
                roles=list(roles),
                where=list(where),
                created=today,
                expires=today + timedelta(days=days),
                salt=salt,
                hash=_hashed(salt, token),
            )
        except ValueError:
            raise InputError(
                f"a name has 1 to {_MOST_NAME} letters, digits, dots, dashes or @", where="--name"
            ) from None
        with self._changing() as records:
            if any(r.name == name and self.state(r) is TokenState.VALID for r in records):
                raise InputError(
                    "a valid token has this name",
                    where="--name",
                    hint="revoke it first, or choose another name",
                )
            records.append(record)
        return token, record

    def revoke(self, identity: str) -> TokenRecord:
        """Make a token invalid at once, also for a running service.

        Parameters
        ----------
        identity : str
            Its id or its name.

        Raises
        ------
        InputError
            If no valid token has this id or name.
        """
        today = self._today()
        with self._changing() as records:
            for position, record in enumerate(records):
                if identity in (record.id, record.name) and record.revoked is None:
                    revoked = record.model_copy(update={"revoked": today, "hash": "0" * 64})
                    records[position] = revoked
                    return revoked
        raise InputError(
            "no token in use has this id or name", where="--id", hint="see medembed token list"
        )

    @contextmanager
    def _changing(self) -> Iterator[list[TokenRecord]]:
        """Read, change and write the file while no other process does."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            records = self.records()
            yield records
            self._write(records)
        finally:
            os.close(folder)

    def _write(self, records: Sequence[TokenRecord]) -> None:
        rows = [record.model_dump(exclude_none=True) for record in records]
        for row in rows:
            row["roles"] = [role.value for role in row["roles"]]
        text = _HEAD + yaml.safe_dump({"tokens": rows}, sort_keys=False)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:  # mkstemp gives mode 0600
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def token_id(token: str) -> str:
    """Give the part of a token that is no secret; empty if it has none.

    Examples
    --------
    >>> token_id("medembed_0123456789ab_secret")
    '0123456789ab'
    """
    prefix, _, rest = token.partition("_")
    return rest.partition("_")[0][:12] if prefix == _PREFIX else ""
