"""Connections of the blocking clients: opened from a chosen source, read against one deadline, blamed correctly."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import math
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from limpet.harness.clients.base import Endpoint, Failure
from limpet.harness.clients.proxy_header import proxy_header
from limpet.harness.clients.way import STRAIGHT, Way
from limpet.harness.model.errors import SetupFault

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

# Linux: choose the ephemeral port at connect, by the whole 4-tuple. Without it every bound source address keeps a
# port for itself and some 28,000 connections to one balancer exhaust the range. Python 3.11 has no name for it.
IP_BIND_ADDRESS_NO_PORT = 24
READ_GRACE = 1.0
LETS_GO = 10.0
"""Seconds for which a port that was just given up may seem to be in use: whatever this process starts meanwhile has
a copy of each of its sockets from the fork to the exec, which a loaded machine makes long."""

_LOCAL_ERRORS = {
    errno.EADDRNOTAVAIL: "the address is not one of this machine, or its ports are used up",
    errno.EADDRINUSE: "the port is in use",
    errno.EMFILE: "this process has no file descriptors left",
    errno.ENFILE: "this machine has no file descriptors left",
    errno.ENOBUFS: "the kernel has no buffers left",
    errno.ENOMEM: "out of memory",
    errno.EACCES: "not permitted",
    errno.EPERM: "not permitted (a local firewall?)",
    errno.EAFNOSUPPORT: "the address family is not available",
    errno.EINVAL: "the source address cannot reach the target's (a loopback source and a remote target?)",
}
_numbers = itertools.count(1)


def connection_id() -> str:
    """A connection id that this process has not given before."""
    return f"c{next(_numbers)}"


class _Deadline:
    """Mixed into a socket class: every wait ends at ``deadline`` (CLOCK_MONOTONIC seconds), however data trickles."""

    deadline: float = math.inf

    def _left(self) -> float | None:
        if self.deadline == math.inf:
            return None
        left = self.deadline - time.monotonic()
        # What has already arrived may still be read for a moment: a pause of this process is not the target's fault.
        if left < -READ_GRACE:
            raise TimeoutError("the deadline has passed")
        return max(left, 0.001)


class DeadlineSocket(_Deadline, socket.socket):
    """A plain TCP socket with a deadline."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """As ``socket.recv_into``, until the deadline."""
        self.settimeout(self._left())
        return super().recv_into(buffer, nbytes, flags)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """As ``socket.recv``, until the deadline."""
        self.settimeout(self._left())
        return super().recv(bufsize, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """As ``socket.sendall``, until the deadline."""
        self.settimeout(self._left())
        super().sendall(data, flags)


class DeadlineTLSSocket(_Deadline, ssl.SSLSocket):
    """A TLS socket with a deadline; made by ``SSLContext.wrap_socket`` through ``sslsocket_class``."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """As ``SSLSocket.recv_into``, until the deadline."""
        self.settimeout(self._left())
        return super().recv_into(buffer, nbytes, flags)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """As ``SSLSocket.recv``, until the deadline."""
        self.settimeout(self._left())
        return super().recv(buflen, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """As ``SSLSocket.sendall``, until the deadline."""
        self.settimeout(self._left())
        super().sendall(data, flags)


S = TypeVar("S", bound=socket.socket)
T = TypeVar("T")
Stream = DeadlineSocket | DeadlineTLSSocket


def local_fault(err: OSError, source: str | None, endpoint: Endpoint) -> SetupFault | None:
    """The SetupFault that this error means, None when it is something the target did."""
    why = _LOCAL_ERRORS.get(err.errno or 0)
    if why is None or isinstance(err, ssl.SSLError):  # whose numbers are OpenSSL's: its 1 is no EPERM
        return None
    return SetupFault(
        f"cannot connect to {endpoint.host} port {endpoint.port}: {why} ({err.strerror})",
        where=f"client address {source or '(default)'}",
        do="check the client addresses and `ulimit -n`; `limpet doctor` shows what this machine allows",
    )


def bound_socket(
    kind: type[S], endpoint: Endpoint, source: str | None, source_port: int | None = None, way: Way = STRAIGHT
) -> tuple[S, tuple[Any, ...]]:
    """An unconnected TCP socket of this class, bound to the source, and the socket address to connect it to.

    With ``source_port`` 0 a free port is chosen at once, with None as it connects.

    Raises:
        SetupFault: the host name has no address, the source cannot be bound, or no descriptor is left.
    """
    family = 0 if source is None else (socket.AF_INET6 if ":" in source else socket.AF_INET)
    family, address = resolved(way.towards(endpoint), family)
    sock: S | None = None
    try:
        with way.place():
            sock = kind(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source_port is not None:
                if source_port:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((source or ("::" if family == socket.AF_INET6 else "0.0.0.0"), source_port))
            elif source:
                if hasattr(socket, "AF_NETLINK"):  # Linux
                    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((source, 0))
    except OSError as err:
        if sock is not None:
            sock.close()
        raise (local_fault(err, source, endpoint) or SetupFault(f"cannot bind {source}: {err}")) from err
    return sock, address


def resolved(endpoint: Endpoint, family: int) -> tuple[int, tuple[Any, ...]]:
    """Address family and socket address of an endpoint; family 0 for whatever it has.

    Raises:
        SetupFault: the host name has no address.
    """
    if _is_ipv4(endpoint.host) and family in (0, socket.AF_INET):
        return socket.AF_INET, (endpoint.host, endpoint.port)
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, family, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as err:
        raise SetupFault(f"no address for {endpoint.host}: {err}", do="check the endpoint of the target") from err
    return found[0][0], found[0][4]


@functools.lru_cache(maxsize=256)
def _is_ipv4(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, host)
    except (OSError, UnicodeError, ValueError):
        return False
    return True


def once_free(attempt: Callable[[], T], *, same_port: bool) -> T:
    """What the attempt opens; one at a port of one's own that was just given up is made again for a while.

    Raises:
        SetupFault: it is in use for good, or this machine is to blame in another way.
    """
    until = time.monotonic() + LETS_GO
    while True:
        try:
            return attempt()
        except SetupFault as fault:
            why = fault.__cause__
            taken = isinstance(why, OSError) and why.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
            if not (same_port and taken) or time.monotonic() >= until:
                raise
        time.sleep(0.005)


def open_stream(
    endpoint: Endpoint,
    *,
    source: str | None,
    deadline: float,
    source_port: int | None = None,
    carried: str = "",
    resume: ssl.SSLSession | None = None,
    protocol: str = "http/1.1",
    way: Way = STRAIGHT,
) -> Stream:
    """A connected stream, TLS included where the endpoint is secure.

    Args:
        endpoint: where to.
        source: local address to come from, None for the kernel's choice.
        deadline: CLOCK_MONOTONIC seconds by which it must stand; later by the time that passes until its port is free.
        source_port: a fixed local port, None for an ephemeral one.
        carried: the address that the PROXY header tells, "" for its own; only where the endpoint wants such a header.
        resume: the TLS session to go on with.
        protocol: what is spoken inside of TLS; see `tls_context`.
        way: what is between.

    Raises:
        SetupFault: this machine is to blame.
        OSError: the target is (refused, timed out, reset; ``ssl.SSLError`` when the handshake failed).
    """

    begun = time.monotonic()

    def attempt() -> Stream:
        # That the port was not free yet is no time of the target's.
        lost = time.monotonic() - begun if source_port else 0.0
        return _open_stream(endpoint, source, deadline + lost, source_port, carried, resume, protocol, way)

    return once_free(attempt, same_port=bool(source_port))


def _open_stream(
    endpoint: Endpoint, source: str | None, deadline: float, source_port: int | None, carried: str,
    resume: ssl.SSLSession | None, protocol: str, way: Way,
) -> Stream:  # fmt: skip
    sock, address = bound_socket(DeadlineSocket, endpoint, source, source_port, way)
    try:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        sock.connect(address)
        if sock.getsockname() == sock.getpeername():
            # With nobody listening, TCP may connect a socket to itself when source and target share the address.
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself: nobody listens")
        sock.deadline = deadline
        if endpoint.proxy_protocol:
            local = local_name(sock)
            who = (carried or local[0], local[1])
            sock.sendall(proxy_header(endpoint.proxy_protocol, who, sock.getpeername()[:2]))
        if not endpoint.secure:
            return sock
        context = tls_context(endpoint, protocol)
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        wrapped = context.wrap_socket(sock, server_hostname=endpoint.tls_name, session=resume)
        assert isinstance(wrapped, DeadlineTLSSocket)
        wrapped.deadline = deadline
        return wrapped
    except OSError as err:
        sock.close()
        fault = local_fault(err, source, endpoint)
        if fault is not None:
            raise fault from err
        raise


def tls_context(endpoint: Endpoint, protocol: str = "http/1.1") -> ssl.SSLContext:
    """The client's TLS settings, shared by all connections of the same kind.

    Args:
        endpoint: whom it must prove to be, and by what.
        protocol: what is spoken inside (ALPN); "" for none, and then tickets are refused, so that a session has an id.

    Raises:
        SetupFault: the endpoint's CA file cannot be used.
    """
    try:
        changed = Path(endpoint.ca).stat().st_mtime_ns if endpoint.ca and endpoint.verify else 0
        with _building:
            return _context(endpoint.verify, endpoint.ca, changed, endpoint.tls_version, protocol)
    except OSError as err:
        raise SetupFault(
            f"the CA file {endpoint.ca} cannot be used: {err}",
            where=f"{endpoint.host}:{endpoint.port}",
            do="Name a PEM file in [endpoint] ca.",
        ) from err


_building = threading.Lock()
"""A session can be resumed with its own context only: two threads must never get one each."""


@functools.lru_cache(maxsize=64)
def _context(verify: bool, ca: str, changed: int, version: str, protocol: str) -> ssl.SSLContext:
    """Built once, since reading the CA store is slow; anew where the CA file has changed."""
    context = ssl.create_default_context(cafile=ca or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
    if protocol:
        context.set_alpn_protocols([protocol])
    else:
        context.options |= ssl.OP_NO_TICKET
    context.sslsocket_class = DeadlineTLSSocket
    return context


_BLAME: tuple[tuple[tuple[type[BaseException], ...], Failure], ...] = (
    ((ssl.SSLEOFError, EOFError), "closed"),
    ((ssl.SSLError,), "malformed"),
    ((TimeoutError,), "timeout"),
    ((ConnectionRefusedError,), "refused"),
    ((ConnectionResetError, BrokenPipeError, ConnectionAbortedError), "reset"),
)
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


def blame(err: BaseException) -> tuple[Failure, str]:
    """What the target did, from the exception it caused: the error word of the history, and the detail."""
    for kinds, word in _BLAME:
        if isinstance(err, kinds):
            return word, str(err) or type(err).__name__
    if isinstance(err, OSError) and err.errno in _UNREACHABLE:
        return "refused", str(err)
    return "malformed", f"{type(err).__name__}: {err}"


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN."""
    with contextlib.suppress(OSError):  # the peer was faster: nothing is left to reset
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def part(sock: Stream) -> None:
    """Close with FIN; TLS says goodbye before, without which its server would forget the session."""
    if isinstance(sock, DeadlineTLSSocket):
        sock.settimeout(0)
        with contextlib.suppress(OSError, ValueError):  # nobody waits for the answer
            sock.unwrap()
    sock.close()


def local_name(sock: socket.socket) -> tuple[str, int]:
    """(address, port) of this end."""
    name = sock.getsockname()
    return str(name[0]), int(name[1])
