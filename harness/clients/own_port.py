"""A local TCP port that stays one user's between its connections."""

from __future__ import annotations

import os
import socket
import weakref

from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sockets import bound_socket
from limpet.harness.clients.way import STRAIGHT, Way


def keep_port(owner: object, endpoint: Endpoint, source: str | None, way: Way = STRAIGHT) -> int | None:
    """Choose a free port and keep it until ``owner`` is gone.

    Between two connections from the same port that port is nobody's, and the kernel gives it to whoever wants any: to
    another user behind the same address, whose connection then stands in the way for as long as it lingers. A socket
    that is bound there, and never connected, prevents that; those that ask for this very port, with ``SO_REUSEADDR``,
    it lets pass.

    Args:
        owner: whose port it is.
        endpoint: where its connections go.
        source: where they come from, None for the kernel's choice.
        way: what is between.

    Returns:
        The port; None where the kernel has no such sockets (it is Linux that has them).

    Raises:
        SetupFault: this machine has no port, address or descriptor left.
    """
    if not hasattr(socket, "AF_NETLINK"):
        return None
    keeper, _ = bound_socket(socket.socket, endpoint, source, 0, way)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = int(keeper.getsockname()[1])
    weakref.finalize(owner, os.close, keeper.detach())
    return port
