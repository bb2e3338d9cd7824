"""The addresses that belong to one run: what a lease is, and the one of loopback."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

from limpet.harness.model.errors import SetupFault

FIRST_PORT = 10000
_DRAWS = 20
"""Ports of an address that is not this run's own, tried until one is free."""
# 127.0.0.0/16 holds the machine's own (127.0.0.1, 127.0.0.53, 127.0.1.1), 127.128.0.0/9 the simulated clients.
BLOCKS = tuple((b, c) for b in range(1, 128) for c in range(256))


Role = Literal["balancer", "balancer-v6", "balancer-alone", "admin", "backend", "store"]
"""What a process is in a deployment; where hosts are apart, each role has hosts of its own. All but one are IPv4.

``balancer-alone`` is one that changes the network of its host, which must be nobody else's.
"""


@dataclass(frozen=True)
class Seat:
    """Where a process sits: its address, and the path of the network namespace of its host ("": limpet's own)."""

    host: str
    port: int
    namespace: str = ""


class Lease(Protocol):
    """Addresses that nobody else has while this is held."""

    def seat(self, role: Role) -> Seat:
        """A place that was never given before and can be bound now. Thread-safe."""


def ephemeral_start(path: Path = Path("/proc/sys/net/ipv4/ip_local_port_range")) -> int:
    """The lowest port that the kernel hands out by itself; 32768, its default, where it cannot be read."""
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


def bindable(host: str, port: int) -> bool:
    """Whether a server could bind this endpoint at this moment; not where the kernel does not know its family."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError:
        return False
    return True


class LoopbackLease:
    """One free 127.B.C.0/24, held until `close` or the death of this process, whichever comes first.

    The lease is a bound abstract unix socket: the kernel gives it to one process only and frees it at any death.
    It holds between limpet runs of one network namespace; other programs may still use single ports in the block.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        """Lease a block, picked at random among the free ones.

        Raises:
            SetupFault: all of them are leased.
        """
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.block = self._take(rng or random.Random())
        self._endpoints = self._walk()
        self._rng = rng or random.Random()

    def _take(self, rng: random.Random) -> str:
        for b, c in rng.sample(BLOCKS, len(BLOCKS)):
            try:
                self._socket.bind(f"\0limpet-127.{b}.{c}")
            except OSError:
                continue
            return f"127.{b}.{c}"
        self._socket.close()
        raise SetupFault(
            f"no loopback block is free: all {len(BLOCKS)} are leased", do="end other limpet runs on this machine"
        )

    def address(self, n: int) -> str:
        """The n-th address of the block, n from 1 to 254.

        Raises:
            ValueError: no such host in a /24.
        """
        if not 1 <= n <= 254:
            raise ValueError(f"a /24 has hosts 1 to 254, not {n}")
        return f"{self.block}.{n}"

    def _walk(self) -> Iterator[tuple[str, int]]:
        limit = ephemeral_start()
        # A machine whose ephemeral range begins very low leaves nothing below it; a clash then shows as not bindable.
        for port in range(FIRST_PORT, limit if limit > FIRST_PORT + 100 else 65536):
            for n in range(1, 255):
                yield self.address(n), port

    def next_endpoint(self) -> tuple[str, int]:
        """A (host, port) of this block that was never given before and can be bound now. Thread-safe.

        Hosts come first, ports second: neighbours differ in their address, as real backends do.

        Raises:
            SetupFault: the block is used up.
        """
        with self._lock:
            for host, port in self._endpoints:
                if bindable(host, port):
                    return host, port
        raise SetupFault("every port of the leased loopback block was given out", where=f"{self.block}.0/24")

    def seat(self, role: Role) -> Seat:
        """The next endpoint, whatever the role: on loopback all hosts are one. IPv6 has one address for all runs.

        Raises:
            SetupFault: the block is used up, or this machine has no IPv6.
        """
        return Seat("::1", self._port_v6()) if role == "balancer-v6" else Seat(*self.next_endpoint())

    def _port_v6(self) -> int:
        limit = ephemeral_start()
        for _ in range(_DRAWS):
            port = self._rng.randrange(FIRST_PORT, limit if limit > FIRST_PORT + 100 else 65536)
            if bindable("::1", port):
                return port
        raise SetupFault("no port of ::1 can be listened on", do="a machine without IPv6 judges nothing of it")

    def close(self) -> None:
        """Give the block back. Idempotent."""
        self._socket.close()

    def __enter__(self) -> LoopbackLease:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
