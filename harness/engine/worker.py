"""One worker of a crew: runs its part of the jobs in a lab of its own and tells what happens over a socket."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from limpet.harness.engine.ground import SOAK
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.lanes import failed
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.timeline import Cancelled
from limpet.harness.engine.wires import WireMaker
from limpet.harness.model.errors import LimpetFault
from limpet.harness.model.events import Event, ScenarioFinished, ScenarioProgress, ScenarioStarted
from limpet.harness.network.site import Name

_PR_SET_PDEATHSIG = 1
_LENGTH = struct.Struct("!I")

SLOTS = 2
"""Scenarios of one worker that send traffic at once: while one waits for an answer, the other one uses the core."""


@dataclass(frozen=True)
class Workplace:
    """What a worker needs to know; ``name`` tells its requests from those of the others."""

    seed: int
    jobs: tuple[Job, ...]
    out: Path
    name: str
    network: Name = "loopback"
    run: str = ""
    wires: WireMaker | None = None
    soak: float = SOAK
    slots: int = SLOTS


@dataclass
class Worker:
    """A worker as its crew sees it: a process, or a thread where no process could be forked."""

    place: Workplace
    channel: socket.socket
    pid: int
    thread: threading.Thread | None = None
    _status: int | None = None

    def end(self, patience: float) -> None:
        """Waits until it has ended; kills it when it takes too long."""
        if self.thread is not None:
            self.thread.join(patience)
        elif self._reap(patience) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._reap(patience)
        self.channel.close()

    def fate(self, patience: float) -> str:
        """How it ended, in words."""
        code = self._reap(patience) if self.thread is None else None
        if code is None:
            return "nobody knows how"
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _reap(self, patience: float) -> int | None:
        deadline = time.monotonic() + patience
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                return None
            else:
                time.sleep(0.005)
        return self._status


class _Started(msgspec.Struct, frozen=True, tag="started"):
    target: str
    name: str


class _Finished(msgspec.Struct, frozen=True, tag="finished"):
    event: ScenarioFinished


class _Progress(msgspec.Struct, frozen=True, tag="progress"):
    event: ScenarioProgress


class Done(msgspec.Struct, frozen=True, tag="done"):
    """All jobs have their result; ``waited`` is the sum of the worker's waits, in seconds."""

    waited: float


_decoder = msgspec.msgpack.Decoder(_Started | _Progress | _Finished | Done)


def receive(channel: socket.socket) -> Event | Done | None:
    """The next message of a worker; None when it has no more to tell."""
    head = _exactly(channel, _LENGTH.size)
    body = _exactly(channel, _LENGTH.unpack(head)[0]) if head is not None else None
    if body is None:
        return None
    message: _Started | _Progress | _Finished | Done = _decoder.decode(body)
    if isinstance(message, _Started):
        return ScenarioStarted(message.target, message.name)
    return message.event if isinstance(message, _Finished | _Progress) else message


def work(place: Workplace, channel: socket.socket, *, parent: int = 0) -> int:
    """Be the worker: run all jobs, tell each event, end. ``parent``: the process without which it must not live on."""
    if parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            return 1
    try:
        _run(place, channel)
    except LimpetFault as fault:
        for job in place.jobs:
            _tell(channel, ScenarioFinished(failed(job, fault)))
    except (Cancelled, OSError):
        pass  # nobody listens any more
    finally:
        with contextlib.suppress(OSError):
            channel.shutdown(socket.SHUT_RDWR)
    return 0


def _run(place: Workplace, channel: socket.socket) -> None:
    gc.freeze()  # what the parent imported lives as long as the worker: no collection need look at it
    gc.set_threshold(20_000, 20, 20)
    loaded = list({id(job.loaded): job.loaded for job in place.jobs}.values())
    with Lab(
        place.seed, loaded, slots=place.slots, network=place.network, run=place.run, wires=place.wires, soak=place.soak
    ) as lab:
        runner = Runner(lab, place.jobs, place.out, lambda event: _tell(channel, event), name=place.name)
        threading.Thread(target=_watch, args=(channel, runner), daemon=True, name="limpet-crew").start()
        runner.start()
        for job in place.jobs:
            runner.result(job.key)
        _send(channel, Done(lab.timeline.waited))


def _watch(channel: socket.socket, runner: Runner) -> None:
    """The crew sends nothing; when its end is closed, the run is over, whatever is still under way."""
    with contextlib.suppress(OSError):
        channel.recv(1)
    runner.cancel()


def _tell(channel: socket.socket, event: Event) -> None:
    if isinstance(event, ScenarioFinished):
        _send(channel, _Finished(event))
    elif isinstance(event, ScenarioProgress):
        _send(channel, _Progress(event))
    elif isinstance(event, ScenarioStarted):
        _send(channel, _Started(event.target, event.name))


def _send(channel: socket.socket, message: _Started | _Progress | _Finished | Done) -> None:
    body = msgspec.msgpack.encode(message)
    channel.sendall(_LENGTH.pack(len(body)) + body)


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = channel.recv(count - len(parts))
        except OSError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
