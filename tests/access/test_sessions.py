"""Sessions: random ids, two limits, and an end that sticks."""

from __future__ import annotations

import asyncio

from apps.access.people import Person, Role
from apps.access.session_sockets import SESSION_ENDED, SessionSocket
from apps.access.sessions import Ended, Session, Sessions

ANNA = Person("anna", [Role.READER])


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(idle: float = 60.0, absolute: float = 600.0) -> tuple[Sessions, Clock, list[Session]]:
    clock, ended = Clock(), list[Session]()
    return Sessions(idle, absolute, clock, ended.append), clock, ended


def test_an_id_opens_its_session_and_no_other_text_does() -> None:
    sessions, _, _ = made()
    one, first = sessions.start(ANNA)
    other, second = sessions.start(ANNA)
    assert sessions.find(one) is first
    assert sessions.find(other) is second
    assert len(one) >= 43  # 256 bits
    for wrong in ("", one[:-1], one + "x", first.handle, one.upper(), "\udcff"):
        assert sessions.find(wrong) is None


def test_the_idle_limit_counts_from_the_last_activity() -> None:
    sessions, clock, ended = made()
    identity, session = sessions.start(ANNA)
    clock.now += 59
    found = sessions.find(identity)
    assert found is session
    sessions.touch(session)
    clock.now += 59
    assert sessions.find(identity) is session
    clock.now += 1
    assert sessions.find(identity) is None
    assert ended == [session]
    assert session.ended is Ended.IDLE


def test_the_absolute_limit_holds_for_the_busiest() -> None:
    sessions, clock, _ = made()
    identity, session = sessions.start(ANNA)
    for _ in range(12):
        clock.now += 50
        if sessions.find(identity):
            sessions.touch(session)
    assert session.ended is Ended.ABSOLUTE
    assert sessions.find(identity) is None


def test_an_ended_session_stays_ended_and_its_handle_names_nobody() -> None:
    sessions, _, ended = made()
    identity, session = sessions.start(ANNA, "id-token")
    assert sessions.of_handle(session.handle) is session
    sessions.finish(session, Ended.SIGNED_OUT)
    sessions.finish(session, Ended.IDLE)
    sessions.touch(session)
    assert sessions.find(identity) is None
    assert sessions.of_handle(session.handle) is None
    assert session.ended is Ended.SIGNED_OUT
    assert session.id_token == ""
    assert ended == [session]
    assert len(sessions) == 0


def test_no_secret_is_in_the_text_of_a_session() -> None:
    sessions, _, _ = made()
    identity, session = sessions.start(ANNA, "id-token")
    assert identity not in repr(vars(sessions))
    assert "id-token" not in repr(session)
    assert session.handle not in repr(session)


def socket_of(
    sessions: Sessions, session: Session, inbox: asyncio.Queue[dict[str, object]]
) -> tuple[SessionSocket, list[dict[str, object]]]:
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        sent.append(dict(message))  # type: ignore[call-overload]

    def is_by_a_person(message: object) -> bool:
        return message["bytes"] != b"timer"  # type: ignore[index]

    socket = SessionSocket(session, sessions, inbox.get, send, is_by_a_person, 0.01)  # type: ignore[arg-type]
    return socket, sent


def test_an_open_socket_closes_when_its_session_ends() -> None:
    async def scenario() -> None:
        sessions, clock, _ = made()
        for why in (Ended.SIGNED_OUT, Ended.IDLE):
            _, session = sessions.start(ANNA)
            inbox: asyncio.Queue[dict[str, object]] = asyncio.Queue()
            socket, sent = socket_of(sessions, session, inbox)
            await inbox.put({"type": "websocket.connect"})
            assert (await socket.receive())["type"] == "websocket.connect"
            await socket.send({"type": "websocket.accept"})
            waiting = asyncio.create_task(socket.receive())  # type: ignore[arg-type]
            await asyncio.sleep(0.02)
            assert not waiting.done()
            if why is Ended.SIGNED_OUT:
                sessions.finish(session, why)
            else:
                clock.now += 61
            message = await asyncio.wait_for(waiting, 5)
            assert message == {"type": "websocket.disconnect", "code": SESSION_ENDED}
            assert sent[-1] == {
                "type": "websocket.close",
                "code": SESSION_ENDED,
                "reason": why.value,
            }
            try:
                await socket.send({"type": "websocket.send", "bytes": b"a report"})
            except OSError:
                pass
            else:
                raise AssertionError("something was sent after the end")
            assert sent[-1]["type"] == "websocket.close"
            await socket.stop()

    asyncio.run(scenario())


def test_a_message_of_a_person_keeps_a_session_and_a_timers_does_not() -> None:
    async def scenario() -> None:
        sessions, clock, _ = made()
        _, session = sessions.start(ANNA)
        inbox: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        socket, _ = socket_of(sessions, session, inbox)
        clock.now += 50
        await inbox.put({"type": "websocket.receive", "bytes": b"click"})
        await socket.receive()
        assert session.seen == clock.now
        clock.now += 50
        await inbox.put({"type": "websocket.receive", "bytes": b"timer"})
        assert (await socket.receive())["bytes"] == b"timer"
        assert session.seen == clock.now - 50
        clock.now += 11
        await inbox.put({"type": "websocket.receive", "bytes": b"click"})
        message = await socket.receive()  # too late: the click is not passed on
        assert message["type"] == "websocket.disconnect"
        await socket.stop()

    asyncio.run(scenario())
