"""The provider that people sign in at: OpenID Connect's authorization code flow with PKCE.

Authlib asks and checks; this module says what it must insist on. The signature must be by one of
the provider's public keys and an asymmetric algorithm, whatever the token's own header says.

References
----------
OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (``iss`` of an answer); OpenID Connect
RP-Initiated Logout 1.0.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

from apps.access.access_file import LoginSettings, check_provider_url
from medembed.errors import InputError

__all__ = ["Challenge", "Identity", "Provider", "SignInError", "SignInFault"]

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
_KEPT_SECONDS = 3600.0
_AGAIN_SECONDS = 60.0  # an unknown key is looked up again at most so often
_TIMEOUT_SECONDS = 10.0
_LEEWAY_SECONDS = 60
_MOST_BYTES = 2**20


class SignInFault(StrEnum):
    """Why a sign-in failed."""

    UNREACHABLE = "unreachable"
    MISCONFIGURED = "misconfigured"
    REFUSED = "refused"
    STATE = "state"
    TOKEN = "token"  # noqa: S105  a name
    NO_ROLE = "no-role"
    BUSY = "busy"


class SignInError(Exception):
    """A sign-in failed.

    Parameters
    ----------
    fault : SignInFault
        What the person is told.
    detail : str
        For the log of the server; holds no value of a token.
    """

    def __init__(self, fault: SignInFault, detail: str = "") -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)


@dataclass(frozen=True)
class Challenge:
    """The secrets of one sign-in: each is used once."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Challenge:
        """Draw them: 256 random bits each."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(frozen=True)
class Identity:
    """What the provider says of a person, checked."""

    claims: Mapping[str, Any]
    id_token: str


class Provider:
    """One provider.

    Parameters
    ----------
    settings : LoginSettings
    redirect_uri : str
        Where the provider sends people back to.
    clock : callable
        Seconds since 1970, as tokens have them.
    """

    def __init__(
        self,
        settings: LoginSettings,
        redirect_uri: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if find_spec("authlib") is None or find_spec("joserfc") is None:
            raise InputError("signing in needs Authlib", hint="pip install 'medembed[access]'")
        self._settings = settings
        self._secret = settings.secret()  # a missing one shows at the start, not at the first login
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._metadata: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, dict[str, Any]] | None = None

    def _client(self, **options: Any) -> Any:
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        return AsyncOAuth2Client(
            **self._options(), timeout=_TIMEOUT_SECONDS, follow_redirects=False, **options
        )

    def _options(self) -> dict[str, Any]:
        return {
            "client_id": self._settings.client_id,
            "client_secret": self._secret,
            "scope": " ".join(self._settings.scopes),
            "redirect_uri": self._redirect_uri,
            "code_challenge_method": "S256",
        }

    async def address(self, challenge: Challenge) -> str:
        """Give the address to send a person to.

        Raises
        ------
        SignInError
            If the provider cannot be reached, or its metadata is not what the access file says.
        """
        from authlib.oauth2.client import OAuth2Client

        metadata = await self._load_metadata()
        client = OAuth2Client(None, **self._options())
        address, _ = client.create_authorization_url(
            metadata["authorization_endpoint"],
            state=challenge.state,
            nonce=challenge.nonce,
            code_verifier=challenge.verifier,
        )
        return str(address)

    async def redeem(self, code: str, issuer: str | None, challenge: Challenge) -> Identity:
        """Exchange the code of an answer for the person's checked claims.

        Parameters
        ----------
        code : str
        issuer : str or None
            ``iss`` of the answer, if it has one.
        challenge : Challenge
            Of the sign-in that this answers.

        Raises
        ------
        SignInError
        """
        metadata = await self._load_metadata()
        names_itself = metadata.get("authorization_response_iss_parameter_supported") is True
        if issuer != self._settings.issuer and (issuer is not None or names_itself):
            raise SignInError(SignInFault.TOKEN, "the answer names another issuer")
        token = await self._fetch_token(metadata, code, challenge)
        id_token = token.get("id_token")
        if not isinstance(id_token, str):
            raise SignInError(SignInFault.TOKEN, "no ID token")
        claims = await self._checked(id_token, challenge.nonce, token.get("access_token"))
        if self._settings.userinfo:
            claims = {**await self._userinfo(metadata, token, claims["sub"]), **claims}
        return Identity(claims, id_token)

    async def sign_out_address(self, id_token: str, back: str) -> str | None:
        """Give the address that signs out at the provider too; None if it has none.

        Parameters
        ----------
        id_token : str
        back : str
            Where the provider sends the person afterwards.
        """
        try:
            endpoint = (await self._load_metadata()).get("end_session_endpoint")
        except SignInError:
            return None
        if not isinstance(endpoint, str):
            return None
        query = {
            "id_token_hint": id_token,
            "client_id": self._settings.client_id,
            "post_logout_redirect_uri": back,
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def _load_metadata(self) -> dict[str, Any]:
        now = self._clock()
        if self._metadata is None or now - self._metadata[0] > _KEPT_SECONDS:
            place = f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = await self._get_json(place)
            if found.get("issuer") != self._settings.issuer:
                raise SignInError(SignInFault.MISCONFIGURED, "the metadata name another issuer")
            needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            for name in (*needed, "end_session_endpoint", "userinfo_endpoint"):
                try:
                    if name in needed or name in found:
                        check_provider_url(str(found.get(name, "")))
                except ValueError:
                    raise SignInError(SignInFault.MISCONFIGURED, name) from None
            self._metadata = (now, found)
        return self._metadata[1]

    async def _load_keys(self, again: bool = False) -> dict[str, Any]:
        now = self._clock()
        age = float("inf") if self._keys is None else now - self._keys[0]
        if self._keys is None or age > (_AGAIN_SECONDS if again else _KEPT_SECONDS):
            metadata = await self._load_metadata()
            self._keys = (now, await self._get_json(metadata["jwks_uri"]))
        return self._keys[1]

    async def _get_json(self, address: str, **options: Any) -> dict[str, Any]:
        try:
            async with self._client() as client:
                answer = await client.request("GET", address, withhold_token=True, **options)
                answer.raise_for_status()
                found = answer.json() if len(answer.content) <= _MOST_BYTES else None
        except Exception as error:  # noqa: BLE001  of either HTTP library; its text may hold anything
            raise SignInError(SignInFault.UNREACHABLE, type(error).__name__) from None
        if not isinstance(found, dict):
            raise SignInError(SignInFault.UNREACHABLE, "no JSON object")
        return found

    async def _fetch_token(
        self, metadata: Mapping[str, Any], code: str, challenge: Challenge
    ) -> dict[str, Any]:
        from authlib.integrations.base_client import OAuthError

        method = None
        offered = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if self._secret and "client_secret_basic" not in offered:
            method = "client_secret_post"
        try:
            async with self._client(token_endpoint_auth_method=method) as client:
                token = await client.fetch_token(
                    metadata["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=challenge.verifier,
                    redirect_uri=self._redirect_uri,
                )
        except OAuthError as error:
            code_of = error.error if error.error in _OAUTH_ERRORS else "error"
            raise SignInError(SignInFault.TOKEN, code_of) from None
        except Exception as error:  # noqa: BLE001  of either HTTP library; its text may hold anything
            raise SignInError(SignInFault.UNREACHABLE, type(error).__name__) from None
        return dict(token)

    async def _checked(self, id_token: str, nonce: str, access_token: object) -> dict[str, Any]:
        """Check an ID token as OpenID Connect Core 3.1.3.7 demands."""
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import JoseError

        try:
            token = await self._verified(id_token)
            params = {"nonce": nonce, "client_id": self._settings.client_id}
            if isinstance(access_token, str):
                params["access_token"] = access_token
            options = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
            }
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(now=int(self._clock()), leeway=_LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise SignInError(SignInFault.TOKEN, type(error).__name__) from None
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            raise SignInError(SignInFault.TOKEN, "no subject")
        return dict(claims)

    async def _verified(self, id_token: str) -> Any:
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError
        from joserfc.jwk import KeySet
        from joserfc.jws import JWSRegistry

        registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)

        def decode(keys: Any) -> Any:
            return jwt.decode(id_token, KeySet.import_key_set(keys), registry=registry)

        try:
            return decode(await self._load_keys())
        except InvalidKeyIdError:  # the provider may have a new key
            return decode(await self._load_keys(again=True))

    async def _userinfo(
        self, metadata: Mapping[str, Any], token: Mapping[str, Any], subject: str
    ) -> dict[str, Any]:
        endpoint = metadata.get("userinfo_endpoint")
        if not isinstance(endpoint, str):
            raise SignInError(SignInFault.MISCONFIGURED, "userinfo_endpoint")
        bearer = {"Authorization": f"Bearer {token.get('access_token', '')}"}
        found = await self._get_json(endpoint, headers=bearer)
        if found.get("sub") != subject:  # OpenID Connect Core 5.3.2: it may be another's
            raise SignInError(SignInFault.TOKEN, "userinfo of another person")
        return found


_OAUTH_ERRORS = frozenset(  # RFC 6749, 5.2
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope"}
)
