"""The access file: who may sign in, who gets which role, and who sees which rows.

docs/guides/access.md describes it with an example.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from apps.access.people import Person, Role
from apps.access.strict_yaml import read_strictly
from medembed.errors import ConfigError
from medembed.library import Condition

__all__ = [
    "FILE_NAME",
    "AccessFile",
    "LoginSettings",
    "RoleRule",
    "RowRule",
    "SessionSettings",
    "find_access_file",
    "read_access_file",
]

FILE_NAME = "access.yaml"
"""Name of an access file in a library's folder, which is used if no other is given."""

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_IDENTITY = 128  # as long as the journal takes
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def _role(value: object) -> Role:
    try:
        return Role(str(value))
    except ValueError:
        raise ValueError(f"a role is one of {', '.join(role.value for role in Role)}") from None


RoleNames = Annotated[list[Annotated[Role, BeforeValidator(_role)]], Field(min_length=1)]
"""At least one role, by name."""

RowField = Literal["site", "modality", "view", "scanner", "kind", "split"]


class _Section(BaseModel):
    # a quoted "30" is no number, and `on` no text: nothing is guessed
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _origin(text: str) -> str:
    """Normalize an address to its origin: scheme, host and port as a browser writes them."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("write it as https://host or https://host:port") from None
    given = (parts.username, parts.password, parts.query, parts.fragment)
    if parts.scheme not in ("http", "https") or not host or any(given):
        raise ValueError("write it as https://host or https://host:port")
    if parts.path not in ("", "/"):
        raise ValueError("it must not have a path: the page needs a host or port of its own")
    if parts.scheme == "http" and host not in LOOPBACK_HOSTS:
        raise ValueError("it must begin with https:, except on this machine")
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{name}" + ("" if port in (None, usual) else f":{port}")


class LoginSettings(_Section):
    """The provider that people sign in at (OpenID Connect).

    Parameters
    ----------
    issuer : str
        As the provider's own metadata names it, letter by letter.
    client_id : str
    client_secret_variable : str, optional
        Environment variable that holds the client's secret; a client without one has only PKCE.
    scopes : list of str
    identity : str
        Claim that names a person to the journal and the reviews; the provider must keep it unique.
    name : str
        Claim with the name to show on the page.
    userinfo : bool
        Whether to ask the provider's userinfo address for claims that the ID token lacks.
    provider : str
        The provider's name on the sign-in button.
    """

    issuer: str
    client_id: Annotated[str, Field(min_length=1)]
    client_secret_variable: str | None = None
    scopes: list[str] = ["openid", "profile"]
    identity: Annotated[str, Field(min_length=1)] = "sub"
    name: Annotated[str, Field(min_length=1)] = "name"
    userinfo: bool = False
    provider: str = ""

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, text: str) -> str:
        check_provider_url(text)
        return text

    @field_validator("scopes")
    @classmethod
    def _has_openid(cls, scopes: list[str]) -> list[str]:
        if "openid" not in scopes:
            raise ValueError("the scope openid must be among them")
        if any(not scope or re.search(r"\s", scope) for scope in scopes):
            raise ValueError("a scope is one word")
        return scopes

    @field_validator("client_secret_variable")
    @classmethod
    def _is_variable(cls, name: str | None) -> str | None:
        if name is not None and _VARIABLE.fullmatch(name) is None:
            raise ValueError(
                "give the name of an environment variable in capitals, never the secret itself"
            )
        return name

    def secret(self) -> str | None:
        """Read the client's secret from the environment.

        Raises
        ------
        ConfigError
            If the variable is not set.
        """
        if self.client_secret_variable is None:
            return None
        secret = os.environ.get(self.client_secret_variable, "")
        if not secret:
            raise ConfigError(
                f"the environment variable {self.client_secret_variable} is not set",
                where="login.client_secret_variable",
                hint="set it to the secret of the client at the provider",
            )
        return secret


def check_provider_url(text: str) -> None:
    """Refuse an address of the provider that could be read or changed on its way.

    Raises
    ------
    ValueError
    """
    parts = urlsplit(text)
    if not parts.hostname or parts.fragment or parts.username:
        raise ValueError("it must be a web address")
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK_HOSTS):
        raise ValueError("it must begin with https:, except on this machine")


class SessionSettings(_Section):
    """How long a sign-in lasts."""

    idle_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 30
    absolute_hours: Annotated[int, Field(ge=1, le=7 * 24)] = 12


class RoleRule(_Section):
    """Roles for everybody whose claim has a value."""

    claim: Annotated[str, Field(min_length=1)]
    value: Annotated[str, Field(min_length=1)]
    roles: RoleNames


class RowRule(_Section):
    """Rows for everybody whose claim has a value: those with one of some values, or all."""

    claim: Annotated[str, Field(min_length=1)]
    value: Annotated[str, Field(min_length=1)]
    sees: Literal["all"] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class AccessFile(_Section):
    """What the access file says.

    Parameters
    ----------
    public_url : str, optional
        The page's address as browsers see it: scheme, host and port. Needed behind a TLS proxy.
    proxies : list of str
        Addresses or networks whose ``X-Forwarded-For`` counts; from anywhere else it is ignored.
    login : LoginSettings, optional
        Without it nobody can sign in to the page.
    sessions : SessionSettings
    roles : list of RoleRule
        Every rule that fits adds its roles.
    rows : mapping of field to list of RowRule
        For each field, a person sees the values of every rule that fits, and none if no rule fits.
    tokens : str
        File of the service's tokens, beside this one.
    """

    public_url: str | None = None
    proxies: list[str] = []
    login: LoginSettings | None = None
    sessions: SessionSettings = SessionSettings()
    roles: list[RoleRule] = []
    rows: Mapping[RowField, list[RowRule]] = {}
    tokens: str = "access-tokens.yaml"

    @field_validator("public_url")
    @classmethod
    def _is_origin(cls, text: str | None) -> str | None:
        return None if text is None else _origin(text)

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, proxies: list[str]) -> list[str]:
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError("give numeric addresses or networks, such as 10.0.0.5") from None
        return proxies

    @field_validator("tokens")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if Path(name).name != name or name in ("", ".", "..", FILE_NAME):
            raise ValueError("give a file name without a folder; the file lies beside this one")
        return name

    @model_validator(mode="after")
    def _is_complete(self) -> AccessFile:
        if self.login is not None and self.public_url is None:
            raise ValueError("login needs public_url: the provider sends people back to it")
        if self.login is not None and not self.roles:
            raise ValueError("login needs roles: without a rule nobody may do anything")
        return self

    def person(self, claims: Mapping[str, Any]) -> Person | None:
        """Give the person that a provider's claims describe; None without a usable identity.

        A person whom no rule gives a role may do nothing.
        """
        if self.login is None:
            return None
        identity = _claim(claims, self.login.identity)
        if not isinstance(identity, str) or not identity.strip() or not identity.isprintable():
            return None
        if len(identity) > _MOST_IDENTITY:
            return None
        shown = _claim(claims, self.login.name)
        roles = {r for rule in self.roles if _has(claims, rule) for r in rule.roles}
        where = [
            Condition(field, "in", tuple(values))
            for field, rules in self.rows.items()
            if (values := _values(claims, rules)) is not None
        ]
        return Person(
            identity, roles, where, shown[:80] if isinstance(shown, str) and shown.strip() else ""
        )


def _values(claims: Mapping[str, Any], rules: list[RowRule]) -> list[str] | None:
    """Collect what the rules of one field let somebody see; None for everything."""
    fitting = [rule.sees for rule in rules if _has(claims, rule)]
    if "all" in fitting:
        return None
    # a condition without values is not valid, and no field holds this character
    return sorted({value for sees in fitting for value in sees}) or ["\x00"]


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Look up a claim; a dotted name also leads into nested ones (``realm_access.roles``)."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _has(claims: Mapping[str, Any], rule: RoleRule | RowRule) -> bool:
    value = _claim(claims, rule.claim)
    if isinstance(value, list):
        return any(isinstance(part, str) and part == rule.value for part in value)
    return isinstance(value, str) and value == rule.value


def find_access_file(given: Path | None, library: Path) -> Path | None:
    """Give the access file: the one named, or that of the library's folder, or None."""
    if given is not None:
        return given / FILE_NAME if given.is_dir() else given
    own = library / FILE_NAME
    return own if own.exists() else None


def read_access_file(path: Path) -> AccessFile:
    """Read and check an access file.

    Raises
    ------
    ConfigError
        In one line, which names the key that is wrong.
    """
    return read_strictly(path, AccessFile)
