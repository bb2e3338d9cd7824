"""Commanding a backend over its control socket, and unix socket paths longer than the kernel's 107 bytes."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from limpet.harness.backends.faults import Command, Report, Verb
from limpet.harness.model.errors import SetupFault

PATIENCE = 20.0


@contextlib.contextmanager
def unix_address(path: Path) -> Iterator[str]:
    """A short name of the socket file `path`, through its open folder; valid inside the `with`."""
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def command(path: Path, verb: Verb, value: float = 0.0, *, patience: float = PATIENCE) -> Report:
    """Send one command and wait until it took effect.

    Args:
        path: the backend's control socket.
        verb: what to do.
        value: seconds for slow, the status for status and health.
        patience: seconds to wait for the answer.

    Raises:
        OSError: nobody listens there (any more); TimeoutError when the backend does not answer, such as when it hangs.
        SetupFault: the backend refused the command.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(patience)
        with unix_address(path) as address:
            channel.connect(address)
        channel.sendall(msgspec.json.encode(Command(verb, value)) + b"\n")
        line = b""
        while not line.endswith(b"\n"):
            part = channel.recv(65536)
            if not part:
                raise ConnectionResetError(f"{path.name}: the backend ended before it answered {verb}")
            line += part
    report = msgspec.json.decode(line, type=Report)
    if report.error:
        raise SetupFault(f"the backend refused the command {verb}: {report.error}", where=report.name)
    return report
