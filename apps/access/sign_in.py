"""Signing in and out: the routes under ``/access/``.

The page asks for a click before it sends anybody to the provider: whoever was signed out can then
read why, and no loop between page and provider can start.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit

from apps.access.access_file import AccessFile
from apps.access.asgi import Message, Send, client_address, cookie, respond
from apps.access.pages import STYLE, failed_page, sign_in_page, signed_out_page
from apps.access.people import Permission
from apps.access.provider import Challenge, Provider, SignInError, SignInFault
from apps.access.recording import Recorder
from apps.access.sessions import Ended, Session, Sessions
from apps.access.texts import texts_for

__all__ = ["PREFIX", "SignIn", "local_path"]

PREFIX = "/access/"
_LOG = logging.getLogger("medembed.access")
_START_SECONDS = 600.0
_MOST_STARTED = 5_000
_MOST_OF_CLIENT = 50
_MOST_PATH = 2_000
_NO_STORE = (b"cache-control", b"no-store")
_HTML = b"text/html; charset=utf-8"


def local_path(text: str) -> str:
    """Give an address of this page to go to after signing in; ``/`` for anything else.

    Examples
    --------
    >>> local_path("/?case=C-1"), local_path("//evil.example/"), local_path("https://evil.example")
    ('/?case=C-1', '/', '/')
    """
    # the page has one path; its state is in the query
    is_own = text == "/" or text.startswith("/?")
    return text if is_own and len(text) <= _MOST_PATH and text.isprintable() else "/"


@dataclass(frozen=True)
class _Started:
    """A sign-in that waits for the provider's answer."""

    challenge: Challenge
    browser: str
    client: str
    next: str
    at: float


class SignIn:
    """The routes of sign-in and sign-out.

    Parameters
    ----------
    settings : AccessFile
        With a section ``login``.
    sessions : Sessions
    recorder : Recorder
    clock : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        settings: AccessFile,
        sessions: Sessions,
        recorder: Recorder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if settings.login is None or settings.public_url is None:
            raise ValueError("the access file has no login")
        self._settings = settings
        self._name = settings.login.provider
        self._url = settings.public_url
        self._sessions = sessions
        self._recorder = recorder
        self._clock = clock
        self._started: dict[str, _Started] = {}
        self._provider = Provider(settings.login, f"{self._url}{PREFIX}callback", clock)
        secure = self._url.startswith("https:")
        # Cookies know no ports, so the name holds it: two rooms of one host do not mix. The prefix
        # __Host- keeps a neighboring host from setting it.
        port = urlsplit(self._url).port or (443 if secure else 80)
        prefix = "__Host-" if secure else ""
        self.cookie = f"{prefix}medembed-{port}"
        self._start_cookie = f"{prefix}medembed-start-{port}"
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def session_of(self, scope: Message) -> Session | None:
        """Give the live session of a request."""
        return self._sessions.find(cookie(scope, self.cookie))

    def is_open(self, path: str) -> bool:
        """Whether this is one of the routes here, which are for everybody."""
        return path in _ROUTES

    async def __call__(self, scope: Message, send: Send) -> None:
        """Answer one of the routes."""
        if scope["method"] not in ("GET", "HEAD"):
            await respond(send, 405, headers=[(b"allow", b"GET, HEAD"), _NO_STORE])
            return
        await _ROUTES[scope["path"]](self, scope, send)

    async def _show(self, scope: Message, send: Send) -> None:
        """Show the button, and why the last session ended if it did."""
        query = _query(scope)
        texts = texts_for(scope)
        ended = next((e for e in Ended if e.value == query.get("ended")), None)
        after = quote(local_path(query.get("next", "/")), safe="")
        page = sign_in_page(texts, f"{PREFIX}start?next={after}", self._name, ended)
        await respond(send, 200, page, [_NO_STORE], _HTML)

    async def _start(self, scope: Message, send: Send) -> None:
        """Send the browser to the provider."""
        client, now = client_address(scope), self._clock()
        self._forget_old(now)
        of_client = sum(started.client == client for started in self._started.values())
        challenge = Challenge.new()
        try:
            if len(self._started) >= _MOST_STARTED or of_client >= _MOST_OF_CLIENT:
                raise SignInError(SignInFault.BUSY)
            address = await self._provider.address(challenge)
        except SignInError as error:
            await self._fail(scope, send, error)
            return
        browser = secrets.token_urlsafe(32)
        after = local_path(_query(scope).get("next", "/"))
        self._started[challenge.state] = _Started(challenge, browser, client, after, now)
        line = f"{self._start_cookie}={browser}; Max-Age={int(_START_SECONDS)}{self._attributes}"
        await _redirect(send, address, [line])

    async def _answer(self, scope: Message, send: Send) -> None:
        """Take the provider's answer: a new session under a new id, or a page that says why not."""
        query = _query(scope)
        try:
            started = self._take(query.get("state", ""), cookie(scope, self._start_cookie))
            if "error" in query:
                raise SignInError(SignInFault.REFUSED)
            found = await self._provider.redeem(
                query.get("code", ""), query.get("iss"), started.challenge
            )
            person = self._settings.person(found.claims)
            if person is None:
                raise SignInError(SignInFault.MISCONFIGURED, "no usable identity claim")
            if not person.may(Permission.SEARCH):
                self._recorder.failed_login(person.name, SignInFault.NO_ROLE.value)
                raise SignInError(SignInFault.NO_ROLE)
            await self._recorder.login(person.name)
        except SignInError as error:
            await self._fail(scope, send, error)
            return
        earlier = self.session_of(scope)
        if earlier is not None:
            self._sessions.finish(earlier, Ended.REPLACED)
        identity, _ = self._sessions.start(person, found.id_token)
        lines = [
            f"{self.cookie}={identity}{self._attributes}",
            f"{self._start_cookie}=; Max-Age=0{self._attributes}",
        ]
        await _redirect(send, started.next, lines)

    async def _sign_out(self, scope: Message, send: Send) -> None:
        """End the session here, and at the provider if it offers that."""
        session = self.session_of(scope)
        address: str | None = None
        if session is not None:
            id_token = session.id_token
            self._sessions.finish(session, Ended.SIGNED_OUT)
            back = f"{self._url}{PREFIX}signed-out"
            address = await self._provider.sign_out_address(id_token, back)
        line = f"{self.cookie}=; Max-Age=0{self._attributes}"
        await _redirect(send, address or f"{PREFIX}signed-out", [line])

    async def _signed_out(self, scope: Message, send: Send) -> None:
        page = signed_out_page(texts_for(scope), f"{PREFIX}login")
        await respond(send, 200, page, [_NO_STORE], _HTML)

    async def _state(self, scope: Message, send: Send) -> None:
        """Tell the page's script whether the session goes on; this is no activity."""
        await respond(send, 204 if self.session_of(scope) else 401, b"", [_NO_STORE])

    async def _style(self, _: Message, send: Send) -> None:
        await respond(send, 200, STYLE, [(b"cache-control", b"no-cache")], b"text/css")

    def _take(self, state: str, browser: str) -> _Started:
        """Take a started sign-in, once, if this browser started it."""
        self._forget_old(self._clock())
        started = self._started.pop(state, None)
        if started is None or not hmac.compare_digest(
            started.browser.encode(), browser.encode("utf-8", "surrogateescape")
        ):
            raise SignInError(SignInFault.STATE)
        return started

    def _forget_old(self, now: float) -> None:
        old = [s for s, started in self._started.items() if now - started.at > _START_SECONDS]
        for state in old:
            del self._started[state]

    async def _fail(self, scope: Message, send: Send, error: SignInError) -> None:
        if error.fault in (SignInFault.UNREACHABLE, SignInFault.MISCONFIGURED):
            _LOG.error("sign-in failed: %s", error)
        if error.fault is not SignInFault.NO_ROLE:
            self._recorder.failed_login("unknown", error.fault.value)
        status = {SignInFault.NO_ROLE: 403, SignInFault.BUSY: 503}.get(error.fault, 400)
        page = failed_page(texts_for(scope), error.fault, f"{PREFIX}login")
        gone = f"{self._start_cookie}=; Max-Age=0{self._attributes}"
        headers = [_NO_STORE, (b"set-cookie", gone.encode())]
        await respond(send, status, page, headers, _HTML)


_ROUTES = {
    f"{PREFIX}login": SignIn._show,
    f"{PREFIX}start": SignIn._start,
    f"{PREFIX}callback": SignIn._answer,
    f"{PREFIX}logout": SignIn._sign_out,
    f"{PREFIX}signed-out": SignIn._signed_out,
    f"{PREFIX}session": SignIn._state,
    f"{PREFIX}style.css": SignIn._style,
}


def _query(scope: Message) -> dict[str, str]:
    """Read the parameters; one that is given twice counts as missing (RFC 6749, 3.1)."""
    try:
        found = parse_qs(scope["query_string"].decode("ascii"), max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items() if len(values) == 1}


async def _redirect(send: Send, address: str, cookies: list[str]) -> None:
    headers = [(b"location", quote(address, safe="/:?#[]@!$&'()*+,;=%~-._").encode()), _NO_STORE]
    headers += [(b"set-cookie", line.encode("ascii")) for line in cookies]
    await respond(send, 303, b"", headers)
