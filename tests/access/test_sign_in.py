"""Signing in at a real provider: what is accepted, and everything that is not."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from apps.access import Door, Guard, Kind, Permission, TokenFile, need_by_path, read_access_file
from apps.access.people import person_of
from apps.access.recording import Recorder
from apps.access.sessions import Sessions
from apps.access.sign_in import SignIn, local_path
from apps.case_lookup.middleware import PAGE_NEEDS
from tests.access.conftest import write_access
from tests.access.oidc_provider import CLIENT_ID, Claims, Provider

URL = "http://127.0.0.1:8501"
COOKIE, START = "medembed-8501", "medembed-start-8501"


async def page(scope: Any, receive: Any, send: Any) -> None:
    """The page: it names who sees it and how they see rows."""
    person = person_of(scope)
    body = json.dumps([person.name, person.shown, [str(c.values) for c in person.where]])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})


class Room:
    """A guarded page, the clocks of its sessions and tokens, and browsers of it."""

    def __init__(self, folder: Path, provider: Provider, more: str = "") -> None:
        settings = read_access_file(write_access(folder, provider.issuer, URL, more))
        self.written: list[Any] = []
        recorder = Recorder(lambda *event: self.written.append(event))
        self.now = [0.0]
        self.door = Door(settings, TokenFile(folder / "tokens.yaml"), recorder)
        self.door.sessions = Sessions(
            1800.0, 43200.0, lambda: self.now[0], ended=self.door.record_end
        )
        self.wall = [time.time()]
        self.door.sign_in = SignIn(
            settings, self.door.sessions, recorder, clock=lambda: self.wall[0]
        )
        self.app = Guard(page, self.door, Kind.PAGE, need_by_path(PAGE_NEEDS, Permission.SEARCH))
        self.provider = provider
        provider.redirect_uris = {f"{URL}/access/callback"}

    def browser(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=True)
        mounts = {URL: transport}
        return httpx.AsyncClient(mounts=mounts, base_url=URL, follow_redirects=False)


async def start(browser: httpx.AsyncClient, after: str = "/") -> str:
    """Press the button; give the provider's address."""
    answer = await browser.get("/access/start", params={"next": after})
    assert answer.status_code == 303
    return answer.headers["location"]


async def approve(browser: httpx.AsyncClient, address: str, user: str) -> str:
    """Choose who one is at the provider; give the address that it sends back to."""
    shown = await browser.get(address)
    assert shown.status_code == 200, shown.text
    answer = await browser.get(f"{address.replace('/authorize?', '/approve?')}&user={user}")
    assert answer.status_code == 303
    return answer.headers["location"]


async def sign_in(browser: httpx.AsyncClient, user: str = "anna", after: str = "/") -> Any:
    back = await approve(browser, await start(browser, after), user)
    return await browser.get(back)


def told(room: Room) -> list[Any]:
    """What the journal was told, but that somebody without a login was refused."""
    return [entry for entry in room.written if entry[2].get("reason") != "no-login"]


def run(room: Room, scenario: Callable[[httpx.AsyncClient], Any]) -> Any:
    async def inside() -> Any:
        async with room.browser() as browser:
            return await scenario(browser)

    return asyncio.run(inside())


@pytest.fixture
def room(tmp_path: Path, idp: Provider) -> Room:
    return Room(tmp_path, idp)


def test_a_person_signs_in_comes_back_and_signs_out(room: Room, idp: Provider) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        first = await browser.get("/?case=C-0001", headers={"accept": "text/html"})
        assert first.headers["location"] == "/access/login?next=%2F%3Fcase%3DC-0001"
        shown = await browser.get(first.headers["location"])
        assert 'href="/access/start?next=%2F%3Fcase%3DC-0001"' in shown.text
        answer = await sign_in(browser, "anna", "/?case=C-0001")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/?case=C-0001"
        assert (await browser.get("/")).json() == ["sub-anna", "Anna Reader", ["('north',)"]]
        assert (await browser.get("/access/session")).status_code == 204
        gone = await browser.get("/access/logout")
        at_provider = urlsplit(gone.headers["location"])
        assert gone.headers["location"].startswith(f"{idp.issuer}/logout?")
        assert parse_qs(at_provider.query)["id_token_hint"][0].count(".") == 2
        back = await browser.get(gone.headers["location"])
        assert back.headers["location"] == f"{URL}/access/signed-out"
        assert "signed out" in (await browser.get("/access/signed-out")).text
        assert (await browser.get("/")).status_code == 401
        assert (await browser.get("/access/session")).status_code == 401

    run(room, scenario)
    room.door.close()
    assert [(str(event), actor) for event, actor, details in told(room)] == [
        ("LOGIN", "sub-anna"),
        ("LOGOUT", "sub-anna"),
    ]


def test_the_cookie_is_for_this_page_only(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        started = await browser.get("/access/start")
        ended = await sign_in(browser)
        for answer in (started, ended):
            for line in answer.headers.get_list("set-cookie"):
                assert "HttpOnly" in line
                assert "SameSite=Lax" in line
                assert "Path=/" in line
                assert "Domain" not in line
            assert answer.headers["cache-control"] == "no-store"

    run(room, scenario)


def test_with_https_the_cookie_is_secure_and_bound_to_the_host(
    tmp_path: Path, idp: Provider
) -> None:
    settings = read_access_file(write_access(tmp_path, idp.issuer, "https://room.example.org"))
    made = SignIn(settings, Sessions(1, 1), Recorder())
    assert made.cookie == "__Host-medembed-443"
    assert made._attributes.endswith("; Secure")


def refused(room: Room, scenario: Callable[[httpx.AsyncClient], Any], reason: str) -> None:
    """Check that a scenario ends without a session, on a page that says why."""

    async def inside(browser: httpx.AsyncClient) -> None:
        answer = await scenario(browser)
        assert answer.status_code in (400, 403, 503), answer.status_code
        assert "Sign in again" in answer.text
        assert COOKIE not in dict(browser.cookies)
        assert (await browser.get("/")).status_code == 401

    run(room, inside)
    room.door.recorder.close()
    assert [details["reason"] for _, _, details in told(room)] == [reason]
    assert len(room.door.sessions) == 0


def test_a_forged_state_is_refused(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        back = await approve(browser, await start(browser), "anna")
        state = parse_qs(urlsplit(back).query)["state"][0]
        return await browser.get(back.replace(state, "A" * len(state)))

    refused(room, scenario, "state")


def test_an_answer_to_a_sign_in_of_another_browser_is_refused(room: Room) -> None:
    """Else an attacker could sign a victim in as the attacker."""

    async def scenario(browser: httpx.AsyncClient) -> Any:
        async with room.browser() as attacker:
            back = await approve(attacker, await start(attacker), "anna")
        await start(browser)
        return await browser.get(back)

    refused(room, scenario, "state")


def test_a_replayed_answer_is_refused(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        back = await approve(browser, await start(browser), "anna")
        cookies = dict(browser.cookies)
        assert (await browser.get(back)).status_code == 303
        await browser.get("/access/logout")
        room.door.recorder.close()
        room.written.clear()
        room.door.recorder.__init__(lambda *e: room.written.append(e))  # type: ignore[misc]
        browser.cookies.clear()
        browser.cookies.update(cookies)
        return await browser.get(back)

    refused(room, scenario, "state")


def test_a_replayed_code_is_refused_by_the_provider_too(room: Room, idp: Provider) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        address = await start(browser)
        back = await approve(browser, address, "anna")
        idp.codes.clear()  # as if somebody had used it first
        return await browser.get(back)

    refused(room, scenario, "token")


def test_an_answer_that_comes_late_is_refused(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        back = await approve(browser, await start(browser), "anna")
        room.wall[0] += 601
        return await browser.get(back)

    refused(room, scenario, "state")


def test_whoever_the_provider_refuses_reads_so(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        return await browser.get(await approve(browser, await start(browser), ""))

    refused(room, scenario, "refused")


def test_whoever_has_no_role_does_not_get_in(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        return await sign_in(browser, "nils")

    refused(room, scenario, "no-role")


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ("nonce", "another"),
        ("nonce", None),
        ("aud", "another-client"),
        ("aud", ["another-client"]),
        ("aud", [CLIENT_ID, "another-client"]),  # without azp
        ("azp", "another-client"),
        ("iss", "https://evil.example"),
        ("iss", None),
        ("exp", 1_000_000),
        ("exp", None),
        ("exp", "never"),
        ("iat", None),
        ("iat", 99_999_999_999),
        ("nbf", 99_999_999_999),
        ("sub", None),
        ("sub", ""),
        ("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
    ],
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(
    room: Room, idp: Provider, changed: str, value: object
) -> None:
    def change(claims: Claims) -> Claims:
        made = {**claims, changed: value}
        return {k: v for k, v in made.items() if v is not None}

    idp.change_claims = change
    refused(room, sign_in, "token")


def unsigned(claims: Claims, algorithm: str = "none") -> str:
    parts = [{"alg": algorithm, "typ": "JWT", "kid": "one"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, ""])


def with_our_own_key(claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, RSAKey.generate_key(2048))


def with_an_unknown_key(claims: Claims) -> str:
    key = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "kid": "mine", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key)


@pytest.mark.parametrize("sign", [unsigned, with_our_own_key, with_an_unknown_key])
def test_a_token_without_the_providers_signature_is_refused(
    room: Room, idp: Provider, sign: Callable[[Claims], str]
) -> None:
    idp.sign = sign
    idp.metadata = {"id_token_signing_alg_values_supported": ["none", "HS256", "RS256"]}
    refused(room, sign_in, "token")


def test_the_public_key_is_no_shared_secret(room: Room, idp: Provider) -> None:
    """HS256 with the public key as the secret: everybody could sign."""
    pem = idp.key.as_pem(private=False)

    def sign(claims: Claims) -> str:
        head, body, _ = unsigned(claims, "HS256").split(".")
        mac = hmac.digest(pem, f"{head}.{body}".encode(), "sha256")
        return f"{head}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    idp.sign = sign
    refused(room, sign_in, "token")


def test_a_token_cut_or_changed_is_refused(room: Room, idp: Provider) -> None:
    def sign(claims: Claims) -> str:
        head, _, tail = jwt.encode({"alg": "RS256", "kid": "one"}, claims, idp.key).split(".")
        grown = {**claims, "groups": ["admins"]}
        body = base64.urlsafe_b64encode(json.dumps(grown).encode()).decode().rstrip("=")
        return f"{head}.{body}.{tail}"

    idp.sign = sign
    refused(room, sign_in, "token")


def test_an_answer_that_names_another_issuer_is_refused(room: Room, idp: Provider) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        back = await approve(browser, await start(browser), "anna")
        return await browser.get(back.replace("iss=", "iss=x"))

    refused(room, scenario, "token")


def test_an_answer_must_name_its_issuer_where_the_provider_does(room: Room, idp: Provider) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        back = await approve(browser, await start(browser), "anna")
        return await browser.get(back.replace("&iss=", "&left_out="))

    refused(room, scenario, "token")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"issuer": "https://evil.example"}, "misconfigured"),
        ({"token_endpoint": "http://10.0.0.1/token"}, "misconfigured"),
        ({"jwks_uri": "file:///etc/passwd"}, "misconfigured"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "misconfigured"),
        ({"end_session_endpoint": "http://evil.example/"}, "misconfigured"),
    ],
)
def test_metadata_that_lead_elsewhere_are_refused(
    room: Room, idp: Provider, metadata: Claims, reason: str
) -> None:
    idp.metadata = metadata

    async def scenario(browser: httpx.AsyncClient) -> Any:
        return await browser.get("/access/start")

    refused(room, scenario, reason)


def test_a_provider_that_is_away_is_named_and_asked_again_later(room: Room, idp: Provider) -> None:
    async def scenario(browser: httpx.AsyncClient) -> Any:
        idp.is_down = True
        answer = await browser.get("/access/start")
        assert "does not answer" in answer.text
        assert idp.issuer not in answer.text
        idp.is_down = False
        assert (await browser.get("/access/start")).status_code == 303
        browser.cookies.clear()
        return answer

    refused(room, scenario, "unreachable")


def test_metadata_and_keys_are_kept_and_a_new_key_is_fetched(room: Room, idp: Provider) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        for _ in range(3):
            assert (await sign_in(browser)).status_code == 303
        asked = [path for _, path in idp.asked]
        assert (asked.count("/metadata"), asked.count("/jwks")) == (1, 1)
        idp.key = RSAKey.generate_key(2048, {"kid": "two"})
        room.wall[0] += 61  # an unknown key is not looked up more than once a minute
        assert (await sign_in(browser)).status_code == 303
        assert [path for _, path in idp.asked].count("/jwks") == 2
        idp.key = RSAKey.generate_key(2048, {"kid": "three"})
        assert (await sign_in(browser)).status_code == 400
        assert [path for _, path in idp.asked].count("/jwks") == 2

    run(room, scenario)


def test_the_session_gets_a_new_id_at_each_sign_in(room: Room) -> None:
    """An id that was known before, planted or stolen, is worth nothing afterwards."""

    async def scenario(browser: httpx.AsyncClient) -> None:
        browser.cookies.set(COOKIE, "planted-by-somebody", domain="127.0.0.1")
        await sign_in(browser, "anna")
        first = browser.cookies.get(COOKIE, domain="127.0.0.1")
        assert first != "planted-by-somebody"
        await sign_in(browser, "rob")
        assert browser.cookies.get(COOKIE, domain="127.0.0.1") != first
        assert (await browser.get("/")).json()[0] == "sub-rob"
        async with room.browser() as thief:
            for known in ("planted-by-somebody", first):
                answer = await thief.get("/", headers={"cookie": f"{COOKIE}={known}"})
                assert answer.status_code == 401

    run(room, scenario)


def test_a_stolen_cookie_is_worth_nothing_after_the_sign_out(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        stolen = {"cookie": f"{COOKIE}={browser.cookies.get(COOKIE)}"}
        async with room.browser() as thief:
            assert (await thief.get("/", headers=stolen)).status_code == 200
            await browser.get("/access/logout")
            assert (await thief.get("/", headers=stolen)).status_code == 401
            assert (await thief.get("/media/0.png", headers=stolen)).status_code == 401

    run(room, scenario)


def test_a_session_ends_by_its_limits_and_polling_does_not_keep_it(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        await sign_in(browser)
        for _ in range(5):
            room.now[0] += 1700
            assert (await browser.get("/")).status_code == 200
        room.now[0] += 1000
        assert (await browser.get("/access/session")).status_code == 204
        room.now[0] += 801
        assert (await browser.get("/access/session")).status_code == 401
        assert (await browser.get("/")).status_code == 401

    run(room, scenario)


def test_two_sessions_of_one_person_are_independent(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        async with room.browser() as other:
            await sign_in(browser)
            await sign_in(other)
            await browser.get("/access/logout")
            assert (await browser.get("/")).status_code == 401
            assert (await other.get("/")).status_code == 200

    run(room, scenario)


def test_claims_can_come_from_userinfo_of_the_same_person(tmp_path: Path, idp: Provider) -> None:
    file = write_access(tmp_path, idp.issuer, URL)
    text = file.read_text(encoding="utf-8").replace("  name: name", "  userinfo: true")
    text = text.replace("claim: groups, value: radiology", "claim: department, value: radiology")
    file.write_text(text, encoding="utf-8")
    made = Room(tmp_path, idp)
    made.door.close()
    settings = read_access_file(file.parent / "access.yaml")
    assert settings.login is not None
    file.write_text(text, encoding="utf-8")
    settings = read_access_file(file)
    made.door.settings = settings
    made.door.sign_in = SignIn(settings, made.door.sessions, Recorder())

    async def scenario(browser: httpx.AsyncClient) -> None:
        assert (await sign_in(browser, "adam")).status_code == 303
        assert ("GET", "/userinfo") in idp.asked
        idp.change_claims = lambda claims: {**claims, "sub": "sub-anna"}
        assert (await sign_in(browser, "adam")).status_code == 400

    run(made, scenario)


def test_starting_over_and_over_fills_no_memory(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        statuses = [(await browser.get("/access/start")).status_code for _ in range(60)]
        assert statuses.count(303) == 50
        assert statuses[-1] == 503
        room.wall[0] += 601
        assert (await browser.get("/access/start")).status_code == 303
        assert room.door.sign_in is not None
        assert len(room.door.sign_in._started) == 1

    run(room, scenario)


@pytest.mark.parametrize(
    "after",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "/access/logout",
        "/" + "a" * 3000,
        "",
    ],
)
def test_a_sign_in_leads_nowhere_else(room: Room, after: str) -> None:
    assert local_path(after) == "/"

    async def scenario(browser: httpx.AsyncClient) -> None:
        assert (await sign_in(browser, "anna", after)).headers["location"] == "/"

    run(room, scenario)


def test_pages_speak_the_browsers_language_and_show_text_as_text(room: Room) -> None:
    async def scenario(browser: httpx.AsyncClient) -> None:
        german = await browser.get("/access/login", headers={"accept-language": "de-AT,en;q=0.5"})
        assert "Anmelden" in german.text
        assert 'lang="de"' in german.text
        for language in ("en", "fr", ""):
            page = await browser.get("/access/login", headers={"accept-language": language})
            assert "Sign in" in page.text
        nasty = await browser.get("/access/login", params={"next": '/"><script>alert(1)</script>'})
        assert "<script>" not in nasty.text
        idle = await browser.get("/access/login", params={"ended": "idle"})
        assert "nothing happened for a while" in idle.text
        strange = await browser.get("/access/login", params={"ended": "<b>x</b>"})
        assert "<b>" not in strange.text

    run(room, scenario)
