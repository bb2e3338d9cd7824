"""`limpet backend`: limpet's backend on its own, to stand behind a balancer that limpet did not start."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import sys
from pathlib import Path

from limpet.harness.backends.main import open_socket, run
from limpet.harness.backends.options import BackendOptions, Protocol, parse_address
from limpet.harness.model.errors import SetupFault, UsageFault
from limpet.harness.model.stores import without_password, wrong_url


def resolve(host: str) -> str:
    """The numeric address of a host name or address.

    Raises:
        SetupFault: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as err:
        raise SetupFault(f"no such host: {err.strerror or err}", where=host) from err
    return str(found[0][4][0])


async def _serve(options: BackendOptions) -> None:
    server, host, port = open_socket(options)
    await server.start()
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"backend {options.name} serves {options.protocol} on {shown}; Ctrl-C ends it"]
    if options.protocol == "http":
        lines += [
            f"health    http://{shown}{options.health_path}",
            f"history   curl -H 'Authorization: Bearer {options.token}' http://{shown}/_limpet/history",
            f"token     {options.token}",
        ]
    if options.sessions:
        lines.append(f"sessions  in {without_password(options.sessions)}")
    if options.history is not None:
        lines.append(f"written   {options.history}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    try:
        await asyncio.Event().wait()
    finally:
        await server.close()


def serve_standalone(
    listen: str,
    name: str,
    token: str | None,
    history: Path | None,
    protocol: Protocol,
    *,
    allow_remote: bool = False,
    sessions: str = "",
) -> int:
    """Serve in the foreground until Ctrl-C, then return 0.

    Args:
        listen: "host:port"; port 0 takes a free one, which is then printed.
        name: how the backend calls itself.
        token: opens the history over HTTP; None makes one up and prints it.
        history: file to which each request is appended as a JSON line.
        protocol: "http", "tcp", "tls" or "udp".
        allow_remote: whether an address beyond loopback is wanted.
        sessions: URL of a Redis server that keeps its sessions; all backends with the same one share them. "": its own
            memory.

    Raises:
        UsageFault: the URL is none, or the address is none or beyond loopback without `allow_remote`.
        SetupFault: the port is in use, the address not this machine's, or the history cannot be written.
    """
    host, port = parse_address(listen)
    host = resolve(host)
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback and not allow_remote:
        raise UsageFault(
            "this address can be reached from other machines",
            where=listen,
            do="listen on 127.0.0.1, or allow it with --allow-remote",
        )
    if sessions and (reason := wrong_url(sessions)):
        raise UsageFault(reason, where=f"--sessions {sessions}")
    options = BackendOptions(
        name=name, host=host, port=port, protocol=protocol, history=history, token=token or secrets.token_urlsafe(18),
        sessions=sessions,
    )  # fmt: skip
    try:
        run(_serve(options))
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    return 0
