"""A small real OpenID Connect provider on this machine, and ways in which one may misbehave."""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID, CLIENT_SECRET = "medembed", "client-secret"
Claims = dict[str, Any]


@dataclass
class Provider:
    """People, keys, and what is issued; a test may change each."""

    issuer: str
    people: dict[str, Claims]
    redirect_uris: set[str] = field(default_factory=set)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    codes: dict[str, Claims] = field(default_factory=dict)
    metadata: Claims = field(default_factory=dict)
    change_claims: Callable[[Claims], Claims] = lambda claims: claims
    sign: Callable[[Claims], str] | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    is_down: bool = False

    def id_token(self, claims: Claims) -> str:
        if self.sign is not None:
            return self.sign(claims)
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def routes(self) -> list[Route]:
        return [
            Route("/.well-known/openid-configuration", self._metadata),
            Route("/jwks", self._jwks),
            Route("/authorize", self._authorize),
            Route("/approve", self._approve),
            Route("/token", self._token, methods=["POST"]),
            Route("/userinfo", self._userinfo),
            Route("/logout", self._logout),
        ]

    async def _metadata(self, _: Request) -> Response:
        self.asked.append(("GET", "/metadata"))
        if self.is_down:
            return Response(status_code=503)
        usual = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/logout",
            "authorization_response_iss_parameter_supported": True,
        }
        return JSONResponse(usual | self.metadata)

    async def _jwks(self, _: Request) -> Response:
        self.asked.append(("GET", "/jwks"))
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def _authorize(self, request: Request) -> Response:
        """Let the browser choose who it is, as the form of a real provider would."""
        query = dict(request.query_params)
        assert query["client_id"] == CLIENT_ID
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        if query["redirect_uri"] not in self.redirect_uris:
            return Response("unknown redirect_uri", status_code=400)
        links = "".join(
            f'<p><a href="/approve?{escape(urlencode({**query, "user": name}))}">{name}</a></p>'
            for name in self.people
        )
        refused = urlencode({**query, "user": ""})
        page = f'<h1>Hospital</h1>{links}<p><a href="/approve?{escape(refused)}">refuse</a></p>'
        return HTMLResponse(page)

    async def _approve(self, request: Request) -> Response:
        query = dict(request.query_params)
        answer = {"state": query["state"], "iss": self.issuer}
        if query["user"]:
            code = secrets.token_urlsafe(16)
            self.codes[code] = query
            answer["code"] = code
        else:
            answer["error"] = "access_denied"
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(answer)}", 303)

    async def _token(self, request: Request) -> Response:
        self.asked.append(("POST", "/token"))
        form = dict(parse_qsl((await request.body()).decode()))
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 401)
        query = self.codes.pop(form["code"], None)  # a code is good once
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if query is None or challenge != query["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        assert form["redirect_uri"] == query["redirect_uri"]
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": f"sub-{query['user']}",
            "iat": now,
            "exp": now + 300,
            "nonce": query["nonce"],
            **self.people[query["user"]],
        }
        return JSONResponse(
            {
                "access_token": f"access-{query['user']}",
                "token_type": "Bearer",
                "expires_in": 300,
                "id_token": self.id_token(self.change_claims(claims)),
            }
        )

    async def _userinfo(self, request: Request) -> Response:
        self.asked.append(("GET", "/userinfo"))
        user = request.headers["authorization"].removeprefix("Bearer access-")
        return JSONResponse({"sub": f"sub-{user}", "department": "radiology"})

    async def _logout(self, request: Request) -> Response:
        self.asked.append(("GET", "/logout"))
        assert request.query_params["client_id"] == CLIENT_ID
        assert request.query_params["id_token_hint"]
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 303)


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Leave signals to the tests."""


@contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    """Serve an application in a thread."""
    config = uvicorn.Config(
        app, "127.0.0.1", port, log_level="error", lifespan="off", timeout_keep_alive=120
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(20)


@contextmanager
def provider(people: dict[str, Claims]) -> Iterator[Provider]:
    """Serve a provider with these people."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    made = Provider(f"http://127.0.0.1:{port}", people)
    with served(Starlette(routes=made.routes()), port):
        yield made
