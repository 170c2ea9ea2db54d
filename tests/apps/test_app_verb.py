"""Startup of the reading room: command, Streamlit's settings, headers, markup."""

from __future__ import annotations

import logging
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from streamlit import config

from apps.case_lookup.faults import strip_error_messages
from apps.case_lookup.html import Markup, join, tag
from apps.case_lookup.middleware import content_policy, page_middleware
from apps.case_lookup.server import settings
from apps.commands import app, open_reading_room
from medembed.errors import InputError

WITHHELD = "Number of patients withheld (it would reveal the size of a small group)"


def call(**options: Any) -> int:
    given = {"port": 8501, "host": "127.0.0.1", "no_browser": True} | options
    with pytest.raises(SystemExit) as left:
        app(**given)
    return int(left.value.code or 0)


def test_a_folder_without_a_library_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(library=tmp_path) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert str(tmp_path) not in output


def test_a_port_in_use_is_one_line_and_exit_2(
    small_library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert call(library=small_library, port=port) == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    assert f"port {port}" in output
    assert "--port" in output


def test_another_address_needs_an_access_file_or_an_explicit_word(
    small_library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr("apps.case_lookup.server.start", lambda *a: started.append(a))
    open_reading_room(small_library, browser=False)
    assert "no login" not in capsys.readouterr().err
    for host in ("0.0.0.0", "::", "10.0.0.5", "room.example.org"):
        assert call(library=small_library, host=host) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "--no-login" in said
        assert "--access" in said
    assert len(started) == 1
    open_reading_room(small_library, host="0.0.0.0", no_login=True, browser=False)
    assert "no login" in capsys.readouterr().err
    assert [call[1] for call in started] == ["127.0.0.1", "0.0.0.0"]
    assert [call[4] for call in started] == [None, None]


def test_streamlit_knows_every_setting() -> None:
    known = config.get_config_options()
    assert [name for name in settings("127.0.0.1", 8501) if name not in known] == []


def test_settings_keep_everything_on_this_machine() -> None:
    chosen = settings("127.0.0.1", 8501)
    assert chosen["server.address"] == "127.0.0.1"
    assert chosen["browser.gatherUsageStats"] is False
    assert chosen["server.enableXsrfProtection"] is True
    assert chosen["server.fileWatcherType"] == "none"
    assert "127.0.0.1" in chosen["server.allowedHosts"]
    assert chosen["client.showErrorDetails"] == "none"


def test_the_pages_policy_forbids_other_addresses() -> None:
    policy = content_policy()
    assert "default-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "form-action 'none'" in policy
    assert not re.search(r"https?:|\*|unsafe-eval'(?<!wasm-unsafe-eval')", policy)


def test_only_streamlits_known_paths_may_be_stored_by_the_browser() -> None:
    headers = page_middleware("127.0.0.1", 8501, None)[0]
    assert not [p for p in headers.kwargs["lasting"] if "media" in p or "pixels" in p or p == "/"]


def test_proxies_are_trusted_only_if_the_access_file_names_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import uvicorn

    from apps.access import AccessFile, Door, TokenFile, trust_proxies

    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    trust_proxies(None)
    assert uvicorn.Config(app="").forwarded_allow_ips == ""
    settings = AccessFile.model_validate({"proxies": ["10.0.0.5", "10.1.0.0/16"]})
    trust_proxies(Door(settings, TokenFile(tmp_path / "t"), with_login=False))
    assert uvicorn.Config(app="").forwarded_allow_ips == "10.0.0.5,10.1.0.0/16"


def test_text_cannot_break_out_of_markup() -> None:
    hostile = "</p><script>alert('1')</script>\"&"
    made = tag("p", hostile, title=hostile, class_="x")
    assert "<script>" not in made
    assert made.count("</p>") == 1
    assert made.startswith('<p title="&lt;/p&gt;')
    assert join(Markup("<br>"), None, "<") == "<br>&lt;"


def test_missing_streamlit_names_what_to_install(
    small_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "streamlit.starlette", None)
    with pytest.raises(InputError, match="Streamlit") as raised:
        open_reading_room(small_library, port=0, browser=False)
    assert "[app]" in str(raised.value)


def test_no_log_contains_the_message_of_a_foreign_error(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    try:
        strip_error_messages()
        try:
            raise KeyError("Planted^Name")
        except KeyError:
            logging.getLogger("streamlit.error_util").exception("Uncaught %s", "execution")
    finally:
        logging.setLogRecordFactory(before)
    assert "Uncaught execution (KeyError at test_app_verb.py:" in caplog.text
    assert "Planted" not in caplog.text


@pytest.mark.parametrize(
    ("library", "n_cases", "n_patients", "line"),
    [
        (
            "L",
            None,
            None,
            "Number of patients withheld (it would reveal the size of a small group)",
        ),
        ("L", None, 40, "cases of 40 patients"),
        ("L", 90, 40, "90 cases of 40 patients"),
        (None, 90, 40, "90 queries of 40 patients"),
    ],
)
def test_the_audit_reports_that_a_size_is_withheld(
    library: str | None, n_cases: int | None, n_patients: int | None, line: str
) -> None:
    from apps.audit import _size

    assert _size({"library": library, "n_cases": n_cases, "n_patients": n_patients}) == line
