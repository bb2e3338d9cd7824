"""The reference balancer as a program. Importing this module starts nothing."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from limpet.reference_lb.admin_api import AdminApi
from limpet.reference_lb.command import config_of, listing, parse
from limpet.reference_lb.parts.protocols import Arrange, Parts
from limpet.reference_lb.service import Service
from limpet.reference_lb.settings.config import Config
from limpet.reference_lb.settings.problems import ConfigError
from limpet.reference_lb.transport.admin import AdminListener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it installs, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


_LOOP_FACTORY = _loop_factory()  # imported with this module, so that a fork server pays for it once
EXIT_OK = 0
EXIT_CONFIG = 2
EXIT_ADDRESS = 3


def identity(parts: Parts) -> Parts:
    """The right balancer."""
    return parts


def run(config: Config, arrange: Arrange = identity) -> int:
    """Serve until SIGTERM or SIGINT; blocks. SIGHUP reloads.

    Args:
        arrange: makes another balancer of the right one's parts; called at start and at each reload.

    Returns:
        The exit code: 0 after a signal, 3 when an address cannot be had.
    """
    main: Coroutine[Any, Any, int] = _serve(config, arrange)
    with asyncio.Runner(loop_factory=_LOOP_FACTORY) as runner:
        return runner.run(main)


async def _serve(config: Config, arrange: Arrange) -> int:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    service = Service(config, arrange)
    admin = _admin(config, service)
    loop.add_signal_handler(signal.SIGHUP, _reloader(service))
    where = f"{config.listener.host}:{config.listener.port}"
    try:
        starting = loop.create_task(service.start())
        waiting = loop.create_task(stopped.wait())
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return EXIT_OK
        address = await starting
        if admin is not None and config.admin is not None:
            where = f"{config.admin.host}:{config.admin.port}"
            host, port = await admin.start(config.admin.host, config.admin.port)
            _log(config, f"admin API on http://{host}:{port}")
        scheme = "https" if config.listener.tls is not None else config.listener.protocol
        gc.freeze()  # else each full collection stops all users for as long as it takes to look through the imports
        _log(config, f"listening on {scheme}://{address}")
        await stopped.wait()
        return EXIT_OK
    except OSError as error:
        _log(config, f"cannot listen on {where}: {error.strerror or error}")
        return EXIT_ADDRESS
    finally:
        service.stop()
        if admin is not None:
            admin.stop()


def _admin(config: Config, service: Service) -> AdminListener | None:
    return AdminListener(AdminApi(service).call, config.admin.token) if config.admin is not None else None


def _reloader(service: Service) -> Callable[[], None]:
    """What SIGHUP does. Keeps the running reload, which nobody else holds."""
    running: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        try:
            await service.reload()
        except ConfigError as error:
            print(f"limpet lb {service.name}: not reloaded: {error}", file=sys.stderr, flush=True)  # noqa: T201

    def begin() -> None:
        task = asyncio.get_running_loop().create_task(reload())
        running.add(task)
        task.add_done_callback(running.discard)

    return begin


def _log(config: Config, text: str) -> None:
    print(f"limpet lb {config.name} {text}", file=sys.stderr, flush=True)  # noqa: T201


def main(argv: Sequence[str]) -> int:
    """The command line, without the program's name. Never raises for what a user can do wrong.

    Returns:
        0, 2 (the configuration is wrong) or 3 (an address cannot be had).
    """
    try:
        options = parse(argv)
    except SystemExit as end:
        return EXIT_OK if not end.code else EXIT_CONFIG
    if options.presets:
        print(listing())  # noqa: T201
        return EXIT_OK
    try:
        config = config_of(options)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    if options.check:
        print(f"{options.config or options.preset}: ok", file=sys.stderr)  # noqa: T201
        return EXIT_OK
    return run(config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
