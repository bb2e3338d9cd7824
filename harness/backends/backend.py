"""One backend process, as the nemesis and the scenarios see it."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

from limpet.harness.backends import control
from limpet.harness.backends.faults import Report, Verb
from limpet.harness.backends.options import BackendOptions
from limpet.harness.backends.recorder import HistoryTail
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.history import Arrived
from limpet.harness.processes import table
from limpet.harness.processes.process import Process, Starter
from limpet.harness.processes.waiting import NotYet, wait_until

PATIENCE = 30.0
ENTRY = "limpet.harness.backends.main:main"


class Backend:
    """A backend at a fixed address. Each fault method returns when the fault took effect. Made by `Fleet.start`.

    Thread-safe: commands to one backend run one after the other.
    """

    def __init__(self, keeper: Starter, options: BackendOptions, log: Path, namespace: str = "") -> None:
        if options.control is None or options.history is None:
            raise ValueError("a backend of a fleet has a control socket and a history file")
        self._keeper = keeper
        self._control = options.control
        self._options = options
        self._log = log
        self._namespace = namespace
        self._tail = HistoryTail(options.history)
        self._lock = threading.RLock()
        self._process: Process | None = None
        self._hung = False
        self._instance = ""
        self._pristine = True

    @property
    def name(self) -> str:
        """How it calls itself."""
        return self._options.name

    @property
    def host(self) -> str:
        """Its address."""
        return self._options.host

    @property
    def port(self) -> int:
        """Its port."""
        return self._options.port

    @property
    def protocol(self) -> str:
        """One of http, tcp, udp."""
        return self._options.protocol

    @property
    def instance(self) -> str:
        """The random id of its present or last process."""
        return self._instance

    @property
    def pristine(self) -> bool:
        """Whether nothing was ever done to it."""
        return self._pristine

    @property
    def alive(self) -> bool:
        """Whether its process lives; a hung one does."""
        return self._process is not None and self._process.alive()

    @property
    def options(self) -> BackendOptions:
        """How it was started."""
        return self._options

    def launch(self) -> None:
        """Start its process, and return when it answers. For the fleet; `revive` does more.

        Raises:
            SetupFault: the address is in use, or it did not come up in time.
        """
        with self._lock:
            # A new process must not be taken for its predecessor by the predecessor's socket file.
            self._control.unlink(missing_ok=True)
            self._process = self._keeper.fork(
                ENTRY, self._options.arguments(), output=self._log, name=self.name, namespace=self._namespace
            )
            self._hung = False
            self._instance = wait_until(
                self._introduce, timeout=PATIENCE, what=f"backend {self.name} to start", interval=0.004
            ).instance
            self._wait_for_answer()

    def _introduce(self) -> Report | None:
        process = self._process
        if process is None or not process.alive():
            said = process.last_lines() if process else ""
            raise SetupFault(f"backend {self.name} ended while starting", where=f"{self.host}:{self.port}", do=said)
        return control.command(self._control, "report")

    def _wait_for_answer(self) -> None:
        wait_until(self._answers, timeout=PATIENCE, what=f"backend {self.name} to answer", interval=0.01)

    def _answers(self) -> bool:
        if self.protocol == "udp" and self._datagram() is None:
            raise NotYet("it does not answer datagrams")
        with socket.create_connection((self.host, self.port), timeout=5) as client:
            if self.protocol != "http":
                return True
            request = f"GET {self._options.health_path} HTTP/1.1\r\nHost: limpet\r\nConnection: close\r\n\r\n"
            client.sendall(request.encode())
            head = client.recv(4096)
            if not head:
                raise NotYet("it closed the connection")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise NotYet(head.split(b"\r\n")[0].decode("latin-1"))
            return True

    def kill(self) -> None:
        """SIGKILL its session, and return when the port refuses.

        Raises:
            SetupFault: something else still listens there.
        """
        with self._lock:
            self.stop()
            wait_until(self._refuses, timeout=PATIENCE, what=f"port {self.host}:{self.port} to refuse")

    def _refuses(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except ConnectionRefusedError:
            if self.protocol == "udp" and self._datagram() != b"":
                raise NotYet("it takes datagrams") from None
            return True
        raise NotYet("it accepts connections")

    def _datagram(self) -> bytes | None:
        """What answers a datagram that asks for nothing: b"" when the port is closed, None when nobody does."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.connect((self.host, self.port))
            try:
                client.send(b"LIMPET\n")
                return client.recv(4096)
            except ConnectionRefusedError:
                return b""
            except TimeoutError:
                return None

    def hang(self) -> None:
        """SIGSTOP: the kernel still accepts connections for it, nobody answers. Returns when it has stopped.

        Raises:
            SetupFault: it is dead.
        """
        with self._lock:
            self._signal(signal.SIGSTOP)
            self._hung = True
            wait_until(self._stopped, timeout=PATIENCE, what=f"backend {self.name} to stop", interval=0.002)

    def _signal(self, number: int) -> None:
        self._pristine = False
        if self._process is None:
            raise SetupFault("this backend was never started", where=self.name)
        try:
            self._process.signal(number)
        except ProcessLookupError as err:
            raise SetupFault("this backend is dead", where=self.name, do="revive it first") from err

    def _stopped(self) -> bool:
        found = table.entry(self._process.pid) if self._process is not None else None
        return found is not None and found.state == "T"

    def revive(self) -> None:
        """Heal whatever was done to it, and return when it answers at its address.

        A dead one gets a new process and so a new instance with no sessions; a hung or faulty one keeps them.

        Raises:
            SetupFault: its address is in use, or it does not answer.
        """
        with self._lock:
            if not self.alive:
                self.launch()
                return
            if self._hung:
                self._signal(signal.SIGCONT)
                self._hung = False
            self.normal()
            self._wait_for_answer()

    def normal(self) -> None:
        """End every fault but death and hanging."""
        self._command("normal")

    def slow(self, seconds: float) -> None:
        """Delay every response, health checks included, by so many seconds."""
        self._command("slow", seconds)

    def status(self, code: int) -> None:
        """Answer everything but health checks with this HTTP status."""
        self._command("status", code)

    def health(self, code: int) -> None:
        """Answer health checks with this HTTP status, and everything else as before."""
        self._command("health", code)

    def reset(self) -> None:
        """Reset every connection, those that are open and those to come."""
        self._command("reset")

    def accept_close(self) -> None:
        """Close every connection without an answer (FIN), those that are open and those to come."""
        self._command("accept-close")

    def blackhole(self) -> None:
        """Let connects time out; open connections stay and are silent."""
        self._command("blackhole")

    def begin_anew(self) -> None:
        """Be another backend at the same address: a new instance without sessions, connections or history.

        Raises:
            SetupFault: it does not obey.
        """
        with self._lock:
            self._instance = self._command("anew").instance
            self._tail.forget()

    def report(self) -> Report:
        """How it is: its present fault and its counters."""
        return self._command("report")

    def _command(self, verb: Verb, value: float = 0.0) -> Report:
        with self._lock:
            self._pristine &= verb in ("anew", "report")
            if not self.alive:
                raise SetupFault(f"{verb}: this backend is dead", where=self.name, do="revive it first")
            if self._hung:
                raise SetupFault(f"{verb}: this backend hangs", where=self.name, do="revive it first")
            try:
                return control.command(self._control, verb, value, patience=PATIENCE)
            except OSError as err:
                said = self._process.last_lines() if self._process is not None else ""
                raise SetupFault(f"{verb}: this backend does not obey: {err}", where=self.name, do=said) from err

    def arrived(self) -> list[Arrived]:
        """Every request it has received so far, in order, over all its processes. Reads only what is new."""
        return self._tail.records()

    def arrived_of(self, prefix: str) -> list[Arrived]:
        """As `arrived`, but only requests whose id is ``prefix``, a dash, and anything."""
        return self._tail.records_of(prefix)

    def arrivals(self) -> int:
        """How many requests it has received so far, over all its processes."""
        return self._tail.count()

    def stop(self) -> None:
        """End its process and remove its control socket; the history stays. Idempotent."""
        with self._lock:
            self._pristine = False
            if self._process is not None:
                self._process.end()
            self._control.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"<Backend {self.name} {self.host}:{self.port} {self.protocol} {'alive' if self.alive else 'dead'}>"
