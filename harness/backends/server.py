"""One backend: its listener, its connections, and the control socket through which it is made faulty."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import msgspec

from limpet.harness.backends.connection import Connection
from limpet.harness.backends.control import unix_address
from limpet.harness.backends.datagrams import Datagrams
from limpet.harness.backends.echo import EchoConnection
from limpet.harness.backends.faults import Command, Report
from limpet.harness.backends.http1 import HttpConnection
from limpet.harness.backends.listener import Listener
from limpet.harness.backends.state import BackendState
from limpet.harness.backends.tls import server_context
from limpet.harness.model.errors import LimpetFault

PATIENCE = 2.0
_ROUNDS = 4
"""Turns of the loop in which whoever waits in the backlog is accepted, read and known."""


class BackendServer:
    """Serves until it is cancelled or killed."""

    def __init__(self, state: BackendState, listening: socket.socket, datagrams: socket.socket | None = None) -> None:
        """Serve on that listening socket, and on one for datagrams where given, inside a running event loop."""
        self.state = state
        self._datagrams = Datagrams(state, datagrams) if datagrams is not None else None
        kind = HttpConnection if state.options.protocol == "http" else EchoConnection
        secure = server_context() if state.options.protocol == "tls" else None
        self._listener = Listener(listening, lambda: kind(state), secure)
        self._control: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Accept connections, then commands.

        Raises:
            OSError: the control socket cannot be made.
        """
        self._listener.accept()
        await self._listener.opened()
        if self._datagrams is not None:
            self._datagrams.follow()
        if self.state.options.control is not None:
            await self._open_control(self.state.options.control)

    async def _open_control(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with unix_address(path) as address:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel.bind(address)
        self._control = await asyncio.start_unix_server(self._obey, sock=channel)

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self._carry_out(line)) + b"\n")
                await writer.drain()
        writer.close()

    async def _carry_out(self, line: bytes) -> Report:
        try:
            command = msgspec.json.decode(line, type=Command)
        except msgspec.DecodeError as err:
            return self.state.report(str(err))
        error = self.state.faults.set(command, self.state.options.protocol)
        if not error and command.verb == "anew":
            await self._begin_anew()
        elif not error and command.verb in ("normal", "reset", "accept-close", "blackhole"):
            try:
                await self._follow()
            except LimpetFault as err:
                error = str(err)
        return self.state.report(error)

    async def _follow(self) -> None:
        way = self.state.faults.way
        if self._datagrams is not None:
            self._datagrams.follow()
        if way == "blackhole":
            self._listener.swallow()
        else:
            self._listener.accept()
            await self._listener.opened()
        present: list[Connection] = list(self.state.connections)
        for connection in present:
            connection.follow()
        if way == "reset":
            # It took effect when the last of them is gone; a stuck one must not hold the command up for ever.
            async with asyncio.timeout(PATIENCE):
                while any(connection in self.state.connections for connection in present):
                    await asyncio.sleep(0)

    async def _begin_anew(self) -> None:
        """Drop every connection, those of the backlog included, and forget everybody."""
        self._listener.accept()
        await self._listener.opened()
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            while self.state.connections:
                for connection in list(self.state.connections):
                    connection.reset()
                await asyncio.sleep(0)
        if self._datagrams is not None:
            self._datagrams.begin_anew()
        self.state.begin_anew()

    async def close(self) -> None:
        """Close what listens; open connections end with the process."""
        await self._listener.close()
        if self._datagrams is not None:
            self._datagrams.close()
        if self._control is not None:
            self._control.close()
