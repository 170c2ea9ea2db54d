"""Limits of rate, of searches at a time, and of what waits."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from apps.service import ServiceSettings
from apps.service.problems import Problem, ProblemKind
from apps.service.rate import Buckets
from apps.service.slots import Slots
from medembed.errors import InputError
from tests.service.conftest import in_process, problem


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_grants_twice_the_rate_at_once_and_then_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(5, now=clock)
    assert [buckets.take("a") for _ in range(10)] == [0.0] * 10
    assert buckets.take("a") == pytest.approx(0.2)
    assert buckets.take("b") == 0.0
    clock.now += 1
    assert [buckets.take("a") for _ in range(5)] == [0.0] * 5
    assert buckets.take("a") > 0
    clock.now += 1000
    assert sum(buckets.take("a") == 0.0 for _ in range(50)) == 10


def test_a_refused_request_costs_nothing() -> None:
    clock = Clock()
    buckets = Buckets(1, now=clock)
    for _ in range(100):
        buckets.take("a")
    clock.now += 1
    assert buckets.take("a") == 0.0


def test_a_slow_rate_still_grants_one() -> None:
    clock = Clock()
    buckets = Buckets(0.1, now=clock)
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(10)


def test_no_rate_is_no_limit() -> None:
    buckets = Buckets(0)
    assert not any(buckets.take("a") for _ in range(10_000))


def test_many_clients_do_not_free_the_bucket_of_a_busy_one() -> None:
    clock = Clock()
    buckets = Buckets(1, now=clock)
    granted = 0
    for other in range(20_000):
        granted += buckets.take("busy") == 0.0
        buckets.take(f"client {other}")
    assert granted <= 4


def _take(file: Path, granted: multiprocessing.Queue[int]) -> None:
    buckets = Buckets(0.001, file)
    granted.put(sum(buckets.take("a") == 0.0 for _ in range(50)))


def test_processes_share_the_buckets_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rate"
    one, other = Buckets(5, file), Buckets(5, file)
    taken = [(one if turn % 2 else other).take("a") for turn in range(12)]
    assert taken[:10] == [0.0] * 10
    assert taken[10] > 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"client" not in file.read_bytes()
    one.close()
    other.close()


@pytest.mark.slow
def test_eight_processes_get_one_burst_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    granted: multiprocessing.Queue[int] = context.Queue()
    workers = [context.Process(target=_take, args=(tmp_path / "rate", granted)) for _ in range(8)]
    for worker in workers:
        worker.start()
    total = sum(granted.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert total == 1


def slots_of(run: Callable[[Slots], object], **options: float) -> object:
    async def inside() -> object:
        slots = Slots(int(options.get("slots", 1)), int(options.get("queue", 1)),
                      options.get("seconds", 30), "test")  # fmt: skip
        try:
            return await run(slots)  # type: ignore[misc]
        finally:
            slots.close()

    return asyncio.run(inside())


def test_a_full_queue_is_refused_and_an_error_is_passed_on() -> None:
    async def run(slots: Slots) -> None:
        go = threading.Event()
        first = asyncio.create_task(slots.run(lambda: go.wait(10)))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(slots.run(lambda: 2))
        await asyncio.sleep(0.01)
        assert (slots.running, slots.waiting) == (1, 1)
        with pytest.raises(Problem) as refused:
            await slots.run(lambda: 3)
        assert refused.value.kind is ProblemKind.BUSY
        assert refused.value.headers["Retry-After"] == "1"
        patient = asyncio.create_task(slots.run(lambda: 4, patient=True))
        go.set()
        assert [await first, await second, await patient] == [True, 2, 4]
        with pytest.raises(ZeroDivisionError):
            await slots.run(lambda: 1 // 0)
        assert (slots.running, slots.waiting) == (0, 0)

    slots_of(run)


def test_a_call_that_is_late_holds_its_slot_until_it_ends() -> None:
    async def run(slots: Slots) -> None:
        go = threading.Event()
        with pytest.raises(Problem) as late:
            await slots.run(lambda: go.wait(10))
        assert late.value.kind is ProblemKind.LATE
        assert slots.running == 1
        with pytest.raises(Problem) as busy:
            await slots.run(lambda: 1)
        assert busy.value.kind is ProblemKind.BUSY
        go.set()
        while slots.running:
            await asyncio.sleep(0.001)
        assert await slots.run(lambda: 5) == 5

    slots_of(run, seconds=0.05)


def test_a_client_that_asks_too_often_is_told_when_to_come_back(library_path: Path) -> None:
    with in_process(ServiceSettings(library_path, rate=0.5)) as client:
        first = client.get("/v1/cases/C-0001")
        second = client.get("/v1/cases/C-0001")
        assert first.status_code == 200
        problem(second, 429, "too-many-requests")
        assert int(second.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200
        text = client.get("/metrics").text
    assert 'medembed_refused_total{limit="rate"} 1.0' in text
    assert 'route="/v1/cases/{case_id}",status="200"' in text


def test_a_library_without_a_model_is_not_ready_and_says_why(tmp_path: Path) -> None:
    from medembed.library import CaseLibrary

    CaseLibrary.create(tmp_path / "empty").close()
    from apps.service import create_app

    settings = ServiceSettings(tmp_path / "empty")
    with TestClient(create_app(settings), "http://127.0.0.1:8600") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        line = problem(client.get("/readyz"), 503, "not-ready")
        assert line == "the model is not loaded"
        answer = client.post("/v1/search", json={"text": "effusion"})
        assert "model" in problem(answer, 503, "not-ready")
        assert answer.headers["retry-after"]
        assert "medembed_library_cases 0.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"rate": -1},
        {"rate": float("nan")},
        {"seconds": 0},
        {"queue": -1},
        {"max_k": 0},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        ServiceSettings(Path("library"), **wrong)  # type: ignore[arg-type]


def test_settings_reach_a_worker_unchanged(tmp_path: Path) -> None:
    settings = ServiceSettings(tmp_path, port=1234, audit=tmp_path / "a", rate=7, max_k=9)
    assert ServiceSettings.from_environment(settings.to_environment()) == settings
    with pytest.raises(InputError, match="medembed serve"):
        ServiceSettings.from_environment({})
