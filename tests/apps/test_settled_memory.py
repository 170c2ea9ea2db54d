"""What stays is left out of garbage collection, and what died of it is freed all the same."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from apps.case_lookup import settled_memory
from apps.case_lookup.settled_memory import keep_settled, settle


class Image:
    """Part of a cycle, as what a run of a script leaves behind."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_was_frozen_and_has_died_is_freed_when_memory_settles_again() -> None:
    image = Image()
    assert settle()
    assert gc.get_freeze_count() > 0
    gone = weakref.ref(image)
    del image
    gc.collect()
    assert gone() is not None, "a collection does not look at it"
    assert settle()
    assert gone() is None


def test_nothing_is_frozen_while_a_script_runs() -> None:
    gc.unfreeze()
    ends = threading.Event()
    script = threading.Thread(target=ends.wait, args=(10,), name="ScriptRunner.scriptThread")
    script.start()
    assert not settle(patience_seconds=0.1)
    assert gc.get_freeze_count() == 0
    ends.set()
    script.join()
    assert settle()


def test_the_name_of_the_threads_is_streamlit_s() -> None:
    from inspect import getsource

    from streamlit.runtime.scriptrunner.script_runner import ScriptRunner

    assert f'name="{settled_memory._SCRIPT}' in getsource(ScriptRunner.start)


def test_memory_settles_again_only_if_something_was_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled: list[int] = []
    slept: list[float] = []

    class Stop(Exception):
        pass

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            gc.collect()  # as after the run of a script
        if len(slept) == 5:
            raise Stop

    monkeypatch.setattr(settled_memory, "settle", lambda: settled.append(len(slept)))
    monkeypatch.setattr(settled_memory, "time", SimpleNamespace(sleep=sleep))  # of it alone
    gc.disable()
    try:
        with pytest.raises(Stop):
            keep_settled(lambda: None, seconds=0.0)
    finally:
        gc.enable()
    assert settled == [0, 3]
