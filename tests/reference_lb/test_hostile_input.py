"""Malformed, oversize and smuggling requests: refused or cut off, nobody else is harmed, and the balancer goes on."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import re
import sys
from pathlib import Path
from typing import Any

import h11
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived

_spec = importlib.util.spec_from_file_location("limpet_hostile", Path(__file__).with_name("hostile.py"))
assert _spec is not None and _spec.loader is not None
hostile = importlib.util.module_from_spec(_spec)
sys.modules["limpet_hostile"] = hostile
_spec.loader.exec_module(hostile)

SECRET = "the-secret-of-somebody-else"
REFUSED = {400, 408, 431, 501, 505}
AT_ONCE = 50


class StrictBackend:
    """Understands HTTP by h11, which is strict, and remembers what it did not understand. Answers with the target."""

    def __init__(self) -> None:
        self.name, self.port = "strict", 0
        self.complete: list[bytes] = []
        self.wrong: list[str] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 18)
        target, secret = b"", b""
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                if "peer closed" not in str(error):  # the balancer cut off what it had begun to pass on
                    self.wrong.append(f"{error}: {parser.trailing_data[0][:200]!r}")
                return
            if event is h11.NEED_DATA:
                parser.receive_data(await reader.read(65_536))
            elif isinstance(event, h11.Request):
                target = event.target
                secret = dict(event.headers).get(b"x-secret", b"")
            elif isinstance(event, h11.EndOfMessage):
                self.complete.append(target)
                body = b"%b %b" % (target, secret)
                answer = h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))])
                for each in (answer, h11.Data(data=body), h11.EndOfMessage()):
                    writer.write(parser.send(each) or b"")
                if parser.states[h11.CLIENT] is not h11.DONE:
                    return
                parser.start_next_cycle()
            elif isinstance(event, h11.ConnectionClosed):
                return


class Attacker(asyncio.Protocol):
    """Sends bytes, perhaps in two pieces, and keeps all that comes until the end."""

    def __init__(self, data: bytes, rng: random.Random) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self.received = b""
        self._data, self._cut = data, rng.choice((None, rng.randrange(len(data))))
        self._no_more = rng.random() < 0.5

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._data[: self._cut])
        if self._cut is None:
            self._last()
        else:
            asyncio.get_running_loop().call_later(0.001, self._rest)

    def _rest(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._data[self._cut :])
            self._last()

    def _last(self) -> None:
        if self._no_more:
            self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


async def attack(lab: Any, data: bytes, rng: random.Random, *, eof: bool = False) -> bytes:
    """What the balancer answers until it ends the connection, which it must do."""
    loop = asyncio.get_running_loop()

    def make() -> Attacker:
        one = Attacker(data, rng)
        one._no_more = one._no_more or eof
        return one

    _, attacker = await loop.create_connection(make, "127.0.0.1", lab.port)
    try:
        await asyncio.wait_for(attacker.ended, 20)
    except TimeoutError:
        sent = f"{data[:1000]!r}, cut at {attacker._cut}{', with FIN' if attacker._no_more else ''}"
        raise AssertionError(f"the balancer kept the connection open; {sent} → {attacker.received[:500]!r}") from None
    return attacker.received


def statuses(answer: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)]


def surrounded(
    run_lab: Any, work: Any, wrong: list[str], *, listener: dict[str, Any] | None = None, first: bytes = b""
) -> None:
    """Runs `work(lab, backend)` beside a client who is served all the time, and looks at what is left behind.

    `first` is what each connection has to begin with.
    """

    async def scenario(lab: Any) -> None:
        backend = StrictBackend()
        await backend.start()
        lab.backends[0].port = backend.port
        await lab.set_members("b1")
        failures: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(str(context)))
        done = False

        async def somebody_else() -> int:
            """Its connection stays open through everything."""
            async with lab.connection() as connection:
                connection.writer.write(first)
                count = 0
                while not done or not count:
                    count += 1
                    lines = [f"X-Secret: {SECRET}", f"Cookie: s={SECRET}"]
                    answer = await connection.ask(f"/own-{count}", headers=lines)
                    assert answer.status == 200 and answer.body == f"/own-{count} {SECRET}".encode()
                    await asyncio.sleep(0.005)
                return count

        other = asyncio.create_task(somebody_else())
        try:
            await work(lab, backend)
        finally:
            done = True
        assert await other > 0
        assert wrong == [] and backend.wrong == [] and failures == []
        assert not [each for each in backend.complete if each.startswith((b"/malformed", b"/smuggled"))]
        async with lab.connection() as connection:
            connection.writer.write(first)
            assert (await connection.ask("/after")).body == b"/after "
        await lab.until(lambda: not lab.service.site.clients)
        assert all(member.in_flight == 0 for member in lab.service.site.parts.pool.members())
        await backend.stop()

    sections = {"listener": listener} if listener else {}
    run_lab(scenario, count=1, health={"enabled": False}, timeouts={"response": "5s"}, **sections)


@pytest.mark.parametrize(("run_lab", "count"), [("uvloop", 10_000), ("asyncio", 1_000)], indirect=["run_lab"])
def test_generated_malformed_requests_harm_nobody(run_lab: Any, count: int) -> None:
    rng = random.Random(20261121 + count)
    # Drawn beforehand: whoever is served first must not decide what the next one sends.
    cases: list[Any] = [hostile.hostile(rng, kind) for kind in hostile.KINDS]
    cases += [hostile.mutant(rng) if rng.random() < 0.2 else hostile.hostile(rng) for _ in range(count - len(cases))]
    rng.shuffle(cases)
    seeds = [rng.getrandbits(64) for _ in cases]
    wrong: list[str] = []

    async def work(lab: Any, backend: StrictBackend) -> None:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(case: Any, seed: int) -> None:
            mutant = isinstance(case, bytes)
            async with limit:
                answer = await attack(lab, case if mutant else case.data, random.Random(seed), eof=mutant)
            if mutant:
                if answer and not answer.startswith(b"HTTP/1.1 "):
                    wrong.append(f"{case!r}: {answer[:200]!r}")
            else:
                said = statuses(answer)
                if (
                    said[:-1] != [200] * (len(said) - 1)
                    or len(said) > case.before + 1
                    or not set(said[-1:]) <= REFUSED | {200}
                ):
                    wrong.append(f"{case.kind} behind {case.before}: {said} {case.data[:300]!r}")
                elif said and said[-1] == 200 and len(said) > case.before:
                    wrong.append(f"{case.kind} was served: {case.data[:300]!r}")
            if SECRET.encode() in answer:
                wrong.append(f"it got what belongs to somebody else: {answer!r}")

        await asyncio.gather(*(one(case, seed) for case, seed in zip(cases, seeds, strict=True)))

    surrounded(run_lab, work, wrong)


@pytest.mark.parametrize("kind", [*hostile.KINDS])
def test_each_way_of_being_malformed_gets_a_refusal_that_the_client_can_read(run_lab: Any, kind: str) -> None:
    rng = random.Random(kind)
    wrong: list[str] = []

    async def work(lab: Any, backend: StrictBackend) -> None:
        for _ in range(5):
            data = hostile.KINDS[kind](rng)
            said = statuses(await attack(lab, data + hostile.SMUGGLED, rng))
            if len(said) != 1 or said[0] not in REFUSED:
                wrong.append(f"{said}: {data[:300]!r}")

    surrounded(run_lab, work, wrong)


@pytest.mark.parametrize("run_lab", ["uvloop"], indirect=True)
@pytest.mark.parametrize(
    ("endless", "piece"),
    [
        (b"GET / HTTP/1.1\r\nHost: lb\r\nX: ", b"x" * 8192),
        (b"GET / HTTP/1.1\r\nHost: lb\r\n", b"X: x\r\n" * 1024),
        (b"GET /", b"x" * 8192),
        (b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 8192),
        (b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n" * 1024),
        (b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 8192),
    ],
    ids=["value", "lines", "target", "extension", "trailers", "trailer"],
)
def test_what_has_no_end_is_cut_off(run_lab: Any, endless: bytes, piece: bytes) -> None:
    async def work(lab: Any, backend: StrictBackend) -> None:
        async with lab.connection() as connection:
            connection.writer.write(endless)
            sent = 0
            answer = asyncio.create_task(connection.reader.readuntil(b"\r\n\r\n"))
            while not answer.done():
                assert sent < 64 * 1024 * 1024, "it listens for ever"
                connection.writer.write(piece)
                sent += len(piece)
                await connection.writer.drain()
                await asyncio.sleep(0)
            assert statuses(await answer)[0] in (400, 431)

    surrounded(run_lab, work, [])


H2 = [(":method", "GET"), (":scheme", "http"), (":authority", "lb"), (":path", "/malformed")]


def h2_request(*headers: tuple[str, str], instead: dict[str, str] | None = None, data: bytes = b"") -> bytes:
    """The bytes of an HTTP/2 connection with one request of these headers, whatever they hold."""
    config = H2Configuration(
        client_side=True, header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False
    )
    wire = H2Connection(config)
    wire.initiate_connection()
    every = [(name, (instead or {}).get(name, value)) for name, value in H2] + [*headers]
    wire.send_headers(1, every, end_stream=not data)
    if data:
        wire.send_data(1, data, end_stream=True)
    return bytes(wire.data_to_send())


@pytest.mark.parametrize("run_lab", ["uvloop"], indirect=True)
@pytest.mark.parametrize(
    "data",
    [
        h2_request(("x-a", "b\r\nx-smuggled: 1")),
        h2_request(("x-a", "b\nx-smuggled: 1")),
        h2_request(("x-a", "b\0c")),
        h2_request(("x-a: b\r\nx-smuggled", "1")),
        h2_request(("x a", "1")),
        h2_request(("X-Upper", "1")),
        h2_request(("", "1")),
        h2_request(("transfer-encoding", "chunked"), data=b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: lb\r\n\r\n"),
        h2_request(("connection", "close")),
        h2_request(("host", "other")),
        h2_request(("content-length", "1"), instead={":method": "POST"}, data=b"four"),
        h2_request(("content-length", "9"), instead={":method": "POST"}, data=b"four"),
        h2_request(("content-length", "4"), ("content-length", "5"), instead={":method": "POST"}, data=b"four"),
        h2_request(("content-length", "+4"), instead={":method": "POST"}, data=b"four"),
        h2_request(instead={":path": "/malformed HTTP/1.1\r\nHost: lb\r\n\r\nGET /smuggled"}),
        h2_request(instead={":path": "/malformed x"}),
        h2_request(instead={":path": ""}),
        h2_request(instead={":method": "GET /smuggled HTTP/1.1\r\nHost: lb\r\n\r\nGET"}),
        h2_request(instead={":method": "G T"}),
        h2_request(instead={":authority": "lb\r\nx-smuggled: 1"}),
        h2_request(instead={":authority": "l b"}),
        h2_request((":path", "/smuggled")),
        h2_request(("x-huge", "h" * 90_000)),
        h2_request(("cookie", "LIMPET=" + "c" * 90_000)),
    ],
    ids=[
        "CRLF in a value",
        "LF in a value",
        "NUL in a value",
        "CRLF in a name",
        "blank in a name",
        "upper-case name",
        "no name",
        "transfer coding",
        "connection header",
        "another host",
        "body too long",
        "body too short",
        "two lengths",
        "odd length",
        "CRLF in the path",
        "blank in the path",
        "no path",
        "CRLF in the method",
        "blank in the method",
        "CRLF in the authority",
        "blank in the authority",
        "two paths",
        "huge header",
        "huge cookie",
    ],
)
def test_what_http2_can_carry_and_http1_cannot_is_refused(run_lab: Any, data: bytes) -> None:
    async def work(lab: Any, backend: StrictBackend) -> None:
        wire = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        wire.initiate_connection()
        wire.send_headers(1, H2)
        async with lab.connection() as connection:
            connection.writer.write(data)
            connection.writer.write_eof()
            answer = await asyncio.wait_for(connection.reader.read(), 20)
        wire.data_to_send()
        for event in wire.receive_data(answer):
            if isinstance(event, ResponseReceived):
                status = next(value for name, value in event.headers if name in (":status", b":status"))
                assert int(status) in REFUSED

    surrounded(run_lab, work, [], listener={"port": 0, "http2": True})


@pytest.mark.parametrize("run_lab", ["uvloop"], indirect=True)
@pytest.mark.parametrize(
    "listener", [{"http2": True}, {"proxy_protocol": True, "trusted": ["127.0.0.0/8"]}], ids=["h2", "proxy"]
)
def test_garbage_below_the_requests_harms_nobody(run_lab: Any, listener: dict[str, Any]) -> None:
    rng = random.Random(20261122)
    good = [
        h2_request(("cookie", "a=b"), data=b"body" * 50, instead={":path": "/mutant", ":method": "POST"}),
        b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\nGET /mutant HTTP/1.1\r\nHost: lb\r\n\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x12\x34\0\x50"
        b"GET /mutant HTTP/1.1\r\nHost: lb\r\n\r\n",
    ]
    first = b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 80\r\n" if "proxy_protocol" in listener else b""

    async def work(lab: Any, backend: StrictBackend) -> None:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            text = bytearray(rng.choice(good))
            for _ in range(rng.randrange(1, 6)):
                place = rng.randrange(len(text))
                if rng.random() < 0.3:
                    del text[place:]
                    text += rng.randbytes(rng.randrange(1, 40))
                else:
                    text[place] = rng.randrange(256)
            async with limit:
                answer = await attack(lab, bytes(text), rng, eof=True)
                assert SECRET.encode() not in answer

        await asyncio.gather(*(one() for _ in range(1_500)))

    surrounded(run_lab, work, [], listener={"port": 0, **listener}, first=first)
