from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.settings.load import check
from limpet.reference_lb.settings.problems import ConfigError

PATIENCE = 20.0


def udp(affinity: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"listener": {"port": 0, "protocol": "udp"}, "affinity": affinity} | more


PINS = {"mode": "source-ip", "duration": "20m"}
FLOWS = {"mode": "flow", "duration": "60s"}


class Member(asyncio.DatagramProtocol):
    """Answers its name and what it was sent, to whom sent it."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.peers: list[Any] = []
        self.silent = self.closed = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.peers.append(addr)
        if not self.silent:
            self.transport.sendto(self.name + b" " + data, addr)


def _itself(member: Member) -> Member:
    return member


async def serve(lab: Any) -> dict[str, Member]:
    """A UDP socket at each member's TCP port, which the health checks go on using."""
    loop = asyncio.get_running_loop()
    members: dict[str, Member] = {}
    moved = False
    for backend in lab.backends:
        while backend.name not in members:
            member = Member(backend.name.encode())
            try:
                await loop.create_datagram_endpoint(partial(_itself, member), local_addr=("127.0.0.1", backend.port))
            except OSError:  # somebody's own UDP socket has the port: take another one for both
                await backend.stop()
                backend.port, moved = 0, True
                await backend.start()
            else:
                members[backend.name] = member
    if moved:
        await lab.set_members()
    return members


class Client(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.answers.put_nowait(data)

    async def ask(self, data: bytes = b"x") -> str:
        self.transport.sendto(data)
        name, _, rest = (await asyncio.wait_for(self.answers.get(), PATIENCE)).partition(b" ")
        assert rest == data
        return name.decode()


@contextlib.asynccontextmanager
async def flow(lab: Any, source: str) -> AsyncIterator[Client]:
    transport, client = await asyncio.get_running_loop().create_datagram_endpoint(
        Client, local_addr=(source, 0), remote_addr=("127.0.0.1", lab.port)
    )
    try:
        yield client
    finally:
        transport.close()


async def once(lab: Any, source: str) -> str:
    async with flow(lab, source) as client:
        return await client.ask()


def test_source_ip_pins_hold_from_any_port_and_answers_come_back(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        members = await serve(lab)
        async with flow(lab, "127.4.0.1") as one, flow(lab, "127.4.0.1") as two, flow(lab, "127.4.0.2") as other:
            home = await one.ask(b"first")
            assert await two.ask(b"second") == home
            assert await one.ask(b"third") == home
            assert await other.ask() != home  # round robin
            assert len(set(members[home].peers)) == 2, "each flow has a socket of its own"
            big = bytes(20_000)
            assert await one.ask(big) == home
        assert {await once(lab, f"127.4.0.{n}") for n in range(3, 9)} == {"b1", "b2", "b3"}

    run_lab(scenario, **udp(PINS))


def test_flows_are_placed_each_for_itself_and_stay(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        await serve(lab)
        seen: Counter[str] = Counter()
        async with contextlib.AsyncExitStack() as stack:
            flows = [await stack.enter_async_context(flow(lab, "127.4.1.1")) for _ in range(6)]
            homes = [await each.ask() for each in flows]
            seen.update(homes)
            for _ in range(3):
                assert [await each.ask() for each in flows] == homes
        assert seen == {"b1": 2, "b2": 2, "b3": 2}

    run_lab(scenario, **udp(FLOWS))


def test_an_idle_flow_is_over_by_the_affinity_clock_and_every_datagram_is_a_use(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        members = await serve(lab)
        async with flow(lab, "127.4.2.1") as client:
            home = await client.ask()
            for _ in range(3):
                await lab.service.advance_clock(50)
                assert await client.ask() == home
            assert len(set(members[home].peers)) == 1
            await lab.service.advance_clock(61)
            assert await client.ask() != home

    run_lab(scenario, **udp(FLOWS, timeouts={"flow": "60s"}))


def test_a_pin_outlives_its_flow(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        members = await serve(lab)
        async with flow(lab, "127.4.3.1") as client:
            home = await client.ask()
            await lab.service.advance_clock(31)
            assert await client.ask() == home
            assert len(set(members[home].peers)) == 2, "the flow ended, and another socket was opened"
            await lab.service.advance_clock(1201)
            assert await client.ask() != home

    run_lab(scenario, **udp(PINS, timeouts={"flow": "30s"}))


def test_a_dead_member_is_left_by_all_its_flows(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        members = await serve(lab)
        async with flow(lab, "127.4.4.1") as client:
            home = await client.ask()
            members[home].transport.close()
            await lab.until(lambda: members[home].closed)
            await lab.backend(home).stop()
            moved = await client.ask()
            assert moved != home
            assert await client.ask() == moved
        in_flight = {m.name: m.in_flight for m in lab.service.site.parts.pool.members()}
        assert sum(in_flight.values()) == 1 and in_flight[moved] == 1

    run_lab(scenario, **udp(PINS | {"reaction": {"in_request": "retry"}}))


def test_removed_members_get_nothing_more_but_their_answers_still_arrive(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        members = await serve(lab)
        async with flow(lab, "127.4.5.1") as client:
            home = await client.ask()
            members[home].silent = True
            client.transport.sendto(b"late")
            await lab.until(lambda: len(members[home].peers) == 2)
            await lab.set_members(*[name for name in members if name != home])
            moved = await client.ask()
            assert moved != home
            members[home].transport.sendto(f"{home} late".encode(), members[home].peers[-1])
            assert await asyncio.wait_for(client.answers.get(), PATIENCE) == f"{home} late".encode()
            assert await client.ask() == moved
            assert len(members[home].peers) == 2

    run_lab(scenario, **udp(PINS))


@pytest.mark.parametrize("reaction", ["repin", "keep"])
def test_draining_members_get_no_new_flows(run_lab: Any, reaction: str) -> None:
    async def scenario(lab: Any) -> None:
        await serve(lab)
        async with flow(lab, "127.4.6.1") as client:
            home = await client.ask()
            await lab.set_members(**{home: {"drain": True}})
            assert (await client.ask() == home) == (reaction == "keep")
            assert home not in {await once(lab, f"127.4.6.{n}") for n in range(2, 6)}

    run_lab(scenario, **udp(PINS | {"reaction": {"draining": reaction}}))


def test_when_the_table_is_full_the_flow_unused_for_longest_goes(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        members = await serve(lab)
        async with contextlib.AsyncExitStack() as stack:
            flows = [await stack.enter_async_context(flow(lab, f"127.4.7.{n}")) for n in (1, 2, 3)]
            homes = [await each.ask() for each in flows[:2]]
            assert await flows[0].ask() == homes[0]
            await flows[2].ask()
            listener = next(iter(lab.service.site.clients))
            assert listener.flows == 2
            before = {name: len(set(each.peers)) for name, each in members.items()}
            assert await flows[0].ask() == homes[0]
            assert {name: len(set(each.peers)) for name, each in members.items()} == before, "it was still open"
            assert await flows[1].ask() == homes[1], "its pin is kept elsewhere"
            assert len(set(members[homes[1]].peers)) == before[homes[1]] + 1
        assert sum(m.in_flight for m in lab.service.site.parts.pool.members()) == 2

    run_lab(scenario, listener={"port": 0, "protocol": "udp", "flows": 2}, affinity=PINS)


@pytest.mark.parametrize("affinity", [{"mode": "none"}, FLOWS | {"enabled": False}])
def test_without_stickiness_a_flow_stays_and_addresses_mean_nothing(run_lab: Any, affinity: dict[str, Any]) -> None:
    async def scenario(lab: Any) -> None:
        await serve(lab)
        async with flow(lab, "127.4.8.1") as one, flow(lab, "127.4.8.1") as two:
            home, away = await one.ask(), await two.ask()
            assert home != away
            assert [await one.ask() for _ in range(3)] == [home] * 3

    run_lab(scenario, **udp(affinity))


def test_the_flow_is_hashed_by_its_port_too(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        await serve(lab)
        async with contextlib.AsyncExitStack() as stack:
            flows = [await stack.enter_async_context(flow(lab, "127.4.9.1")) for _ in range(40)]
            homes = [await each.ask() for each in flows]
            assert set(homes) == {"b1", "b2", "b3"}
            await lab.service.advance_clock(1000)
            assert [await each.ask() for each in flows] == homes

    run_lab(scenario, **udp({"mode": "flow", "store": "hash-consistent", "reaction": {"recovered": "return"}}))


def test_nobody_to_ask_is_silence_and_the_parts_are_replaceable(run_lab: Any) -> None:
    ports: list[int] = []

    def arrange(parts: Parts) -> Parts:
        class Noting:
            def read(self, request: Any) -> Any:
                ports.append(request.port)
                return parts.key_reader.read(request)

            source, issued = parts.key_reader.source, parts.key_reader.issued

        return replace(parts, key_reader=Noting())

    async def scenario(lab: Any) -> None:
        members = await serve(lab)
        await lab.set_members(b1={"weight": 0}, b2={"weight": 0}, b3={"weight": 0})
        async with flow(lab, "127.4.10.1") as client:
            client.transport.sendto(b"lost")
            await lab.until(lambda: bool(ports))
            await lab.set_members()
            assert await client.ask() in members
            assert set(ports) == {client.transport.get_extra_info("sockname")[1]}

    run_lab(scenario, arrange=arrange, **udp(FLOWS))


def test_flow_mode_below_layer_7_only(run_lab: Any) -> None:
    def problems(listener: dict[str, Any], affinity: dict[str, Any], **more: Any) -> dict[str, str]:
        with pytest.raises(ConfigError) as caught:
            check({"listener": {"port": 0} | listener, "affinity": affinity} | more)
        return {each.key: each.text for each in caught.value.problems}

    assert "requests are no flows" in problems({}, FLOWS)["affinity.mode"]
    assert 'with "udp" use "source-ip", "flow"' in problems({"protocol": "udp"}, {"mode": "lb-cookie"})["affinity.mode"]
    assert "listener.tls" in problems({"protocol": "udp", "tls": {}}, PINS)
    found = problems({"protocol": "udp", "proxy_protocol": True, "trusted": ["10.0.0.0/8"]}, PINS)
    assert "UDP has none" in found["listener.proxy_protocol"]
    assert "listener.flows" in problems({"protocol": "tcp", "flows": 3}, PINS)
    assert "timeouts.flow" in problems({"protocol": "tcp"}, PINS, timeouts={"flow": "3s"})
    assert "affinity.clock" in problems({"protocol": "udp"}, {"mode": "flow", "clock": "session"})
    assert check({"listener": {"port": 0, "protocol": "udp"}, "affinity": {"mode": "flow"}}).affinity.span == 120.0


def test_tcp_flow_is_address_and_port(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async def ask(port: int | None) -> tuple[str, int]:
            """The member's name, by a first line of HTTP through the TCP listener."""
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.port, local_addr=("127.4.11.1", port or 0))
            used = writer.get_extra_info("sockname")[1]
            writer.write(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            writer.transport.abort()
            return head.decode().partition("X-Backend: ")[2][:2], used

        seen = [await ask(None) for _ in range(6)]
        assert Counter(name for name, _ in seen) == {"b1": 2, "b2": 2, "b3": 2}

    run_lab(scenario, listener={"port": 0, "protocol": "tcp"}, affinity=FLOWS)
