"""The entry of a backend process: `main` is forked from the keeper, and serves until the process is killed."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence

from limpet.harness.backends.datagrams import udp_socket
from limpet.harness.backends.listener import listen
from limpet.harness.backends.options import BackendOptions, parse
from limpet.harness.backends.server import BackendServer
from limpet.harness.backends.sessions import StoreFault
from limpet.harness.backends.state import BackendState
from limpet.harness.model.errors import LimpetFault, SetupFault


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


LOOP_FACTORY = _loop_factory()
_DRAWS = 20
"""Free ports tried until one is free for TCP and UDP alike."""


def open_socket(options: BackendOptions) -> tuple[BackendServer, str, int]:
    """A backend on its listening socket, with the address that it really has. Needs a running event loop.

    Raises:
        SetupFault: the address cannot be listened on, or the history file cannot be written.
    """
    try:
        listening, datagrams = _sockets(options)
    except OSError as err:
        raise SetupFault(
            f"cannot listen: {err.strerror or err}",
            where=f"{options.host}:{options.port}",
            do="end what listens there, or choose another port",
        ) from err
    try:
        state = BackendState(options, keep=bool(options.token))
    except OSError as err:
        _close(listening, datagrams)
        raise SetupFault(f"cannot write the history: {err.strerror or err}", where=str(options.history)) from err
    except StoreFault as err:
        _close(listening, datagrams)
        raise SetupFault(str(err), where=f"--sessions {options.sessions}") from err
    host, port = listening.getsockname()[:2]
    return BackendServer(state, listening, datagrams), host, port


def _sockets(options: BackendOptions) -> tuple[socket.socket, socket.socket | None]:
    """The listening socket, and where UDP is spoken one for datagrams at the same port."""
    for last in (False,) * _DRAWS + (True,):
        listening = listen(options.host, options.port)
        if options.protocol != "udp":
            return listening, None
        try:
            return listening, udp_socket(options.host, listening.getsockname()[1])
        except OSError:
            listening.close()
            if last or options.port:
                raise
    raise AssertionError("the last draw returns or raises")


def _close(listening: socket.socket, datagrams: socket.socket | None) -> None:
    listening.close()
    if datagrams is not None:
        datagrams.close()


def run(work: Coroutine[None, None, None]) -> None:
    """Run to the end, on uvloop where it is installed."""
    with asyncio.Runner(loop_factory=LOOP_FACTORY) as runner:
        runner.run(work)


async def _serve(options: BackendOptions) -> None:
    server, _, _ = open_socket(options)
    await server.start()
    await asyncio.Event().wait()


def main(args: Sequence[str]) -> int:
    """Be the backend that these arguments describe; returns only when it could not start."""
    try:
        run(_serve(parse(args)))
    except LimpetFault as err:
        sys.stderr.write(f"{err}\n")
        return err.exit_code
    return 0
