"""How a backend is started: its options, as an object and as command-line arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from limpet.harness.model.errors import UsageFault

Protocol = Literal["http", "tcp", "tls", "udp"]
"""What a backend speaks: tls is the echo protocol of tcp inside of TLS."""


@dataclass(frozen=True)
class BackendOptions:
    """Everything one backend process is told.

    `token` opens the history over HTTP; "" keeps it closed. `control` is the unix socket for fault commands.
    `sessions` is the URL of the store that its sessions are kept in, under the name `space`; "": its own memory.
    """

    name: str
    host: str
    port: int
    protocol: Protocol = "http"
    history: Path | None = None
    control: Path | None = None
    token: str = ""
    session_cookie: str = "SHOPSESSION"
    health_path: str = "/health"
    sessions: str = ""
    space: str = "shop"

    def __post_init__(self) -> None:
        """Check what travels in headers and lines of text.

        Raises:
            UsageFault: the name is empty or holds blanks or other than visible ASCII.
        """
        if not re.fullmatch(r"[!-~]+", self.name):
            raise UsageFault(
                "a backend's name is made of visible ASCII characters without blanks", where=repr(self.name)
            )

    def arguments(self) -> list[str]:
        """The command-line arguments that `parse` turns back into this."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        given = [f"--name={self.name}", f"--listen={host}:{self.port}", f"--protocol={self.protocol}"]
        given += [f"--session-cookie={self.session_cookie}", f"--health-path={self.health_path}"]
        if self.history is not None:
            given.append(f"--history={self.history}")
        if self.control is not None:
            given.append(f"--control={self.control}")
        if self.token:
            given.append(f"--token={self.token}")
        if self.sessions:
            given += [f"--sessions={self.sessions}", f"--space={self.space}"]
        return given


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[::1]:port".

    Raises:
        UsageFault: it is neither.
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or (":" in bare and bare == host) or not (port.isascii() and port.isdigit()):
        raise UsageFault("no address to listen on", where=repr(text), do="write host:port, such as 127.0.0.1:8001")
    if int(port) > 65535:
        raise UsageFault("ports end at 65535", where=repr(text))
    return bare, int(port)


def parse(arguments: Sequence[str]) -> BackendOptions:
    """The options in these command-line arguments; exits with 2 and a usage line when they are wrong.

    Raises:
        UsageFault: the address to listen on is none.
    """
    parser = argparse.ArgumentParser(prog="limpet-backend", allow_abbrev=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--protocol", choices=("http", "tcp", "tls", "udp"), default="http")
    parser.add_argument("--history", type=Path)
    parser.add_argument("--control", type=Path)
    parser.add_argument("--token", default="")
    parser.add_argument("--session-cookie", default="SHOPSESSION")
    parser.add_argument("--health-path", default="/health")
    parser.add_argument("--sessions", default="")
    parser.add_argument("--space", default="shop")
    got = parser.parse_args(arguments)
    host, port = parse_address(got.listen)
    return BackendOptions(
        name=got.name,
        host=host,
        port=port,
        protocol=got.protocol,
        history=got.history,
        control=got.control,
        token=got.token,
        session_cookie=got.session_cookie,
        health_path=got.health_path,
        sessions=got.sessions,
        space=got.space,
    )
