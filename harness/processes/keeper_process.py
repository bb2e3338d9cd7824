"""The keeper itself: the one process from which all processes of a run descend.

Runs as ``python -P -m limpet.harness.processes.keeper_process FD MODULE…``. It is single-threaded and starts no event
loop, so that forking it is safe. When the socket FD ends, however limpet ended, it kills every descendant and exits.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence

import msgspec

from limpet.harness.processes import child, leftovers, table, wire

POLL = 0.003
REMOVE = "--remove="
GIVE_UP = 60.0


class Kept:
    """One process that was asked for. `code` is its exit code once it was reaped."""

    def __init__(self, handle: int, pid: int) -> None:
        self.handle = handle
        self.pid = pid
        self.code: int | None = None


class KeeperProcess:
    """Starts, signals and reaps; the only one who knows whether a process id still means what it meant."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._pid = os.getpid()
        self._handles = 0
        self._kept: dict[int, Kept] = {}
        self._by_pid: dict[int, Kept] = {}
        self._starting: dict[int, tuple[int, Kept]] = {}
        self._ending: list[wire.End] = []
        self._wake, writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)

    def serve(self) -> None:
        """Answer requests until limpet is gone, then end every descendant."""
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        open_pipes: set[int] = set()
        going = True
        while going:
            for descriptor in self._starting.keys() - open_pipes:
                poller.register(descriptor, select.POLLIN)
            for descriptor in open_pipes - self._starting.keys():
                poller.unregister(descriptor)
            open_pipes = set(self._starting)
            ready = {descriptor for descriptor, _ in poller.poll(POLL * 1000 if self._ending else None)}
            for descriptor in ready & open_pipes:
                self._settle(descriptor)
            # A new pipe may get the number of one that was just closed: poll() must see it go first.
            for descriptor in open_pipes - self._starting.keys():
                poller.unregister(descriptor)
            open_pipes &= self._starting.keys()
            if self._wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                self._reap()
            if self._channel.fileno() in ready:
                going = self._answer()
            self._end_sessions()
        self._end_everything()

    def _tell(self, message: wire.Reply) -> None:
        with contextlib.suppress(OSError):
            wire.send(self._channel, message)

    def _answer(self) -> bool:
        request = wire.receive_request(self._channel)
        if request is None:
            return False
        if isinstance(request, wire.Start):
            self._start(request)
        elif isinstance(request, wire.Signal):
            kept = self._kept[request.handle]
            self._reap()
            if kept.code is None:
                with contextlib.suppress(PermissionError):
                    os.kill(kept.pid, request.number)
            self._tell(wire.Done(request.id, found=kept.code is None))
        else:
            self._ending.append(request)
        return True

    def _start(self, order: wire.Start) -> None:
        reader, writer = os.pipe()
        try:
            pid = os.fork()
        except OSError as err:
            os.close(reader)
            os.close(writer)
            self._tell(wire.Refused(order.id, "fork", err.errno or 0, str(err)))
            return
        if pid == 0:
            child.run(order, writer, self._pid)
        os.close(writer)
        self._handles += 1
        kept = Kept(self._handles, pid)
        self._kept[kept.handle] = kept
        # Should this id have been another's, that one's session is empty now, or the kernel had not given it again.
        self._by_pid[pid] = kept
        self._starting[reader] = (order.id, kept)

    def _settle(self, reader: int) -> None:
        """The pipe of a starting child ended: it runs its own code, or said why it cannot."""
        request, kept = self._starting.pop(reader)
        said = b""
        while part := os.read(reader, 65536):
            said += part
        os.close(reader)
        if said:
            refusal = msgspec.msgpack.decode(said, type=child.Refusal)
            self._tell(wire.Refused(request, refusal.stage, refusal.number, refusal.detail))
        else:
            self._tell(wire.Started(request, kept.handle, kept.pid))

    def _reap(self) -> bool:
        """Collect every child that ended. False when no child is left at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            kept = self._by_pid.get(pid)
            if kept is None or kept.code is not None:
                continue  # an orphan of somebody that was kept
            for reader, (_, starting) in list(self._starting.items()):
                if starting is kept:
                    self._settle(reader)
            kept.code = os.waitstatus_to_exitcode(status)
            self._tell(wire.Exited(kept.handle, kept.code, time.monotonic()))

    def _end_sessions(self) -> None:
        if not self._ending:
            return
        self._reap()
        for request in list(self._ending):
            kept = self._kept[request.handle]
            if kept.code is None:
                # The leader was not reaped, so the group of its id is its own: one signal reaches all, forks included.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(kept.pid, signal.SIGKILL)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(kept.pid, signal.SIGKILL)
                continue
            if not self._kill_orphans(kept):
                self._ending.remove(request)
                self._tell(wire.Done(request.id))

    def _kill_orphans(self, kept: Kept) -> int:
        """Kill what an ended leader left behind, and return how many that were."""
        if self._by_pid[kept.pid] is not kept:
            return 0  # the id is in use again, which the kernel allows only after the old session became empty
        # Who lost its parent is this process's own child now; who still has one is found when that one is dead.
        members = [pid for pid in table.children(self._pid) if table.session(pid) == kept.pid]
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return len(members)

    def _end_everything(self) -> None:
        # No children means no descendants: whoever loses its parent becomes this process's child.
        deadline = time.monotonic() + GIVE_UP
        while self._reap() and time.monotonic() < deadline:
            for one in table.descendants(self._pid, table.table()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(one.pid, signal.SIGKILL)
            time.sleep(POLL)


def main(arguments: Sequence[str]) -> int:
    """Be the keeper: arguments are the socket's number, ``--remove=DIR`` …, and the modules to import beforehand."""
    channel = socket.socket(fileno=int(arguments[0]))
    doomed = [each.removeprefix(REMOVE) for each in arguments[1:] if each.startswith(REMOVE)]
    modules = [each for each in arguments[1:] if not each.startswith(REMOVE)]
    channel.set_inheritable(False)
    child.become_subreaper()
    leftovers.call_myself(leftovers.KEEPER)
    keeper = KeeperProcess(channel)
    fault = ""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as err:  # noqa: BLE001  a module may fail in any way; limpet raises it where it was asked for
            fault = f"{module}: {type(err).__name__}: {err}"
    gc.collect()
    # Frozen objects are left alone by the children's collectors, so their memory stays shared.
    gc.disable()
    gc.freeze()
    wire.send(channel, wire.Ready(fault))
    keeper.serve()
    for directory in doomed:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
