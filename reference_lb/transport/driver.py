"""Does an exchange's commands: the backend's side of it, whatever the client speaks."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from limpet.reference_lb.core.exchange import Exchange
from limpet.reference_lb.core.messages import (
    Abort,
    CloseServer,
    Connected,
    Deadline,
    EndServer,
    Event,
    Finish,
    KeepServer,
    Open,
    SendClient,
    SendServer,
    Started,
    Tunnel,
    Wait,
)
from limpet.reference_lb.parts.records import Member
from limpet.reference_lb.transport.http_server import BackendConnection
from limpet.reference_lb.transport.site import Site
from limpet.reference_lb.transport.timer import DeadlineTimer
from limpet.reference_lb.transport.upstream import connect

Do = Mapping[type, Callable[[Any, Any], None]]


_REUSED = Connected(reused=True)
_CONNECT, _RESPONSE = Wait.CONNECT, Wait.RESPONSE


class ExchangeDriver(ABC):
    """One exchange at a time. Subclasses read from the client and send to it.

    `do` says what does each command; it is filled by `commands`, since a look-up by name would cost at each of them.
    """

    do: ClassVar[Do] = {}

    def __init__(self, site: Site) -> None:
        self._site = site
        self._exchange: Exchange | None = None
        self._head_only = False
        self._server: BackendConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer = DeadlineTimer(site.loop, self._timed_out)
        self._wait: Wait | None = None  # the timeout that is to run while there is no exchange
        self._server_writable = True
        self._writable = True

    # -- what the backend's connection tells

    def from_server(self, event: Event) -> None:
        """An event of the current exchange."""
        exchange = self._exchange
        if exchange is not None:
            do = self.do
            for command in exchange.handle(event):
                do[type(command)](self, command)

    _feed = from_server  # an event is done with in the same way whoever tells of it

    def server_writable(self, writable: bool) -> None:
        """The backend's connection takes bytes, or does not."""
        self._server_writable = writable

    @abstractmethod
    def flush(self) -> None:
        """All that happened at once was told: now send what it led to."""

    # -- events

    def _begin(self, event: Started) -> None:
        self._exchange = Exchange(self._site.parts)
        self._wait = None
        self._head_only = event.request.method == b"HEAD"
        self._feed(event)

    def _timed_out(self) -> None:
        self._feed(Deadline(stalled=not self._server_writable))
        self.flush()

    def _connected(self, link: BackendConnection | None, event: Event) -> None:
        self._connecting = None
        if link is not None:
            self._attach(link)
        self._feed(event)
        self.flush()

    def _attach(self, link: BackendConnection) -> None:
        self._server = link
        self._server_writable = True
        link.serve(self, self._head_only)
        if not self._writable:
            link.reading(False)

    # -- commands

    def _open(self, command: Open) -> None:
        member = command.member
        if self._server is not None or self._connecting is not None:
            self._detach()
        link = None if command.fresh else self._site.upstreams.take(member)
        if isinstance(link, BackendConnection):
            self._attach(link)
            self._feed(_REUSED)
        else:
            self._connect(member)

    def _connect(self, member: Member) -> None:
        site = self._site
        opening = connect(site.loop, member, lambda: BackendConnection(member, site.upstreams), self._connected)
        self._connecting = site.loop.create_task(opening)

    def _send_server(self, command: SendServer) -> None:
        if self._server is not None and command.data:
            self._server.send(command.data)

    def _end_server(self, _: EndServer) -> None:
        if self._server is not None:
            self._server.end()

    def _close_server(self, _: CloseServer) -> None:
        self._detach()

    def _detach(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _keep_server(self, _: KeepServer) -> None:
        link, self._server = self._server, None
        if link is None:
            return
        member = link.member
        if self._site.parts.pool.find(member.group or member.id) is None:
            link.close()
        else:
            link.release()

    def _keep_time(self) -> None:
        """Of all deadlines that were set at once the last one counts."""
        exchange = self._exchange
        if exchange is None:
            wait, self._wait = self._wait, None
        else:
            wait, exchange.wait = exchange.wait, None
        if wait is None:
            return
        timeouts = self._site.timeouts
        if wait is _RESPONSE:
            self._timer.start(timeouts.response)
        else:
            self._timer.start(timeouts.connect if wait is _CONNECT else timeouts.idle)

    def _close_timer(self) -> None:
        self._wait = None
        self._timer.close()

    @abstractmethod
    def _send_client(self, command: SendClient) -> None: ...

    @abstractmethod
    def _tunnel(self, command: Tunnel) -> None: ...

    @abstractmethod
    def _finish(self, command: Finish) -> None: ...

    @abstractmethod
    def _abort(self, command: Abort) -> None: ...


def commands(kind: type[ExchangeDriver]) -> Do:
    """What does each command in this kind of driver."""
    return {
        Open: kind._open,
        SendServer: kind._send_server,
        EndServer: kind._end_server,
        CloseServer: kind._close_server,
        KeepServer: kind._keep_server,
        SendClient: kind._send_client,
        Tunnel: kind._tunnel,
        Finish: kind._finish,
        Abort: kind._abort,
    }
