"""Taking a port."""

from __future__ import annotations

import socket

BACKLOG = 1024


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket; names are looked up, and the first address counts.

    The loop would look up numeric addresses too, in a pool of threads that costs more than the rest of the start.

    Raises:
        OSError: the port cannot be had, or nobody knows the name.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, number, _, address = found[0]
    bound = socket.socket(family, kind, number)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
