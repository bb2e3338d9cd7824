"""What happens in a new child of the keeper between fork and its own code: it inherits nothing by accident."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, cast

import msgspec

from limpet.harness.processes import leftovers, netns
from limpet.harness.processes.wire import Start

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
_REPORT = 3
_BEYOND = 1 << 30
_NAME = "limpet-forked"
FAILED = 127

Entry = Callable[[Sequence[str]], int]


class Refusal(msgspec.Struct):
    """Why a child never got to its own code: goes through a pipe that a successful start closes empty."""

    stage: str
    number: int
    detail: str


def prctl(option: int, value: int) -> None:
    """prctl(2).

    Raises:
        OSError: the kernel refused it.
    """
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def become_subreaper() -> None:
    """Orphans among this process's descendants become its children instead of init's."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def run(order: Start, report: int, keeper: int) -> NoReturn:
    """Become what `order` says. Called right after fork in the child; never returns.

    Args:
        order: what to execute, or which function to call.
        report: the writing end of the pipe for a Refusal.
        keeper: process id of the keeper.
    """
    code = FAILED
    stage = "session"
    try:
        try:
            os.setsid()
            leftovers.call_myself(_NAME)
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != keeper:
                os._exit(FAILED)
            _forget_signals(keep_python=bool(order.entry))
            stage = "output"
            _redirect(order.output, report)
            stage = "cwd"
            if order.cwd is not None:
                os.chdir(order.cwd)
            stage = "namespace"
            if order.namespace:
                netns.enter_path(order.namespace)
            stage = "exec"
            if not order.entry:
                os.execvpe(order.argv[0], order.argv, _marked(order.env))
            stage = "entry"
            function = _prepare(order)
        except BaseException as err:  # noqa: BLE001  anything at all must reach the one who asked for the process
            number = (err.errno or 0) if isinstance(err, OSError) else 0
            refusal = Refusal(stage, number, f"{type(err).__name__}: {err}")
            os.write(report if stage in ("session", "output") else _REPORT, msgspec.msgpack.encode(refusal))
            os._exit(FAILED)
        os.close(_REPORT)
        code = _call(function, [os.fsdecode(one) for one in order.argv])
    finally:
        os._exit(code)


def _marked(env: Mapping[bytes, bytes] | None) -> Mapping[bytes, bytes]:
    """The environment of a program: what was asked for, and the run that it belongs to."""
    if env is None:
        return os.environb
    run = os.fsencode(leftovers.RUN)
    return {**env, run: os.environb[run]} if run in os.environb else env


def _forget_signals(*, keep_python: bool) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    if keep_python:
        # Python programs expect BrokenPipeError, not death.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _redirect(output: bytes, report: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    sink = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.dup2(report, _REPORT, inheritable=False)
    # A listening socket that a forked process inherits keeps the port open after its owner was killed (measured).
    os.closerange(_REPORT + 1, _BEYOND)


def _prepare(order: Start) -> Entry:
    gc.enable()
    random.seed()
    if order.env:
        os.environb.update(order.env)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    module, _, name = order.entry.partition(":")
    return cast("Entry", getattr(importlib.import_module(module), name))


def _call(function: Entry, args: Sequence[str]) -> int:
    code = 1
    try:
        code = int(function(args))
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else int(err.code is not None)
        if isinstance(err.code, str):
            sys.stderr.write(err.code + "\n")
    except BaseException:  # noqa: BLE001  the last frame of this process: the traceback belongs into its output file
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    return code & 0xFF
