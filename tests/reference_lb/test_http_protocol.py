from __future__ import annotations

import asyncio
from typing import Any

import pytest


def test_heads_and_bodies_pass_both_ways(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        backend = lab.backends[0]
        big = bytes(range(256)) * 4096
        async with lab.connection() as connection:
            assert (await connection.ask(method="PUT", body=big)).body == big
            head = await connection.ask(method="HEAD")
            assert head.status == 200 and head.get("content-length") == "0"
            lines = ["Limpet-Request: r1", "X-Odd:  a , b", "x-odd: c", "X-Forwarded-For: 10.0.0.9"]
            hop = ["Connection: X-Secret, keep-alive", "X-Secret: 1", "Keep-Alive: 5", "TE: trailers", "Upgrade: h2c"]
            assert (await connection.ask("/a%20b?c=;d", headers=lines + hop)).status == 200
        seen = backend.seen[-1]
        assert seen.start == "GET /a%20b?c=;d HTTP/1.1"
        assert seen.headers == [
            ("Host", "lb"),
            ("Limpet-Request", "r1"),
            ("X-Odd", "a , b"),
            ("x-odd", "c"),
            ("X-Forwarded-For", "10.0.0.9, 127.0.0.1"),
        ]

    run_lab(scenario, count=1)


def test_chunked_requests_and_responses(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async def chunked(request: Any) -> bytes:
            assert request.get("transfer-encoding") == "chunked" and request.get("content-length") is None
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nT: x\r\n\r\n" % (
                len(request.body),
                request.body,
            )

        lab.backends[0].answer = chunked
        request = b"%b / HTTP/1.%d\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        async with lab.connection() as connection:
            for _ in range(2):
                answer = await connection.raw(request % (b"POST", 1))
                assert answer.body == b"abcdefg" and answer.get("transfer-encoding") == "chunked"
        assert lab.backends[0].connections == 1

    run_lab(scenario, count=1)


def test_response_until_close_is_framed_anew(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async def until_close(request: Any) -> bytes:
            asyncio.get_running_loop().call_soon(lambda: [w.close() for w in list(lab.backends[0]._writers)])
            return b"HTTP/1.1 200 OK\r\n\r\nto the end"

        lab.backends[0].answer = until_close
        async with lab.connection() as connection:
            answer = await connection.ask()
            assert answer.body == b"to the end" and answer.get("transfer-encoding") == "chunked"
            assert (await connection.ask()).body == b"to the end"
        async with lab.connection() as connection:
            old = await connection.raw(b"GET / HTTP/1.0\r\n\r\n")
            assert old.body == b"to the end" and old.get("transfer-encoding") is None

    run_lab(scenario, count=1)


def test_http_10_clients(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async with lab.connection() as connection:
            for _ in range(2):
                answer = await connection.raw(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert answer.status == 200 and answer.get("connection") == "keep-alive"
            answer = await connection.raw(b"GET / HTTP/1.0\r\n\r\n")
            assert answer.get("connection") == "close" and await connection.closed()
        assert lab.backends[0].seen[-1].get("host") == f"127.0.0.1:{lab.backends[0].port}"

    run_lab(scenario, count=1)


def test_connection_close_and_half_close(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async with lab.connection() as connection:
            answer = await connection.ask(headers=["Connection: close"])
            assert answer.status == 200 and answer.get("connection") == "close" and await connection.closed()
        async with lab.connection() as connection:
            connection.writer.write(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
            connection.writer.write_eof()
            assert (await connection.answer()).status == 200
            assert await connection.closed()

    run_lab(scenario, count=1)


def test_pipelined_requests_are_answered_in_order(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        requests = [b"POST /%d HTTP/1.1\r\nHost: lb\r\nContent-Length: 1\r\n\r\n%d" % (n, n) for n in range(9)]
        async with lab.connection() as connection:
            connection.writer.write(b"".join(requests))
            assert [(await connection.answer()).body for _ in range(9)] == [b"%d" % n for n in range(9)]

    run_lab(scenario)


def test_expect_100_continue_passes_through(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(5)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
            writer.close()

        server = await asyncio.start_server(raw, "127.0.0.1", 0)
        lab.backends[0].port = server.sockets[0].getsockname()[1]
        await lab.set_members("b1")
        async with lab.connection() as connection:
            start = b"PUT / HTTP/1.1\r\nHost: lb\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            assert (await connection.raw(start)).status == 100
            assert (await connection.raw(b"hello")).body == b"hello"
        server.close()

    run_lab(scenario, count=1, health={"enabled": False})


def test_early_answer_ends_the_connection_after_it(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")

        server = await asyncio.start_server(raw, "127.0.0.1", 0)
        lab.backends[0].port = server.sockets[0].getsockname()[1]
        await lab.set_members("b1")
        async with lab.connection() as connection:
            answer = await connection.raw(b"PUT / HTTP/1.1\r\nHost: lb\r\nContent-Length: 500000\r\n\r\nabc")
            assert answer.status == 413 and answer.body == b"no" and answer.get("connection") == "close"
            connection.writer.write(b"x" * 1000)
            assert await connection.closed()
        server.close()

    run_lab(scenario, count=1, health={"enabled": False})


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 20_000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 140_000, 431),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    ],
)
def test_malformed_requests_are_refused_and_the_connection_ends(run_lab: Any, data: bytes, status: int) -> None:
    async def scenario(lab: Any) -> None:
        async with lab.connection() as connection:
            answer = await connection.raw(data)
            assert answer.status == status and answer.get("connection") == "close"
            assert await connection.closed()
        assert not lab.backends[0].seen
        assert (await lab.ask()).status == 200

    run_lab(scenario, count=1)


def test_malformed_body_is_refused_after_the_answers_before_it(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async with lab.connection() as connection:
            connection.writer.write(
                b"GET /1 HTTP/1.1\r\nHost: lb\r\n\r\n"
                b"POST /2 HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            )
            assert [(await connection.answer()).status for _ in range(2)] == [200, 400]
            assert await connection.closed()
        assert all(member.in_flight == 0 for member in lab.service.site.parts.pool.members())

    run_lab(scenario, count=1)


def test_header_block_just_under_the_limit_passes(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        assert (await lab.ask(headers=["X: " + "a" * 65_000])).status == 200

    run_lab(scenario, count=1)


def test_idle_clients_are_closed(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async with lab.connection() as connection:
            assert (await connection.ask()).status == 200
            assert await connection.closed()

    run_lab(scenario, count=1, timeouts={"idle": "200ms"})


def test_large_response_to_a_slow_client_is_not_buffered(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        size = 64 * 1024 * 1024
        sent = 0

        async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            while sent < size:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536

        server = await asyncio.start_server(raw, "127.0.0.1", 0)
        lab.backends[0].port = server.sockets[0].getsockname()[1]
        await lab.set_members("b1")
        async with lab.connection() as connection:
            connection.writer.write(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
            await lab.until(lambda: sent > 0)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.2)
            assert sent < size / 2
            assert len((await connection.answer()).body) == size
        server.close()

    run_lab(scenario, count=1, health={"enabled": False})
