"""The loopback network: places out of 127.128.0.0/9, and NAT gateways in user space. Needs no privileges."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import msgspec

from limpet.harness.backends.control import unix_address
from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sources import SourcePool
from limpet.harness.clients.way import Seen, Straight, Transport
from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.network.commands import PATIENCE, Answer, Command, answer_of
from limpet.harness.network.gateway import arguments
from limpet.harness.network.vantage import Family, Vantage, Want
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.processes.process import Process
from limpet.harness.processes.waiting import NotYet, wait_until

PRELOAD = ("limpet.harness.network.gateway",)
ENTRY = "limpet.harness.network.gateway:main"
_ONE_V6 = "loopback has one IPv6 address only, ::1, so that all clients would be one; a network of namespaces has more"


class Home(Straight):
    """A place without NAT: its one address is what the balancer sees."""

    def __init__(self, name: str, sources: SourcePool, address: str) -> None:
        self.name = name
        self.family: Family = 4
        self.addresses: tuple[str, ...] = (address,)
        self._sources = sources

    def seat(self) -> str:
        """The address of this place."""
        return self.addresses[0]

    def change(self) -> None:
        """Another address, outside of the key of the one before."""
        self.addresses = (self._sources.draw(),)

    def close(self) -> None:
        """Nothing was made."""


class GatewayVantage:
    """A place behind a gateway process. Thread-safe.

    Args:
        name: for the report.
        keeper: of the process, which has preloaded `PRELOAD`.
        directory: for its output and control socket.
        at: where the gateway listens inside.
        to: the one endpoint that it leads to.
        sources: where its egress addresses come from.
        egress: how many it has; each new connection takes the next.
        inside: where inner addresses come from; nobody outside ever sees them.
    """

    def __init__(
        self,
        name: str,
        keeper: Keeper,
        directory: Path,
        *,
        at: tuple[str, int],
        to: Endpoint,
        sources: SourcePool,
        egress: int,
        inside: SourcePool,
    ) -> None:
        self.name = name
        self.family: Family = 4
        self.addresses = tuple(sources.draw() for _ in range(egress))
        self._at, self._to = at, to
        self._sources, self._inside = sources, inside
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._spare = b""
        directory.mkdir(parents=True, exist_ok=True)
        stem = f"gateway-{at[0].replace('.', '-')}-{at[1]}"
        self._control = directory / f"{stem}.sock"
        said = arguments(at, (to.host, to.port), self.addresses, self._control, datagrams=to.scheme == "udp")
        self._process: Process = keeper.fork(ENTRY, said, output=directory / f"{stem}.log", name=f"NAT gateway {name}")
        try:
            wait_until(self._serves, timeout=PATIENCE, what=f"the NAT gateway of {name} to start", interval=0.004)
        except BaseException:
            self.close()
            raise

    def towards(self, endpoint: Endpoint) -> Endpoint:
        """The gateway's inner address.

        Raises:
            HarnessFault: it does not lead to this endpoint.
        """
        if (endpoint.host, endpoint.port) != (self._to.host, self._to.port):
            raise HarnessFault(f"the gateway of {self.name} leads to {self._to.host} port {self._to.port} only")
        return replace(endpoint, host=self._at[0], port=self._at[1])

    def place(self) -> AbstractContextManager[object]:
        """Where limpet is."""
        return nullcontext()

    def foresee(self, source: str | None) -> Seen:
        """The egress address, where there is only one."""
        return Seen(self.addresses[0] if len(self.addresses) == 1 else "", 0, source or "")

    def seen(self, local: tuple[str, int], transport: Transport) -> Seen:
        """What the gateway says.

        Raises:
            SetupFault: it does not say.
        """
        answer = self._ask(Command("seen", *local, transport))
        return Seen(answer.address, answer.port, local[0])

    def seat(self) -> str:
        """An inner address."""
        return self._inside.draw()

    def change(self) -> None:
        """As many other egress addresses; connections that left by the old ones are reset."""
        with self._lock:
            self.addresses = tuple(self._sources.draw() for _ in self.addresses)
        self._ask(Command("egress", addresses=self.addresses))

    def close(self) -> None:
        """Ends the process."""
        self._process.end()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._control.unlink(missing_ok=True)

    def _serves(self) -> bool:
        if not self._process.alive():
            raise SetupFault(f"the NAT gateway of {self.name} ended while starting", do=self._process.last_lines())
        try:
            self._ask(Command("report"))
        except OSError as err:
            raise NotYet(str(err)) from err
        return True

    def _ask(self, command: Command) -> Answer:
        with self._lock:
            try:
                answer = self._converse(command)
            except OSError as err:
                if self._channel is None and command.verb == "report":
                    raise
                said = self._process.last_lines() or str(err)
                raise SetupFault(f"the NAT gateway of {self.name} does not answer: {said}") from err
        if answer.error:
            raise SetupFault(f"the NAT gateway of {self.name} cannot: {answer.error}")
        return answer

    def _converse(self, command: Command) -> Answer:
        if self._channel is None:
            channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            channel.settimeout(PATIENCE)
            try:
                with unix_address(self._control) as path:
                    channel.connect(path)
            except OSError:
                channel.close()
                raise
            self._channel = channel
        self._channel.sendall(msgspec.json.encode(command) + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            part = self._channel.recv(4096)
            if not part:
                raise ConnectionResetError("it has ended")
            line += part
        return answer_of(line)


class LoopbackNetwork:
    """The places of one scenario. Inner addresses are the same in every scenario: only a gateway of its own sees them.

    Args:
        keeper: of the gateways' processes.
        lease: where they listen.
        directory: for their files.
        to: the balancer.
        sources: the scenario's addresses.
        reachable: whether the balancer is on loopback, so that clients may choose their addresses.
    """

    name = "loopback"

    def __init__(
        self, keeper: Keeper, lease: LoopbackLease, directory: Path, to: Endpoint, sources: SourcePool, reachable: bool
    ) -> None:
        self._keeper, self._lease, self._directory = keeper, lease, directory
        self._to, self._sources, self._reachable = to, sources, reachable
        self._inside = SourcePool("inside")
        self._vantages: list[Vantage] = []

    def lacks(self, want: Want) -> str:
        """Why it cannot give this."""
        if want.startswith("ipv6"):
            return _ONE_V6
        elsewhere = "the balancer is not on loopback, so that clients cannot choose their addresses"
        return "" if self._reachable else elsewhere

    def home(self, name: str, *, family: Family = 4, beside: str = "") -> Vantage:
        """A place with an address of its own."""
        self._require("ipv6-home" if family == 6 else "home")
        address = self._sources.sibling(beside) if beside else self._sources.draw()
        return self._kept(Home(name, self._sources, address))

    def nat(self, name: str, *, egress: int = 1, family: Family = 4) -> Vantage:
        """A place behind a gateway of its own."""
        self._require("ipv6-nat" if family == 6 else "nat")
        vantage = GatewayVantage(
            name, self._keeper, self._directory, at=self._lease.next_endpoint(), to=self._to,
            sources=self._sources, egress=egress, inside=self._inside,
        )  # fmt: skip
        return self._kept(vantage)

    def close(self) -> None:
        """Ends the gateways."""
        while self._vantages:
            with contextlib.suppress(HarnessFault):  # the keeper is gone, and the gateways with it
                self._vantages.pop().close()

    def _kept(self, vantage: Vantage) -> Vantage:
        self._vantages.append(vantage)
        return vantage

    def _require(self, want: Want) -> None:
        reason = self.lacks(want)
        if reason:
            raise HarnessFault(reason, where=f"the {self.name} network", do="ask `lacks` first")
