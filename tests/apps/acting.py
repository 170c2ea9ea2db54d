"""Act as a visitor on the page and read what it shows (Streamlit's AppTest)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

import apps.case_lookup.page as page_module

PAGE = page_module.__file__


def key_of(room: AppTest, name: str) -> str:
    """The present key of a widget that shows a part of the query."""
    rounds = room.session_state.get("widget-rounds", {})
    return f"{name}-{rounds[name]}" if rounds.get(name) else name


def html(room: AppTest) -> str:
    return "\n".join(element.proto.body for element in room.html)


def without_css(room: AppTest) -> str:
    return re.sub(r"<style>.*?</style>", "", html(room), flags=re.DOTALL)


def button(room: AppTest, label: str) -> object:
    return next(b for b in room.button if b.label.replace("\\", "").startswith(label))


def press(room: AppTest, label: str) -> AppTest:
    return button(room, label).click().run()  # type: ignore[attr-defined]


def search(room: AppTest, text: str) -> AppTest:
    return room.text_input(key=key_of(room, "text")).set_value(text).run()


def drop(room: AppTest, *files: tuple[str, bytes]) -> AppTest:
    uploads = [(name, content, "application/octet-stream") for name, content in files]
    return room.get("file_uploader")[0].set_value(uploads).run()


def ranked(room: AppTest) -> list[str]:
    return re.findall(r'class="rr-rank">(\d+)<', html(room))


def scores(room: AppTest) -> list[float]:
    return [float(x) for x in re.findall(r"<b>(-?\d\.\d\d)</b>", html(room))]


def filters_shown(room: AppTest) -> list[str]:
    """List the filters that the results name."""
    line = re.findall(r'class="rr-force">(.*?)</p>', html(room))
    return re.findall(r'class="rr-chip">(.*?)<', line[0]) if line else []


def open_case(small_library: Path, case_id: str) -> AppTest:
    os.environ["MEDEMBED_LIBRARY"] = str(small_library)
    room = AppTest.from_file(PAGE, default_timeout=30)
    room.query_params["case"] = case_id
    return room.run()
