"""Measure what readers cost the reading room's server, when their browsers run elsewhere.

    python tests/benchmarks/page_load.py [--cases 100000] [--model FOLDER] [--folder LIBRARY]

The server is as in ``reading_room.py``. Its readers are no browsers here: each speaks the page's
own protocol over a WebSocket, uploads its file like a page, sends its widgets with each act, and
counts an act as done when the script has ended and all that it drew has arrived. So a time is that
of the server and of the loopback network; drawing in the browser comes on top of it, on the
reader's own machine. Twenty readers do it for some minutes, while the server's memory is read.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from reading_room import build, radiograph, resident, said, server, table
from search_end_to_end import FINDINGS
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileUploaderState, UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect

FILTERS = {"f_modality": ("CR", "DX", "CT"), "f_view": ("PA", "AP"), "f_sex": ("F", "M")}
MOST_MESSAGE = 64 * 2**20


class Reader:
    """One page without a browser: what it shows by key, and what its widgets hold."""

    def __init__(self, address: str, seed: int, seconds: dict[str, list[float]]) -> None:
        self.address, self.seconds = address, seconds
        self.random = random.Random(seed)
        self.ids: dict[str, str] = {}  # of what this run of the script drew, by key
        self.drawn: dict[str, str] = {}
        self.held: dict[str, WidgetState] = {}
        self.cached: list[set[str]] = [set(), set()]  # large messages of the last two runs
        self.query, self.script, self.session = "", "", ""
        self.errors: Counter[str] = Counter()
        self.received = 0

    async def __aenter__(self) -> Reader:
        self.http = httpx.AsyncClient(base_url=self.address, timeout=120)
        (await self.http.get("/_stcore/health")).raise_for_status()
        self.token = self.http.cookies["_streamlit_xsrf"]
        self.socket = await connect(
            self.address.replace("http", "ws", 1) + "/_stcore/stream",
            origin=self.address,  # type: ignore[arg-type]
            subprotocols=["streamlit", self.token],  # type: ignore[list-item]
            additional_headers={"Cookie": f"_streamlit_xsrf={self.token}"},
            max_size=MOST_MESSAGE,
        )
        await self.run("page ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close(1001)
        await self.http.aclose()

    async def run(self, name: str, trigger: str = "") -> None:
        """Send an act, and wait until everything that it draws is here."""
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_script_hash = self.query, self.script
        asked.cached_message_hashes.extend(self.cached[0] | self.cached[1])
        states = asked.widget_states.widgets
        states.extend(state for key, state in self.held.items() if key in self.ids)
        if trigger:
            states.append(WidgetState(id=self.ids[trigger], trigger_value=True))
        start = time.perf_counter()
        await self.socket.send(message.SerializeToString())
        while not await self.receive():
            pass
        self.seconds[name].append(time.perf_counter() - start)

    async def receive(self) -> bool:
        """Take one message in; return whether the script has ended."""
        content = await asyncio.wait_for(self.socket.recv(), 120)
        assert isinstance(content, bytes)
        self.received += len(content)
        message = ForwardMsg.FromString(content)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.script = message.new_session.page_script_hash
            self.session = message.new_session.initialize.session_id
            self.drawn = {}
            self.cached = [self.cached[1], set()]
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "delta":
            self.draw(message)
        elif kind == "ref_hash":
            self.cached[1].add(message.ref_hash)
        elif kind == "script_finished":
            status = message.ScriptFinishedStatus.Name(message.script_finished)
            if status == "FINISHED_SUCCESSFULLY":
                self.ids = self.drawn
                return True
            if status != "FINISHED_EARLY_FOR_RERUN":
                self.errors[status] += 1
                return True
        return False

    def draw(self, message: ForwardMsg) -> None:
        if message.metadata.cacheable:
            self.cached[1].add(message.hash)
        if message.delta.WhichOneof("type") != "new_element":
            return
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind is None:
            return
        widget = getattr(element, kind)
        if kind in ("alert", "exception"):
            self.errors[kind] += 1
        if getattr(widget, "id", ""):
            key = widget.id.split("-", 2)[2]  # an id is $$ID-<digest>-<key>
            self.drawn[widget.label if key == "None" else key] = widget.id

    def key(self, name: str) -> str:
        """The present key of a widget of the query: it may carry a round."""
        return next(key for key in self.ids if key == name or key.startswith(f"{name}-"))

    def hold(self, name: str, **value: Any) -> None:
        key = self.key(name)
        self.held[key] = WidgetState(id=self.ids[key], **value)

    # acts ---------------------------------------------------------------------------------------

    async def drop(self) -> None:
        content = radiograph(self.random.randrange(2**31))
        start = time.perf_counter()
        message = BackMsg()
        message.file_urls_request.request_id = "1"
        message.file_urls_request.file_names.append("x.dcm")
        message.file_urls_request.session_id = self.session
        await self.socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(await asyncio.wait_for(self.socket.recv(), 120))  # type: ignore[arg-type]
            if answer.WhichOneof("type") == "file_urls_response":
                urls = answer.file_urls_response.file_urls[0]
                break
        given = await self.http.put(
            urls.upload_url,
            files={urls.file_id: ("x.dcm", content, "application/dicom")},
            headers={"X-Xsrftoken": self.token, "Origin": self.address},
        )
        given.raise_for_status()
        info = UploadedFileInfo(
            name="x.dcm", size=len(content), file_id=urls.file_id, file_urls=urls
        )
        self.hold("drop", file_uploader_state_value=FileUploaderState(uploaded_file_info=[info]))
        uploaded = time.perf_counter() - start
        await self.run("upload → hits")
        self.seconds["upload → hits"][-1] += uploaded

    async def words(self) -> None:
        side = self.random.choice(["right", "left", "mild", "severe", "chronic", "large", "small"])
        one, other = self.random.sample(FINDINGS, 2)
        text = f"{side} {one} without {other} {self.random.randrange(99)}"
        self.hold("text", string_value=text)
        await self.run("words → hits")

    async def filter(self) -> None:
        name = self.random.choice([*FILTERS])
        value = self.random.choice(FILTERS[name])
        state = self.held.get(self.key(name))
        before = list(state.string_array_value.data) if state is not None else []
        chosen = [one for one in before if one != value] + [value] * (value not in before)
        self.hold(name, string_array_value={"data": chosen})
        await self.run("filter → hits")

    async def mark(self) -> None:
        await self.run("more like this → hits", "more-1")

    async def undo(self) -> None:
        await self.run("undo → hits", "undo")

    async def case(self) -> None:
        await self.run("open a case", "open-1")
        assert "case=" in self.query, self.query
        await self.run("back to results", "Back to results")

    async def round(self, pause: float = 0.0) -> None:
        for act in (self.drop, self.filter, self.mark, self.undo, self.case, self.words):
            await act()
            assert "open-1" in self.ids, "no hits"
            await asyncio.sleep(self.random.uniform(0.5, 1.5) * pause)
        await self.run("clear", "Clear")


async def at_once(n: int, rounds: int, pause: float, address: str) -> dict[str, list[float]]:
    """A number of readers that act at the same time, or with pauses."""
    seconds: dict[str, list[float]] = defaultdict(list)

    async def use(number: int) -> Counter[str]:
        async with Reader(address, number, seconds) as reader:
            await reader.round()
            await asyncio.sleep(reader.random.random() * pause)
            warmed[number] = True
            if all(warmed):
                seconds.clear()
            for _ in range(rounds):
                await reader.round(pause)
            return reader.errors

    warmed = [False] * n
    errors = await asyncio.gather(*(use(number) for number in range(n)))
    assert not any(errors), errors
    return seconds


async def crowd(
    n: int, minutes: float, pause: float, address: str, pid: int
) -> tuple[dict[str, list[float]], list[tuple[float, float]], Counter[str]]:
    """Readers with pauses for some minutes: their times, memory by second, and what went wrong."""
    seconds: dict[str, list[float]] = defaultdict(list)
    memory: list[tuple[float, float]] = []
    faults: Counter[str] = Counter()
    start = time.perf_counter()
    ends = start + 60 * minutes

    async def use(number: int) -> None:
        while time.perf_counter() < ends:
            try:
                async with Reader(address, 1000 + number, seconds) as reader:
                    while time.perf_counter() < ends:
                        await reader.round(pause)
                        faults.update(reader.errors)
                        reader.errors.clear()
            except Exception as error:  # noqa: BLE001  counted, and the reader starts anew
                faults[type(error).__name__] += 1

    async def watch() -> None:
        while time.perf_counter() < ends:
            memory.append((time.perf_counter() - start, resident(pid)))
            await asyncio.sleep(5)

    await asyncio.gather(watch(), *(use(number) for number in range(n)))
    return seconds, memory, +faults


async def measure(asked: argparse.Namespace, address: str, says: Path, pid: int) -> None:
    for n, pause in ((1, 0.0), (8, 0.0), (8, asked.pause)):
        seconds = await at_once(n, max(2, asked.rounds // n), pause, address)
        manner = f"with pauses of {pause / 2:g} to {1.5 * pause:g} s" if pause else "at once"
        print(f"{n} {'reader' if n == 1 else f'readers, {manner}'}\n")
        table(seconds)
    seconds, memory, faults = await crowd(asked.users, asked.minutes, asked.pause, address, pid)
    print(f"{asked.users} readers, {asked.minutes:g} minutes, the same pauses\n")
    table(seconds)
    print(f"Acts: {sum(len(each) for each in seconds.values())}. Faults: {dict(faults) or 'none'}.")
    thirds = np.array_split(np.array(memory), 3)
    slope = float(np.polyfit(*np.concatenate(thirds[1:]).T / [[60], [1]], 1)[0])
    print(
        f"Memory of the server in MiB: {memory[0][1]:.0f} at the start; "
        + ", ".join(f"{statistics.median(part[:, 1]):.0f}" for part in thirds)
        + f" in the median of each third; {slope:+.1f} a minute over the last two.\n"
    )
    start = time.perf_counter()
    while (now := said(says))["held"] or now["uploads"]:
        if time.perf_counter() - start > asked.wait:
            print(f"After {asked.wait:.0f} s: {now['uploads']} bytes, {now['held']} images held.")
            return
        await asyncio.sleep(1)
    print(f"Nothing of the uploads is left {time.perf_counter() - start:.0f} s after the pages.")
    print(f"Memory then: {resident(pid):.0f} MiB.")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to build, or a library built before")
    parser.add_argument("--model", type=Path, help="folder of a model; default: the toy model")
    parser.add_argument("--rounds", type=int, default=40, help="of all readers together")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument(
        "--pause", type=float, default=3.0, help="seconds between acts, in the mean"
    )
    parser.add_argument("--wait", type=float, default=630, help="most seconds for the last upload")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary) / "library"
        build(folder, asked.cases, asked.model)
        says = Path(temporary) / "says.json"
        print(
            f"`{' '.join(['python', *sys.argv])}` · {asked.cases} cases · {os.cpu_count()} cores, "
            f"Python {platform.python_version()} · load {os.getloadavg()[0]:.2f} before\n"
        )
        with server(folder, says) as (address, pid):
            asyncio.run(measure(asked, address, says, pid))
        print(f"Load after: {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
