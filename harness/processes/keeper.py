"""Starting, signalling and ending processes through the keeper, from any number of threads."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from limpet.harness.model.errors import HarnessFault
from limpet.harness.processes import leftovers, table, wire
from limpet.harness.processes.process import Exit, Process, refusal

ANSWER = 120.0


class Keeper:
    """One process from which all processes of a run descend, so that none can outlive it.

    The keeper process holds a socket from this one. When that ends (`close`, end of the interpreter, kill -9), it kills
    every descendant: orphans, daemons and other sessions included. All methods may be called from any thread.
    """

    def __init__(
        self, preload: Sequence[str] = (), *, remove: Sequence[Path] = (), run: str = "", hold: Sequence[int] = ()
    ) -> None:
        """Start the keeper from a clean interpreter.

        Args:
            preload: modules imported once in it, so that a `fork` of their functions costs about 3 ms. Importing
                them must start no thread, loop or server.
            remove: directories that are removed when everything has ended, also after a kill -9 of this process.
            run: the id that it and all its processes carry, by which leftovers are known; "": a new one.
            hold: descriptors that stay open until it ends.

        Raises:
            HarnessFault: it did not come up, or a module could not be imported.
        """
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[wire.Reply]] = {}
        self._exits: dict[int, Exit] = {}
        self._pids: dict[int, int] = {}
        self._closed = False
        self._channel, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the keeper
        with theirs:
            # -P: the current folder must not shadow modules (a user's own `select.py`).
            self._popen = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "limpet.harness.processes.keeper_process",
                    str(theirs.fileno()),
                    *(f"--remove={directory}" for directory in remove),
                    *preload,
                ],
                pass_fds=[theirs.fileno(), *hold],
                env={**os.environ, leftovers.RUN: run or secrets.token_hex(4)},
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._channel.settimeout(ANSWER)
        try:
            ready = wire.receive_reply(self._channel)
        except TimeoutError:
            ready = None
        self._channel.settimeout(None)
        if not isinstance(ready, wire.Ready) or ready.fault:
            self._channel.close()
            self._popen.kill()
            self._popen.wait()
            raise HarnessFault(
                "the keeper process did not start", where=ready.fault if isinstance(ready, wire.Ready) else self._said()
            )
        self._reader = threading.Thread(target=self._listen, name="limpet-keeper", daemon=True)
        self._reader.start()

    def spawn(
        self,
        argv: Sequence[str],
        *,
        output: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str = "",
        namespace: str = "",
    ) -> Process:
        """Execute a command in a session of its own, with stdout and stderr appended to the file `output`.

        Args:
            argv: the command and its arguments; looked up in PATH.
            output: file for what it writes.
            env: its whole environment; None: limpet's own, as it was when the keeper started.
            cwd: its working directory; None: limpet's.
            name: how to call it in messages.
            namespace: path of the network namespace that it lives in; "": limpet's own.

        Raises:
            SetupFault: it cannot be executed (no such command, not executable, no such directory).
        """
        label = name or Path(argv[0]).name
        return self._begin(argv, output=output, name=label, env=env, cwd=cwd, namespace=namespace)

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
        """Fork the keeper and call the function `entry` ("package.module:function") with `args` in the child.

        The child's exit code is what the function returns; a traceback goes to `output` and makes it 1.

        Args:
            entry: takes a list of str and returns an int. Its module is imported in the child if it is not preloaded.
            args: given to the function.
            output: file to which stdout and stderr are appended.
            name: how to call the process in messages.
            env: added to the environment.
            namespace: path of the network namespace that it lives in; "": limpet's own.

        Raises:
            SetupFault: the entry cannot be imported, or `output` cannot be written.
        """
        return self._begin(args, entry, output=output, name=name or entry, env=env, namespace=namespace)

    def close(self) -> None:
        """End every process and the keeper, and wait until they are gone. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
        self._popen.wait()
        self._reader.join()
        self._channel.close()
        self._errors.close()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def signal_process(self, handle: int, number: int) -> bool:
        """Send a signal by the keeper. False: that process has ended. For `Process`."""
        reply = self._ask(wire.Signal(next(self._numbers), handle, number))
        return isinstance(reply, wire.Done) and reply.found

    def end_session(self, handle: int) -> None:
        """Kill the session of that process and wait until nothing is left of it. For `Process`."""
        self._ask(wire.End(next(self._numbers), handle))

    @property
    def ended(self) -> bool:
        """Whether the keeper process is gone, and with it everything that it kept."""
        return self._closed or self._popen.poll() is not None

    def _begin(
        self,
        argv: Sequence[str],
        entry: str = "",
        *,
        output: Path,
        name: str,
        env: Mapping[str, str] | None,
        cwd: Path | None = None,
        namespace: str = "",
    ) -> Process:
        order = wire.Start(
            next(self._numbers),
            [os.fsencode(one) for one in argv],
            os.fsencode(output.absolute()),
            entry,
            None if env is None else {os.fsencode(key): os.fsencode(value) for key, value in env.items()},
            None if cwd is None else os.fsencode(cwd.absolute()),
            os.fsencode(namespace),
        )
        reply = self._ask(order)
        if isinstance(reply, wire.Refused):
            raise refusal(reply, list(argv), entry, output, cwd)
        if not isinstance(reply, wire.Started):
            raise HarnessFault(f"the keeper answered a start with {type(reply).__name__}", where=name)
        return Process(self, reply.handle, self._exit(reply.handle), pid=reply.pid, name=name, output=output)

    def _ask(self, request: wire.Request) -> wire.Reply:
        future: Future[wire.Reply] = Future()
        with self._lock:
            if self._closed:
                raise HarnessFault("the keeper was closed before")
            self._waiting[request.id] = future
            try:
                wire.send(self._channel, request)
            except OSError as err:
                del self._waiting[request.id]
                raise HarnessFault("the keeper process is gone", where=self._said()) from err
        if not self._reader.is_alive():
            self._fail_waiting()
        return future.result(ANSWER)

    def _exit(self, handle: int) -> Exit:
        with self._lock:
            return self._exits.setdefault(handle, Exit())

    def _listen(self) -> None:
        while (reply := wire.receive_reply(self._channel)) is not None:
            if isinstance(reply, wire.Exited):
                self._pids.pop(reply.handle, None)
                self._exit(reply.handle).set(reply.code, reply.at)
            elif not isinstance(reply, wire.Ready):
                if isinstance(reply, wire.Started):
                    self._pids[reply.handle] = reply.pid
                    self._exit(reply.handle)
                with self._lock:
                    future = self._waiting.pop(reply.id)
                future.set_result(reply)
        if not self._closed:
            self._sweep()
        with self._lock:
            exits = list(self._exits.values())
        for one in exits:
            one.set(-signal.SIGKILL, time.monotonic())
        self._fail_waiting()

    def _fail_waiting(self) -> None:
        with self._lock:
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for future in waiting:
            future.set_exception(HarnessFault("the keeper process is gone", where=self._said()))

    def _sweep(self) -> None:
        """Somebody killed the keeper: its children died with it, what they had started did not."""
        sessions = set(self._pids.values())
        for one in table.table().values():
            if one.session in sessions:
                with contextlib.suppress(OSError):
                    os.kill(one.pid, signal.SIGKILL)

    def _said(self) -> str:
        # The keeper shares this file's position: reading must not move it.
        try:
            return os.pread(self._errors.fileno(), 65536, 0)[-2000:].decode(errors="replace").strip()
        except ValueError:
            return ""
