"""A Redis server of limpet's own, for backends that share their sessions: on loopback, in memory, gone with the run."""

from __future__ import annotations

import shutil
import socket
import threading
from pathlib import Path

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import Lease, Seat
from limpet.harness.processes.process import Process
from limpet.harness.processes.waiting import NotYet, wait_until

PROGRAM = "redis-server"
INSTALL = "apt install redis-server"
PATIENCE = 20.0


def missing() -> str:
    """Why no such server can be started on this machine; "" where one can."""
    return "" if shutil.which(PROGRAM) else f"there is no {PROGRAM} on this machine ({INSTALL})"


class RedisServer:
    """One server for a whole run, started when somebody first needs it. Thread-safe.

    Deployments share it and nothing in it: each prefixes its keys with a name of its own.
    """

    def __init__(self, keeper: Keeper, lease: Lease, directory: Path) -> None:
        """Start it by this keeper, on an endpoint of this lease; its output goes into `directory`."""
        self._keeper = keeper
        self._lease = lease
        self._directory = directory
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._url = ""

    def url(self) -> str:
        """Where it serves; it is started if need be.

        Raises:
            SetupFault: it is not installed, or did not come up.
        """
        with self._lock:
            if self._process is None or not self._process.alive():
                self._start()
            return self._url

    def _start(self) -> None:
        if reason := missing():
            raise SetupFault(reason, where='[backends] sessions = "redis"')
        self._directory.mkdir(parents=True, exist_ok=True)
        seat = self._lease.seat("store")
        host, port = seat.host, seat.port
        command = [PROGRAM, "--bind", host, "--port", str(port), "--dir", str(self._directory.absolute())]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        self._process = self._keeper.spawn(command, output=self._directory / "redis.log", name=PROGRAM,
                                           namespace=seat.namespace)  # fmt: skip
        wait_until(lambda: self._answers(seat), timeout=PATIENCE, what=f"{PROGRAM} to answer", interval=0.01)
        self._url = f"redis://{host}:{port}/0"

    def _answers(self, seat: Seat) -> bool:
        process = self._process
        if process is None or not process.alive():
            said = process.last_lines() if process else ""
            raise SetupFault(f"{PROGRAM} ended while starting", where=f"{seat.host}:{seat.port}", do=said)
        with socket.create_connection((seat.host, seat.port), timeout=5) as client:
            client.sendall(b"PING\r\n")
            if not client.recv(64).startswith(b"+PONG"):
                raise NotYet("it does not answer PING")
        return True
