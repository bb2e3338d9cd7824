"""A NAT gateway on loopback: forwards every connection and flow from an egress address of its own, in user space.

It runs as a process of the keeper: `main` is forked, and serves until it is killed. What the kernel of a real gateway
does with packets it does with bytes, so that only addresses change: half-closed connections stay half closed, a reset
is passed on as a reset, one connection inside is one outside. What it cannot pass on is a refused connection, which
arrives as a reset because the gateway had accepted it by then.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import socket
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec

from limpet.harness.backends.control import unix_address
from limpet.harness.backends.datagrams import udp_socket
from limpet.harness.backends.listener import listen
from limpet.harness.backends.options import parse_address
from limpet.harness.network.commands import Answer, Command, command_of
from limpet.harness.network.splice import Ends, Flow, Outside, open_flow, open_outside

Inner = tuple[str, int]
FORGET_AFTER = 65536
"""Connections of which nobody asked what the outside saw: the oldest are forgotten then."""


class Gateway(asyncio.DatagramProtocol):
    """The tables of one gateway.

    Args:
        target: the balancer.
        egress: the addresses that connections leave by, in turn.
    """

    def __init__(self, target: tuple[str, int], egress: Sequence[str]) -> None:
        self._target = target
        self._turns: Iterator[str] = itertools.cycle(egress)
        self._egress = tuple(egress)
        self._open: dict[Inner, tuple[str, Ends]] = {}
        self._flows: dict[Inner, Flow] = {}
        self._outside: OrderedDict[Inner, asyncio.Future[Outside]] = OrderedDict()
        self._datagrams: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # Connections.

    def accepted(self, ends: Ends, inner: Inner) -> None:
        """A connection from inside: it gets the next egress address and its other half."""
        egress = next(self._turns)
        self._open[inner] = (egress, ends)
        task = asyncio.get_running_loop().create_task(self._forward(ends, inner, egress))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, ends: Ends, inner: Inner, egress: str) -> None:
        found = self._awaited(inner)
        if found.done():  # nobody asked about the connection that had these ports before
            del self._outside[inner]
            found = self._awaited(inner)
        outside = Outside(egress, 0)
        try:
            outside = await open_outside(ends, egress, self._target)
        except OSError:
            ends.reset()
        finally:
            if not found.done():
                found.set_result(outside)

    def over(self, ends: Ends, inner: Inner) -> None:
        """Both halves of the connection are gone."""
        if inner in self._open and self._open[inner][1] is ends:
            del self._open[inner]

    def _awaited(self, inner: Inner) -> asyncio.Future[Outside]:
        found = self._outside.get(inner)
        if found is None:
            found = self._outside[inner] = asyncio.get_running_loop().create_future()
            if len(self._outside) > FORGET_AFTER:
                self._outside.popitem(last=False)
        return found

    # Flows.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket for datagrams is there."""
        self._datagrams = cast(asyncio.DatagramTransport, transport)  # by its methods, not by its class

    def datagram_received(self, data: bytes, inner: Inner) -> None:
        """A datagram from inside: on its flow, or on a new one."""
        self._flow(inner[:2]).send(data)

    def error_received(self, error: Exception) -> None:
        """The inside refuses datagrams: nothing that the outside is told."""

    def connection_lost(self, error: Exception | None) -> None:
        """The end of the process."""

    def _flow(self, inner: Inner) -> Flow:
        flow = self._flows.get(inner)
        if flow is None:
            assert self._datagrams is not None
            flow = self._flows[inner] = open_flow(next(self._turns), self._target, self._datagrams, inner)
        return flow

    # Commands.

    async def obey(self, command: Command) -> Answer:
        """Carries one command out."""
        if command.verb == "egress":
            return Answer(cut=self._leave_by(command.addresses))
        if command.verb == "report":
            return Answer()
        inner = (command.address, command.port)
        if command.transport == "udp":
            return Answer(*self._flow(inner).outside)
        outside = await self._awaited(inner)
        self._outside.pop(inner, None)
        return Answer(*outside)

    def _leave_by(self, addresses: Sequence[str]) -> int:
        self._turns, self._egress = itertools.cycle(addresses), tuple(addresses)
        gone = [ends for egress, ends in self._open.values() if egress not in self._egress]
        flows = [inner for inner, flow in self._flows.items() if flow.outside.address not in self._egress]
        for ends in gone:
            ends.reset()
        for inner in flows:
            self._flows.pop(inner).close()
        return len(gone) + len(flows)


async def _converse(gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            try:
                answer = await gateway.obey(command_of(line))
            except (OSError, msgspec.DecodeError) as err:
                answer = Answer(error=str(err))
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
    writer.close()


async def _serve(
    at: tuple[str, int], target: tuple[str, int], egress: Sequence[str], control: Path, *, datagrams: bool
) -> None:
    loop = asyncio.get_running_loop()
    gateway = Gateway(target, egress)
    await loop.create_server(lambda: Ends(gateway), sock=listen(*at))
    if datagrams:
        await loop.create_datagram_endpoint(lambda: gateway, sock=udp_socket(*at))
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with unix_address(control) as path:
        channel.bind(path)
    await asyncio.start_unix_server(lambda reader, writer: _converse(gateway, reader, writer), sock=channel)
    await asyncio.Event().wait()


def arguments(
    at: tuple[str, int], target: tuple[str, int], egress: Sequence[str], control: Path, *, datagrams: bool
) -> list[str]:
    """What `main` is to be called with."""
    ways = [f"--listen={at[0]}:{at[1]}", f"--to={target[0]}:{target[1]}", f"--egress={','.join(egress)}"]
    return [*ways, f"--control={control}", *(["--datagrams"] if datagrams else [])]


def main(args: Sequence[str]) -> int:
    """Be the gateway that these arguments describe; returns only when it could not start."""
    parser = argparse.ArgumentParser(prog="limpet-gateway", allow_abbrev=False)
    parser.add_argument("--listen", required=True, type=parse_address)
    parser.add_argument("--to", required=True, type=parse_address)
    parser.add_argument("--egress", required=True, type=lambda text: tuple(text.split(",")))
    parser.add_argument("--control", required=True, type=Path)
    parser.add_argument("--datagrams", action="store_true")
    got = parser.parse_args(args)
    try:
        asyncio.run(_serve(got.listen, got.to, got.egress, got.control, datagrams=got.datagrams))
    except OSError as err:
        sys.stderr.write(f"the gateway cannot start: {err}\n")
        return 1
    return 0
