from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

PATIENCE = 20.0
LISTENER = {"port": 0, "http2": True}


class Client:
    """One HTTP/2 connection of a test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.wire = H2Connection(
            H2Configuration(client_side=True, header_encoding="latin-1", validate_outbound_headers=False)
        )
        self.wire.initiate_connection()
        self.heads: dict[int, dict[str, str]] = {}
        self.cookies: dict[int, list[str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.closed = False

    def send(self, path: str = "/", *, method: str = "GET", headers: Iterable[tuple[str, str]] = (), end=True) -> int:
        stream = self.wire.get_next_available_stream_id()
        base = [(":method", method), (":scheme", "http"), (":authority", "lb"), (":path", path)]
        self.wire.send_headers(stream, [*base, *headers], end_stream=end)
        return stream

    async def until(self, *streams: int) -> None:
        """Reads until these are over."""
        async with asyncio.timeout(PATIENCE):
            while not self.closed and set(streams) - self.ended - self.reset:
                self.writer.write(self.wire.data_to_send())
                await self.read()

    async def read(self) -> None:
        data = await self.reader.read(65536)
        self.closed = not data
        for event in self.wire.receive_data(data):
            if isinstance(event, ResponseReceived):
                fields = [(str(name), str(value)) for name, value in event.headers]
                self.heads[event.stream_id] = dict(fields)
                self.cookies[event.stream_id] = [value for name, value in fields if name == "set-cookie"]
            elif isinstance(event, DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self.wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, StreamReset):
                self.reset.add(event.stream_id)
            elif isinstance(event, ConnectionTerminated):
                self.closed = True
        self.writer.write(self.wire.data_to_send())

    async def ask(self, path: str = "/", **rest) -> int:
        stream = self.send(path, **rest)
        await self.until(stream)
        return stream

    async def upload(self, stream: int, body: bytes) -> None:
        """All of the body, as the balancer takes it."""
        async with asyncio.timeout(PATIENCE):
            while body:
                room = min(self.wire.local_flow_control_window(stream), self.wire.max_outbound_frame_size)
                if room:
                    self.wire.send_data(stream, body[:room], end_stream=len(body) <= room)
                    body = body[room:]
                    self.writer.write(self.wire.data_to_send())
                    await self.writer.drain()
                else:
                    await self.read()


async def connect(lab, **tls) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", lab.port, **tls))


def test_streams_of_one_connection_go_each_to_their_own_backend(run_lab, affinity) -> None:
    async def scenario(lab) -> None:
        cookies: dict[str, str] = {}
        while len(cookies) < 3:
            first = await lab.ask()
            cookies[first.backend] = first.cookie()
        client = await connect(lab)
        sent = {}
        for number in range(12):
            name = f"b{number % 3 + 1}"
            other = [("cookie", "a=b"), ("cookie", f"LIMPET={cookies[name]}"), ("cookie", "c=d")]
            sent[client.send(f"/{number}", headers=other)] = name
        await client.until(*sent)
        assert {stream: client.heads[stream]["x-backend"] for stream in sent} == sent
        assert all(len(client.cookies[stream]) == 1 for stream in sent)
        seen = [m for backend in lab.backends for m in backend.seen if m.start != "GET / HTTP/1.1"]
        assert len(seen) == 12 and all(m.all("cookie") == ["a=b; c=d"] and m.all("host") == ["lb"] for m in seen)
        client.writer.close()
        members = lab.service.site.parts.pool.members()
        assert all(member.in_flight == 0 for member in members)

    run_lab(scenario, listener=LISTENER, affinity=affinity())


def test_long_bodies_pass_both_ways(run_lab) -> None:
    async def scenario(lab) -> None:
        body = bytes(range(256)) * 8_000  # 2 MB, many times the windows
        client = await connect(lab)
        with_length = client.send("/", method="POST", headers=[("content-length", str(len(body)))], end=False)
        await client.upload(with_length, body)
        without = client.send("/", method="PUT", end=False)
        await client.upload(without, body)
        await client.until(with_length, without)
        assert client.bodies[with_length] == client.bodies[without] == body
        framed = {m.start.split(" ")[0]: m.get("transfer-encoding") for b in lab.backends for m in b.seen}
        assert framed == {"POST": None, "PUT": "chunked"}
        client.writer.close()

    run_lab(scenario, listener=LISTENER)


def test_http1_is_spoken_on_the_same_port(run_lab) -> None:
    async def scenario(lab) -> None:
        async with lab.connection() as connection:
            connection.writer.write(b"P")  # as HTTP/2 would begin
            await connection.writer.drain()
            assert (await connection.raw(b"UT / HTTP/1.1\r\nHost: lb\r\nContent-Length: 0\r\n\r\n")).status == 200
        async with lab.connection() as connection:
            assert (await connection.ask()).status == 200
        client = await connect(lab)
        assert client.heads[await client.ask()][":status"] == "200" and not client.closed
        head = await client.ask(method="HEAD")
        assert client.heads[head][":status"] == "200" and not client.bodies.get(head)
        client.writer.close()

    run_lab(scenario, listener=LISTENER)


def test_the_protocol_is_agreed_on_within_tls(run_lab, tmp_path: Path) -> None:
    published = tmp_path / "lb.pem"

    async def scenario(lab) -> None:
        context = ssl.create_default_context(cafile=str(published))
        context.set_alpn_protocols(["h2", "http/1.1"])
        client = await connect(lab, ssl=context)
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        assert client.heads[await client.ask()][":status"] == "200"
        client.writer.close()
        context.set_alpn_protocols(["http/1.1"])
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()

    run_lab(scenario, listener=LISTENER | {"tls": {"publish": str(published)}})


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/ HTTP/1.1\r\nX: y", ()),
        ("nowhere", ()),
        ("/", [("x", "a\r\nHost: other")]),
        ("/", [("content-length", "nine")]),
    ],
)
def test_nothing_malformed_is_passed_on(run_lab, path: str, headers: list[tuple[str, str]]) -> None:
    async def scenario(lab) -> None:
        client = await connect(lab)
        stream = await client.ask(path, headers=headers)
        assert client.closed or stream in client.reset or client.heads[stream][":status"] == "400"
        assert not any(backend.seen for backend in lab.backends)
        client.writer.close()
        assert (await lab.ask()).status == 200

    run_lab(scenario, listener=LISTENER)


def test_a_reset_stream_frees_its_member(run_lab) -> None:
    async def scenario(lab) -> None:
        async def never(_) -> None:
            await asyncio.sleep(PATIENCE)

        for backend in lab.backends:
            backend.answer = never
        members = lab.service.site.parts.pool.members()
        client = await connect(lab)
        stream = client.send()
        client.writer.write(client.wire.data_to_send())
        await lab.until(lambda: any(member.in_flight for member in members))
        client.wire.reset_stream(stream)
        client.writer.write(client.wire.data_to_send())
        await lab.until(lambda: not any(member.in_flight for member in members))
        second = client.send()
        client.writer.write(client.wire.data_to_send())
        await lab.until(lambda: any(member.in_flight for member in members))
        assert second != stream
        client.writer.transport.abort()
        await lab.until(lambda: not any(member.in_flight for member in members))
        await lab.until(lambda: not lab.service.site.clients)

    run_lab(scenario, listener=LISTENER)


def test_without_members_the_balancer_answers_itself(run_lab) -> None:
    async def scenario(lab) -> None:
        await lab.set_members("nobody")
        client = await connect(lab)
        assert client.heads[await client.ask()][":status"] == "503"
        post = client.send(method="POST", end=False)
        await client.until(post)
        assert client.heads[post][":status"] == "503"
        client.writer.close()

    run_lab(scenario, listener=LISTENER)


def test_an_idle_connection_is_closed(run_lab) -> None:
    async def scenario(lab) -> None:
        client = await connect(lab)
        await client.ask()
        async with asyncio.timeout(PATIENCE):
            while not client.closed:
                await client.read()

    run_lab(scenario, listener=LISTENER, timeouts={"idle": "200ms"})
