"""One name and address on a run's network, with the container that has it now and what can be done to that."""

from __future__ import annotations

import itertools
import re
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from limpet.harness.containers.engine import Engine, State, Wanted
from limpet.harness.containers.labels import Run
from limpet.harness.containers.network import Network
from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.process import Exit, Process
from limpet.harness.processes.waiting import NotYet, wait_until

PATIENCE = 60.0
_LOOK = 0.05
_FORKED = """\
import importlib, sys
module, _, function = sys.argv[1].partition(":")
sys.exit(getattr(importlib.import_module(module), function)(sys.argv[2:]))
"""
_LOGGED = ("sh", "-c", 'exec >>"$0" 2>&1; exec "$@"')
_ENDED = ("exited", "dead")


class ContainedProcess(Process):
    """A container's first process: whether it lives, the engine says. Once another lies in that berth, it does not."""

    def __init__(self, berth: Berth, container: str, *, pid: int, name: str, output: Path) -> None:
        super().__init__(berth, 0, Exit(), pid=pid, name=name, output=output)
        self._berth = berth
        self._container = container

    def exit_code(self) -> int | None:
        """Its exit code, None while it lives."""
        state = self._berth.state()
        if state is None or state.id != self._container:
            return -signal.SIGKILL
        return state.exit_code if state.status in _ENDED else None

    def alive(self) -> bool:
        """Whether it has not ended. A paused one is alive."""
        return self.exit_code() is None

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for its end; returns as `exit_code`."""
        deadline = time.monotonic() + timeout
        while (code := self.exit_code()) is None and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return code


class Berth:
    """Where one container after another lies. Made by `ContainerFleet`. Thread-safe.

    It is a keeper too, as far as a backend needs one: `fork` and `spawn` start a container, whose process it keeps.
    """

    def __init__(self, engine: Engine, run: Run, network: Network, name: str, image: str, folder: Path) -> None:
        """Nothing is started yet.

        Args:
            engine: that has the network.
            run: whose it is.
            network: where it gets an address.
            name: of what lies here.
            image: what its containers are made of.
            folder: of this machine, which they see at the same place and write their output to.
        """
        self.name = name
        self.image = image
        self.address = network.next_address()
        self._engine = engine
        self._run = run
        self._network = network
        self._folder = folder
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._container = ""

    # What a backend needs of its keeper.

    def fork(
        self,
        entry: str,
        args: Sequence[str],
        *,
        output: Path,
        name: str = "",
        env: Mapping[str, str] | None = None,
        namespace: str = "",
    ) -> Process:
        """Call the function `entry` ("package.module:function") with `args` in a new container's Python.

        A container has a network of its own; no other ``namespace`` is entered.

        Raises:
            SetupFault: the engine refuses.
        """
        return self.spawn(["python", "-P", "-c", _FORKED, entry, *args], output=output, name=name or entry, env=env)

    def spawn(
        self, argv: Sequence[str], *, output: Path, name: str = "", env: Mapping[str, str] | None = None
    ) -> Process:
        """Execute a command in a new container; what lay here before is removed.

        Args:
            argv: the command and its arguments, as the image knows them.
            output: file for what it writes, below the berth's folder.
            name: how to call it in messages.
            env: added to the image's environment.

        Raises:
            SetupFault: there is no such image, or the engine refuses.
        """
        with self._lock:
            self.clear()
            called = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{self.name}-{next(self._numbers)}")
            wanted = Wanted(
                name=self._run.name(called),
                image=self.image,
                command=[*_LOGGED, str(output), *argv],
                network=self._network.name,
                address=self.address,
                labels=self._run.labels,
                folders=[str(self._folder)],
                env=env or {},
            )
            self._container = self._engine.create(wanted)
            self._engine.start(self._container)
            state = self.state()
            pid = state.pid if state else 0
            return ContainedProcess(self, self._container, pid=pid, name=name or self.name, output=output)

    def signal_process(self, handle: int, number: int) -> bool:
        """Send a signal to the container's first process; False: it has ended. For `Process`."""
        with self._lock:
            state = self.state()
            if state is None or state.status in _ENDED:
                return False
            self._engine.kill(self._container, number)
            return True

    def end_session(self, handle: int) -> None:
        """Remove the container. For `Process`."""
        self.clear()

    @property
    def ended(self) -> bool:
        """Whether there is nothing that could be ended. For `Process`."""
        return not self._container

    # What can be done to a container.

    def state(self) -> State | None:
        """How the container is; None when there is none."""
        with self._lock:
            return self._engine.state(self._container) if self._container else None

    def kill(self) -> None:
        """SIGKILL all of its processes at once; the container stays, and `start` brings it back."""
        with self._lock:
            if self._is("paused"):
                self._engine.unpause(self._container)
            if not self._is(*_ENDED):
                self._engine.kill(self._container)
            self._await(*_ENDED)

    def stop(self, grace: int = 10) -> None:
        """Tell it to end, and kill it after so many seconds."""
        with self._lock:
            self._engine.stop(self._container, grace)
            self._await(*_ENDED)

    def start(self) -> None:
        """Start it again, at its address."""
        with self._lock:
            self._engine.start(self._container)
            self._await("running")

    def pause(self) -> None:
        """Freeze it: its kernel still accepts connections, nobody answers."""
        with self._lock:
            self._engine.pause(self._container)
            self._await("paused")

    def unpause(self) -> None:
        """Let it go on."""
        with self._lock:
            self._engine.unpause(self._container)
            self._await("running")

    def disconnect(self) -> None:
        """Pull its cable: it runs on without an address."""
        with self._lock:
            self._engine.disconnect(self._container, self._network.name)

    def connect(self, address: str = "") -> None:
        """Put it back on the network, at its address or at another one, which is its own from now on."""
        with self._lock:
            self.address = address or self.address
            self._engine.connect(self._container, self._network.name, self.address)

    @property
    def connected(self) -> bool:
        """Whether it is on the network."""
        state = self.state()
        return state is not None and self._network.name in state.addresses

    def clear(self) -> None:
        """Remove the container, whatever it does. Idempotent."""
        with self._lock:
            if self._container:
                self._engine.remove(self._container)
                self._container = ""

    def logs(self) -> str:
        """The last lines of what the engine has of its output; what it writes itself is in the output file."""
        return self._engine.logs(self._container) if self._container else ""

    def _is(self, *statuses: str) -> bool:
        state = self.state()
        return state is not None and state.status in statuses

    def _await(self, *statuses: str) -> None:
        def there() -> bool:
            state = self.state()
            if state is None:
                raise SetupFault("this container is gone: somebody else removed it", where=self.name)
            if state.status not in statuses:
                raise NotYet(state.status)
            return True

        what = f"the container of {self.name} to be {' or '.join(statuses)}"
        wait_until(there, timeout=PATIENCE, what=what, interval=_LOOK)
