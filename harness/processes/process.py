"""One process of the keeper, as its owner sees it."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.processes import wire

TAIL = 65536


class Sender(Protocol):
    """What a process needs of its keeper."""

    def signal_process(self, handle: int, number: int) -> bool:
        """Send a signal; False: it has ended."""

    def end_session(self, handle: int) -> None:
        """Kill its session and wait until nothing is left."""

    @property
    def ended(self) -> bool:
        """Whether the keeper is gone."""


class Starter(Protocol):
    """What starts processes: a keeper, or what puts each into a container."""

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
        """Call the function `entry` ("package.module:function") with `args` in a process of its own."""


class Exit:
    """The exit code that a process will have had, and when it ended (CLOCK_MONOTONIC). The first one set stays."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.code: int | None = None
        self.at = 0.0

    def set(self, code: int, at: float) -> None:
        """Note the exit code and the time, unless there is one."""
        if self.code is None:
            self.at = at
            self.code = code
        self._event.set()

    def wait(self, timeout: float) -> int | None:
        """The exit code as soon as there is one, None after `timeout` seconds."""
        self._event.wait(timeout)
        return self.code


class Process:
    """A started process, leader of a session of its own. Made by `Keeper.spawn` and `Keeper.fork`.

    Its process id is never reused under its owner: signals go through the keeper, which knows whether it still lives.
    """

    def __init__(self, keeper: Sender, handle: int, ending: Exit, *, pid: int, name: str, output: Path) -> None:
        self._keeper = keeper
        self._handle = handle
        self._exit = ending
        self.pid = pid
        self.name = name
        self.output = output

    def signal(self, number: int) -> None:
        """Send a signal to this process alone, not to its children.

        Raises:
            ProcessLookupError: it has ended.
        """
        if not self.alive() or not self._keeper.signal_process(self._handle, number):
            raise ProcessLookupError(errno.ESRCH, f"{self.name} (process {self.pid}) has ended")

    def end(self, *, grace: float = 0.0) -> None:
        """End it and everything in its session; returns when all of that is gone. Idempotent.

        Args:
            grace: seconds it gets to end by itself after SIGTERM; 0: SIGKILL at once. What is left afterwards, such as
                the workers of a dead master, gets SIGKILL.
        """
        if self._keeper.ended:
            return
        if grace > 0 and self.alive():
            try:
                self.signal(signal.SIGTERM)
            except ProcessLookupError:
                pass  # ended by itself; its session may still live
            else:
                self.wait(grace)
        try:
            self._keeper.end_session(self._handle)
        except HarnessFault:
            if not self._keeper.ended:
                raise
        self.wait(5.0)

    def exit_code(self) -> int | None:
        """Its exit code, minus the signal number if one killed it, None while it lives."""
        return self._exit.code

    @property
    def ended_at(self) -> float:
        """When its end was seen, in seconds of CLOCK_MONOTONIC; 0.0 while it lives."""
        return self._exit.at

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for its end; returns as `exit_code`."""
        return self._exit.wait(timeout)

    def alive(self) -> bool:
        """Whether it has not ended. A stopped process is alive."""
        return self._exit.code is None

    def last_lines(self, n: int = 12) -> str:
        """The last `n` lines of what it wrote, "" when it wrote nothing."""
        try:
            with self.output.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-n:])

    def __repr__(self) -> str:
        state = "alive" if self.alive() else f"exit {self.exit_code()}"
        return f"<Process {self.name} {self.pid} {state}>"


def refusal(reply: wire.Refused, argv: Sequence[str], entry: str, output: Path, cwd: Path | None) -> SetupFault:
    """Why a process could not be started, for people."""
    command = argv[0] if argv else ""
    reason = os.strerror(reply.number) if reply.number else reply.detail
    if reply.stage == "output":
        return SetupFault(f"the output file cannot be written: {reason}", where=str(output), do="make its folder first")
    if reply.stage == "cwd":
        return SetupFault(f"the working directory cannot be entered: {reason}", where=str(cwd))
    if reply.stage == "namespace":
        return SetupFault(f"its network namespace cannot be entered: {reason}", where=command or entry)
    if reply.stage == "entry":
        return SetupFault(f"the function to fork cannot be imported: {reply.detail}", where=entry)
    if reply.stage != "exec":
        return SetupFault(f"no process could be started: {reason}", where=command or entry)
    if reply.number == errno.ENOENT and "/" in command and ((cwd or Path()) / command).exists():
        return SetupFault("the interpreter in its first line (#!) does not exist", where=command)
    if reply.number == errno.ENOENT:
        return SetupFault("command not found", where=command, do="install it, or give its full path")
    if reply.number == errno.EACCES:
        return SetupFault(
            "the command is not executable", where=command, do=f"chmod +x {command}, or name another file"
        )
    return SetupFault(f"the command cannot be executed: {reason}", where=command)
