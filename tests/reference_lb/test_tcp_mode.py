from __future__ import annotations

import asyncio
from typing import Any

TCP: dict[str, Any] = {"listener": {"port": 0, "protocol": "tcp"}, "affinity": {"mode": "source-ip", "duration": "60s"}}


async def echo_backends(lab: Any) -> list[asyncio.Server]:
    """Replaces the HTTP backends: each says its name, then echoes, then says bye after the client's end."""
    servers = []
    for backend in lab.backends:

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: bytes = backend.name.encode()
        ) -> None:
            writer.write(name)
            while data := await reader.read(65536):
                writer.write(data)
            writer.write(b"bye")
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        backend.port = servers[-1].sockets[0].getsockname()[1]
    await lab.set_members()
    return servers


async def said(lab: Any, source: str, data: bytes = b"") -> bytes:
    async with lab.connection(source) as connection:
        connection.writer.write(data)
        connection.writer.write_eof()
        return bytes(await asyncio.wait_for(connection.reader.read(), 20))


def test_bytes_pass_both_ways_with_half_close_and_the_source_is_pinned(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        servers = await echo_backends(lab)
        big = bytes(1_000_000)
        whole = await said(lab, "127.3.0.1", big)
        assert whole[2:] == big + b"bye"
        pin = whole[:2]
        for _ in range(4):
            assert await said(lab, "127.3.0.1") == pin + b"bye"
        assert {(await said(lab, f"127.3.0.{n}"))[:2] for n in range(2, 6)} == {b"b1", b"b2", b"b3"}
        await lab.until(lambda: all(m.in_flight == 0 for m in lab.service.site.parts.pool.members()))
        for server in servers:
            server.close()

    run_lab(scenario, **TCP)


def test_idle_clock_restarts_with_the_bytes_of_an_open_connection(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        servers = await echo_backends(lab)
        async with lab.connection("127.3.1.1") as connection:
            pin = await connection.reader.readexactly(2)
            for _ in range(3):
                await lab.service.advance_clock(50)
                connection.writer.write(b"x")
                assert await connection.reader.readexactly(1) == b"x"
            assert await said(lab, "127.3.1.1") == pin + b"bye"
            await lab.service.advance_clock(61)
            assert (await said(lab, "127.3.1.1"))[:2] != pin
        for server in servers:
            server.close()

    run_lab(scenario, **TCP)


def test_dead_members_are_skipped_and_none_left_cuts_the_connection(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        servers = await echo_backends(lab)
        pin = (await said(lab, "127.3.2.1"))[:2].decode()
        servers[[b.name for b in lab.backends].index(pin)].close()
        moved = (await said(lab, "127.3.2.1"))[:2].decode()
        assert moved and moved != pin
        assert (await said(lab, "127.3.2.1"))[:2].decode() == moved
        for server in servers:
            server.close()
        await lab.until_health(b1=False, b2=False, b3=False)
        async with lab.connection("127.3.2.1") as connection:
            assert await connection.closed()

    run_lab(scenario, **TCP | {"affinity": TCP["affinity"] | {"reaction": {"in_request": "retry"}}})
