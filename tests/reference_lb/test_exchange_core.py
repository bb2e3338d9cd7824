"""The core as a script: fed events, expected commands. No socket, no waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limpet.reference_lb.core.exchange import REPLAY_LIMIT, TRANSITIONS, Exchange, State
from limpet.reference_lb.core.messages import (
    Abort,
    Answer,
    ClientBroken,
    ClientData,
    ClientEnd,
    ClientGone,
    CloseServer,
    Connected,
    Deadline,
    Failure,
    Finish,
    KeepServer,
    NotConnected,
    Open,
    SendClient,
    SendServer,
    ServerData,
    ServerEnd,
    ServerGone,
    Started,
    Wait,
)
from limpet.reference_lb.core.stream import State as StreamState
from limpet.reference_lb.core.stream import Stream
from limpet.reference_lb.parts import Framing, Parts, RequestHead, ResponseHead
from limpet.reference_lb.parts.assembly import build_parts
from limpet.reference_lb.settings.load import check


def parts(retry: bool = False) -> Parts:
    section = {"mode": "source-ip", "reaction": {"in_request": "retry" if retry else "may-fail"}}
    members = [{"name": f"b{n}", "host": "127.0.0.1", "port": n} for n in (1, 2)]
    built = build_parts(check({"listener": {"port": 1}, "affinity": section, "pool": {"member": members}}))
    for member in built.pool.members():
        built.health_view.checked(member, True)
    return built


def request(method: bytes = b"GET", **rest: Any) -> Started:
    return Started(RequestHead("127.0.0.1", 1, method, b"/", [(b"Host", b"lb")], **rest))


def response(status: int = 200, framing: Framing = Framing.LENGTH) -> Answer:
    return Answer(ResponseHead(status, b"OK", [(b"Content-Length", b"2")], framing))


def feed(core: Exchange | Stream, event: Any) -> list[Any]:
    return list(core.handle(event))


def kinds(commands: list[Any]) -> list[type]:
    return [type(command) for command in commands]


def taken(exchange: Exchange) -> Wait | None:
    """The timeout that is to run from now on; whoever lets it run sets None."""
    wait, exchange.wait = exchange.wait, None
    return wait


def in_flight(built: Parts) -> int:
    return sum(member.in_flight for member in built.pool.members())


def test_one_request_from_start_to_end() -> None:
    built = parts()
    exchange = Exchange(built)
    (opened,) = feed(exchange, request())
    assert taken(exchange) is Wait.CONNECT and isinstance(opened, Open) and opened.member.name == "b1"
    assert in_flight(built) == 1
    assert feed(exchange, ClientEnd()) == []
    sent = feed(exchange, Connected(reused=False))
    assert sent == [SendServer(b"GET / HTTP/1.1\r\nHost: lb\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n")]
    assert taken(exchange) is Wait.RESPONSE
    (head,) = feed(exchange, response())
    assert taken(exchange) is Wait.RESPONSE, "it runs anew from here"
    assert isinstance(head, SendClient) and head.data.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: ")
    assert feed(exchange, ServerData(b"ok")) == [SendClient(b"ok")] and taken(exchange) is Wait.RESPONSE
    assert feed(exchange, ServerEnd(reusable=True)) == [KeepServer(), Finish(close=False)]
    assert exchange.state is State.DONE and in_flight(built) == 0


def test_body_is_kept_for_a_second_member_and_framed_there() -> None:
    built = parts(retry=True)
    exchange = Exchange(built)
    feed(exchange, request(b"PUT", chunked=True))
    feed(exchange, ClientData(b"abc"))
    feed(exchange, Connected(reused=False))
    assert feed(exchange, ClientData(b"de"))[0] == SendServer(b"2\r\nde\r\n")
    again = feed(exchange, ServerGone())
    assert kinds(again) == [Open] and again[0].member.name == "b2" and taken(exchange) is Wait.CONNECT
    sent = feed(exchange, Connected(reused=False))[0]
    assert sent.data.endswith(b"\r\n\r\n3\r\nabc\r\n2\r\nde\r\n")
    assert feed(exchange, ClientEnd())[0] == SendServer(b"0\r\n\r\n")


def test_too_long_a_body_is_not_sent_again() -> None:
    exchange = Exchange(parts(retry=True))
    feed(exchange, request(b"PUT", length=REPLAY_LIMIT + 1))
    feed(exchange, Connected(reused=False))
    feed(exchange, ClientData(b"x" * (REPLAY_LIMIT + 1)))
    answer, finish = feed(exchange, ServerGone())
    assert b" 502 " in answer.data and finish == Finish(close=True)


def test_early_body_goes_to_the_next_member_whatever_its_length() -> None:
    exchange = Exchange(parts(retry=True))
    feed(exchange, request(b"POST", length=REPLAY_LIMIT + 1))
    feed(exchange, ClientData(b"x" * (REPLAY_LIMIT + 1)))
    feed(exchange, ClientEnd())
    assert kinds(feed(exchange, NotConnected(Failure.REFUSED))) == [Open]
    assert len(feed(exchange, Connected(reused=False))[0].data) > REPLAY_LIMIT


def test_reused_connection_that_was_closed_is_replaced_once() -> None:
    built = parts()
    exchange = Exchange(built)
    first = feed(exchange, request())[0].member
    feed(exchange, ClientEnd())
    feed(exchange, Connected(reused=True))
    assert feed(exchange, ServerGone()) == [Open(first, fresh=True)] and taken(exchange) is Wait.CONNECT
    feed(exchange, Connected(reused=False))
    answer, finish = feed(exchange, ServerGone())
    assert b" 502 " in answer.data and finish == Finish(close=False) and in_flight(built) == 0


def test_post_on_a_reused_connection_is_not_sent_again() -> None:
    exchange = Exchange(parts(retry=True))
    feed(exchange, request(b"POST"))
    feed(exchange, ClientEnd())
    feed(exchange, Connected(reused=True))
    assert kinds(feed(exchange, ServerGone())) == [SendClient, Finish]


def test_refused_connection_marks_down_and_a_timeout_does_not() -> None:
    built = parts()
    refused, silent = Exchange(built), Exchange(built)
    member = feed(refused, request())[0].member
    feed(refused, NotConnected(Failure.REFUSED))
    assert not built.health_view.healthy(member)
    other = feed(silent, request())[0].member
    assert other is not member
    feed(silent, ClientEnd())
    commands = feed(silent, Deadline())
    assert kinds(commands) == [CloseServer, SendClient, Finish] and b" 504 " in commands[1].data
    assert built.health_view.healthy(other)


def test_slow_client_is_not_blamed_on_the_backend() -> None:
    for stalled, status in ((False, b" 408 "), (True, b" 504 ")):
        exchange = Exchange(parts())
        feed(exchange, request(b"PUT", length=9))
        feed(exchange, Connected(reused=False))
        commands = feed(exchange, Deadline(stalled))
        assert kinds(commands) == [CloseServer, SendClient, Finish] and status in commands[1].data


def test_break_in_the_response_is_an_abort() -> None:
    for event in (ServerGone(), Deadline(), ClientBroken(400, "x")):
        built = parts()
        exchange = Exchange(built)
        for step in (request(), ClientEnd(), Connected(reused=False), response()):
            feed(exchange, step)
        assert feed(exchange, event) == [CloseServer(), Abort()]
        assert in_flight(built) == 0


EVENTS: list[Any] = [
    ClientData(b"x"),
    ClientEnd(),
    ClientBroken(400, "broken"),
    ClientGone(),
    Connected(reused=True),
    Connected(reused=False),
    NotConnected(Failure.REFUSED),
    NotConnected(Failure.TIMEOUT),
    ServerData(b"x"),
    ServerEnd(reusable=True),
    ServerGone(),
    Deadline(),
]
event_lists = st.lists(st.sampled_from([*EVENTS, "answer", "interim"]), max_size=25)


@given(event_lists, st.sampled_from([b"GET", b"POST", b"HEAD"]), st.booleans(), st.booleans(), st.integers(0, 1))
def test_any_order_of_events_ends_once_and_leaks_nothing(
    events: list[Any], method: bytes, chunked: bool, retry: bool, minor: int
) -> None:
    answers = {
        "answer": lambda: response(framing=Framing.CHUNKED),
        "interim": lambda: Answer(ResponseHead(103, b"Early Hints", [])),
    }
    built = parts(retry)
    exchange = Exchange(built)
    commands = feed(exchange, request(method, chunked=chunked, minor=minor))
    for event in events:
        if isinstance(event, ClientEnd | ClientData) and exchange.request_ended:
            continue
        commands += feed(exchange, answers[event]() if isinstance(event, str) else event)
    ends = [command for command in commands if isinstance(command, Finish | Abort)]
    if exchange.state is State.DONE:
        gone = any(isinstance(event, ClientGone) for event in events)
        assert len(ends) == 1 or (gone and not ends)
        assert in_flight(built) == 0
        assert feed(exchange, ServerData(b"late")) == []
    else:
        assert ends == [] and in_flight(built) == 1
    assert sum(isinstance(c, Open) for c in commands) <= 4  # two members, each once more on a new connection
    if method == b"POST":
        heads = [c for c in commands if isinstance(c, SendServer) and c.data.startswith(b"POST ")]
        assert len(heads) <= 1


def test_every_state_has_a_row() -> None:
    assert set(TRANSITIONS) == set(State)


stream_events = st.lists(st.sampled_from([e for e in EVENTS if not isinstance(e, ClientBroken)]), max_size=25)


@given(stream_events, st.booleans())
def test_stream_ends_once_and_leaks_nothing(events: list[Any], retry: bool) -> None:
    built = parts(retry)
    stream = Stream(built)
    commands = feed(stream, request(b""))
    for event in events:
        commands += feed(stream, event)
    ends = [command for command in commands if isinstance(command, Finish | Abort)]
    done = stream.state is StreamState.DONE
    assert in_flight(built) == (0 if done else 1)
    assert len(ends) <= 1 and (done or not ends)


def test_stream_keeps_early_bytes_and_half_close() -> None:
    stream = Stream(parts())
    feed(stream, request(b""))
    feed(stream, ClientData(b"hel"))
    feed(stream, ClientData(b"lo"))
    feed(stream, ClientEnd())
    sent = feed(stream, Connected(reused=False))
    assert sent[0] == SendServer(b"hello") and len(sent) == 2 and stream.state is StreamState.TO_CLIENT
    assert feed(stream, ServerData(b"x")) == [SendClient(b"x")]
    assert kinds(feed(stream, ServerEnd())) == [CloseServer, Finish]


def test_a_replaced_part_is_the_one_that_acts() -> None:
    built = parts()

    class Last:
        def pick(self, candidates: Any, request: RequestHead) -> Any:
            return candidates[-1]

    exchange = Exchange(replace(built, picker=Last()))
    assert feed(exchange, request())[0].member.name == "b2"
