"""Session ids of TLS on the way past: read from real hellos, learned from servers, followed by connections."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from limpet.reference_lb.core.tls_hello import LONGEST, Hello, HelloReader, Side
from limpet.reference_lb.settings.config import Listener, Tls
from limpet.reference_lb.settings.load import check
from limpet.reference_lb.settings.problems import ConfigError
from limpet.reference_lb.transport.tls import server_context


def contexts(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's, and a server's of this version without tickets."""
    server = server_context(Listener(port=0, tls=Tls()))
    assert server is not None
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    for each in (client, server):
        each.minimum_version = each.maximum_version = version
        each.options |= ssl.OP_NO_TICKET
    return client, server


class Handshake:
    """One handshake in memory; both flights as they were on the wire."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        ends = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
        self.client = client.wrap_bio(*ends[0], session=session)
        self.server = server.wrap_bio(*ends[1], server_side=True)
        self.flights = [b"", b""]
        sides = (self.client, self.server)
        for _ in range(6):
            for number, side in enumerate(sides):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                sent = ends[number][1].read()
                self.flights[number] += sent
                ends[1 - number][0].write(sent)


def test_the_id_of_a_session_is_read_from_both_hellos_in_pieces_of_any_size() -> None:
    client, server = contexts()
    first = Handshake(client, server)
    assert HelloReader(Side.CLIENT).feed(first.flights[0]) == Hello("")
    assert first.client.session is not None
    given = first.client.session.id.hex()
    assert HelloReader(Side.SERVER).feed(first.flights[1]) == Hello(given) != Hello("")
    again = Handshake(client, server, first.client.session)
    assert again.client.session_reused
    for size in (1, 7, 100_000):
        for side, flight in zip(Side, again.flights, strict=True):
            reader = HelloReader(side)
            for at in range(0, len(flight), size):
                reader.feed(flight[at : at + size])
            assert reader.found == Hello(given), (side, size)


def test_tls_1_3_names_no_session() -> None:
    client, server = contexts(ssl.TLSVersion.TLSv1_3)
    shaken = Handshake(client, server)
    asked = HelloReader(Side.CLIENT).feed(shaken.flights[0])
    assert asked is not None and asked.session, "it is filled with random bytes for old middleboxes"
    assert HelloReader(Side.SERVER).feed(shaken.flights[1]) == Hello("")


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x15\x03\x01\x00\x02\x02\x28"]
)
def test_what_is_no_hello_of_this_side_names_no_session(raw: bytes) -> None:
    assert HelloReader(Side.CLIENT).feed(raw) == Hello("")


def test_an_endless_hello_is_given_up() -> None:
    reader = HelloReader(Side.CLIENT)
    record = b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(0x4000 - 4)
    assert len(record) > LONGEST
    assert reader.feed(record[:100]) is None
    assert reader.feed(record[100:]) == Hello("")


class Secure:
    """A server that speaks TLS and says its name."""

    def __init__(self, name: str, context: ssl.SSLContext) -> None:
        self.name, self._context, self.port = name, context, 0

    async def start(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self._server, self.port = server, server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            writer.write(f"{self.name}\n".encode())
            await reader.read()
        except OSError:
            pass
        writer.close()


async def ask(port: int, client: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[str, ssl.SSLSession, bool]:
    """Who answers, the session, and whether it went on with the one that was offered."""
    import socket

    def talk() -> tuple[str, ssl.SSLSession, bool]:
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        with client.wrap_socket(plain, session=session) as secure:
            secure.sendall(b"who\n")
            name = secure.recv(100).decode().strip()
            assert secure.session is not None
            result = name, secure.session, bool(secure.session_reused)
            secure.unwrap()
            return result

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize("forgets", [False, True])
def test_connections_go_where_their_session_is_known(run_lab: Any, forgets: bool) -> None:
    async def scenario(lab: Any) -> None:
        client, _ = contexts()
        servers = [Secure(f"s{number}", contexts()[1]) for number in range(3)]
        for each in servers:
            await each.start()
        await lab.set_members(*("b1", "b2", "b3"), **{f"b{n + 1}": {"port": s.port} for n, s in enumerate(servers)})
        firsts = [await ask(lab.port, client, None) for _ in range(6)]
        assert {name for name, _, _ in firsts} == {"s0", "s1", "s2"}
        assert not any(resumed for _, _, resumed in firsts)
        if forgets:
            await lab.service.advance_clock(1201)
        for name, session, _ in reversed(firsts[:4]):
            found = await ask(lab.port, client, session)
            if not forgets:
                assert (found[0], found[2]) == (name, True)
        if not forgets:
            assert lab.service.site.parts.binding_store.count() == 6

    sections = {
        "listener": {"port": 0, "protocol": "tcp"},
        "affinity": {"mode": "tls-session-id", "reaction": {"bad_cookie": "ignore"}},
    }
    run_lab(scenario, **sections)


def test_who_says_nothing_is_cut(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async with lab.connection() as connection:
            assert await connection.closed()
        async with lab.connection() as connection:
            connection.writer.write(b"\x16\x03")
            connection.writer.write_eof()
            assert await connection.closed()

    sections = {"listener": {"port": 0, "protocol": "tcp"}, "affinity": {"mode": "tls-session-id"}}
    run_lab(scenario, timeouts={"idle": "200ms"}, **sections)


def test_it_is_for_connections(tmp_path: Path) -> None:
    for protocol in ("http", "udp"):
        with pytest.raises(ConfigError, match=r'"tls-session-id" needs listener\.protocol = "tcp"'):
            check({"listener": {"port": 0, "protocol": protocol}, "affinity": {"mode": "tls-session-id"}})
    with pytest.raises(ConfigError, match=r"affinity\.clock"):
        check({"listener": {"port": 0, "protocol": "tcp"}, "affinity": {"mode": "tls-session-id", "clock": "session"}})
