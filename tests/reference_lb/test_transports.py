from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 20.0
TRUSTED = {"trusted": ["127.0.100.0/24"]}
HANDSHAKE = "GET /chat HTTP/1.1\r\nHost: lb\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-X: y\r\n\r\n"


# TLS


def test_a_made_certificate_is_the_one_to_trust(run_lab, affinity, tmp_path: Path) -> None:
    published = tmp_path / "lb.pem"
    listener = {"port": 0, "tls": {"publish": str(published), "names": ["shop.example"]}}

    async def scenario(lab) -> None:
        text = published.read_text()
        assert "CERTIFICATE" in text and "PRIVATE" not in text
        context = ssl.create_default_context(cafile=str(published))
        for name in ("127.0.0.1", "shop.example", "localhost"):
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, ssl=context, server_hostname=name)
            writer.write(b"GET / HTTP/1.1\r\nHost: lb\r\nConnection: close\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), PATIENCE)
            assert answer.startswith(b"HTTP/1.1 200 ") and b"; Secure" in answer
            writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", lab.port, ssl=context, server_hostname="other.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", lab.port, ssl=ssl.create_default_context())

    run_lab(scenario, listener=listener, affinity=affinity(cookie={"secure": "https"}))


def test_secure_is_left_out_without_tls(run_lab, affinity) -> None:
    async def scenario(lab) -> None:
        assert "Secure" not in ((await lab.ask()).get("set-cookie") or "Secure")

    run_lab(scenario, affinity=affinity(cookie={"secure": "https"}))


# WebSocket


async def shouting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Once switched, says everything again in capitals; begins to talk at once."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"upgrade: websocket" not in head.lower():
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()
        return
    assert b"Connection: Upgrade\r\n" in head
    writer.write(SWITCHED + b"hello ")
    while data := await reader.read(65536):
        writer.write(data.upper())
    writer.write(b" bye")
    writer.close()


Scenario = Callable[[Any], Awaitable[None]]


def with_shouting(scenario: Scenario) -> Scenario:
    """The lab with such backends in the others' places."""

    async def run(lab: Any) -> None:
        servers = [await asyncio.start_server(shouting, "127.0.0.1", 0) for _ in lab.backends]
        for backend, server in zip(lab.backends, servers, strict=True):
            backend.port = server.sockets[0].getsockname()[1]
        await lab.set_members()
        try:
            await scenario(lab)
        finally:
            for server in servers:
                server.close()

    return run


def test_a_tunnel_passes_everything_both_ways(run_lab, affinity) -> None:
    @with_shouting
    async def scenario(lab) -> None:
        big = b"x" * 3_000_000
        async with lab.connection() as connection:
            connection.writer.write(HANDSHAKE.encode() + b"\r\nearly")  # before it can know the answer
            head = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), PATIENCE)
            assert head.startswith(b"HTTP/1.1 101 ") and b"upgrade: websocket" in head.lower()
            assert b"Set-Cookie: LIMPET=" in head and b"Sec-X: y" in head
            connection.writer.write(big)
            connection.writer.write_eof()
            rest = await asyncio.wait_for(connection.reader.read(), PATIENCE)
            assert rest == b"hello EARLY" + big.upper() + b" bye"
        members = lab.service.site.parts.pool.members()
        await lab.until(lambda: all(member.in_flight == 0 for member in members))

    run_lab(scenario, affinity=affinity(), health={"enabled": False})


def test_what_is_no_tunnel_stays_http(run_lab) -> None:
    async def scenario(lab) -> None:
        async with lab.connection() as connection:
            second = "GET /2 HTTP/1.1\r\nHost: lb\r\n\r\n"
            connection.writer.write((HANDSHAKE + "\r\n" + second).encode())
            answers = [await connection.answer(), await connection.answer()]  # usual backends decline
            assert [answer.status for answer in answers] == [200, 200]
            h2c = await connection.ask("/3", headers=["Connection: Upgrade", "Upgrade: h2c"])
            assert h2c.status == 200
        seen = {m.start.split(" ")[1]: m for backend in lab.backends for m in backend.seen}
        assert seen["/chat"].get("upgrade") == "websocket"
        assert seen["/3"].get("upgrade") is None and seen["/3"].get("connection") is None

    run_lab(scenario)


def test_an_idle_tunnel_ends(run_lab) -> None:
    @with_shouting
    async def scenario(lab) -> None:
        async with lab.connection() as connection:
            connection.writer.write(HANDSHAKE.encode() + b"\r\n")
            await asyncio.wait_for(connection.reader.readuntil(b"hello "), PATIENCE)
            assert await connection.closed()

    run_lab(scenario, health={"enabled": False}, timeouts={"idle": "300ms"})


# Addresses told by proxies


def v2(source: str) -> bytes:
    body = bytes(map(int, source.split("."))) + bytes([127, 0, 0, 1]) + struct.pack("!HH", 4711, 80)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, len(body)) + body


@pytest.mark.parametrize("version", [1, 2])
def test_a_proxy_header_tells_the_client(run_lab, version: int) -> None:
    def header(source: str) -> bytes:
        return f"PROXY TCP4 {source} 127.0.0.1 4711 80\r\n".encode() if version == 1 else v2(source)

    async def scenario(lab) -> None:
        async def visit(source: str, peer: str) -> str:
            async with lab.connection(peer) as connection:
                for byte in header(source):
                    connection.writer.write(bytes([byte]))
                    await connection.writer.drain()
                return str((await connection.raw(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")).backend)

        names = {source: await visit(source, "127.0.100.1") for source in ("192.0.2.1", "192.0.2.2", "192.0.2.3")}
        assert len(set(names.values())) == 3
        for source, name in names.items():
            assert await visit(source, "127.0.100.2") == name
        own = await visit("127.9.9.9", "127.9.9.9")
        assert {await visit(source, "127.9.9.9") for source in names} == {own}
        told = {m.get("x-forwarded-for") for backend in lab.backends for m in backend.seen}
        assert told == {*names, "127.9.9.9"}
        async with lab.connection() as connection:
            connection.writer.write(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
            assert await connection.closed()

    run_lab(scenario, listener={"port": 0, "proxy_protocol": True, **TRUSTED}, affinity={"mode": "source-ip"})


def test_a_proxy_header_counts_below_http_too(run_lab) -> None:
    async def scenario(lab) -> None:
        async def name(source: str) -> str:
            async with lab.connection("127.0.100.1") as connection:
                connection.writer.write(v2(source))
                return str((await connection.raw(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")).backend)

        first = {source: await name(source) for source in ("192.0.2.1", "192.0.2.2", "192.0.2.3")}
        assert len(set(first.values())) == 3
        assert {source: await name(source) for source in first} == first

    listener = {"port": 0, "protocol": "tcp", "proxy_protocol": True, **TRUSTED}
    run_lab(scenario, listener=listener, affinity={"mode": "source-ip"})


def test_a_forwarded_address_is_the_key_and_the_path_is_passed_on(run_lab) -> None:
    async def scenario(lab) -> None:
        async def name(source: str, said: str) -> str | None:
            return str((await lab.ask(source=source, headers=[f"X-Forwarded-For: {said}"])).backend)

        first = {said: await name("127.0.100.1", said) for said in ("192.0.2.1", "192.0.2.2", "192.0.2.3")}
        assert len(set(first.values())) == 3
        assert {said: await name("127.0.100.9", f"6.6.6.6, {said}") for said in first} == first
        own = str((await lab.ask(source="127.9.9.9")).backend)
        assert {await name("127.9.9.9", said) for said in first} == {own}
        last = [backend.seen[-1].all("x-forwarded-for") for backend in lab.backends]
        assert ["192.0.2.3, 127.9.9.9"] in last

    listener = {"port": 0, "forwarded": "x-forwarded-for", **TRUSTED}
    run_lab(scenario, listener=listener, affinity={"mode": "source-ip"})


# Pipelining


def test_each_pipelined_request_is_routed_for_itself(run_lab, affinity) -> None:
    async def scenario(lab) -> None:
        cookies: dict[str, str] = {}
        while len(cookies) < 3:
            first = await lab.ask()
            cookies[first.backend] = first.cookie()
        order = [*cookies, *reversed(cookies)]
        heads = [f"GET /{n} HTTP/1.1\r\nHost: lb\r\nCookie: LIMPET={cookies[n]}\r\n\r\n" for n in order]
        async with lab.connection() as connection:
            connection.writer.write("".join(heads).encode())
            assert [(await connection.answer()).backend for _ in order] == order

    run_lab(scenario, affinity=affinity())
