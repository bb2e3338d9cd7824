"""What the parts hand to each other. Plain values; times are seconds of the affinity clock since the epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    _Class = TypeVar("_Class", bound=type)

    def record(*, frozen: bool, slots: bool) -> Callable[[_Class], _Class]:
        """A dataclass that nobody changes. mypy sees to it: at run time, each field of each object would cost more."""
        return dataclass(slots=slots, unsafe_hash=frozen)


Headers = list[tuple[bytes, bytes]]


class MemberSpec(NamedTuple):
    """A wanted member of the pool, as configured. `servers`: hosts and ports, where it is a group of them."""

    name: str
    host: str
    port: int
    weight: int = 1
    drain: bool = False
    servers: tuple[tuple[str, int], ...] = ()

    @property
    def id(self) -> str:
        """The server's identity: a name that moved to another address is another server."""
        addresses = self.servers or ((self.host, self.port),)
        return f"{self.name}@{'+'.join(f'{host}:{port}' for host, port in addresses)}"


@dataclass(slots=True, eq=False)
class Member:
    """A server in the pool; the object lives as long as the server stays the same one.

    A group has `servers`, and host and port of the first of them; each server names its `group` by id.
    """

    id: str
    name: str
    host: str
    port: int
    weight: int = 1
    drain: bool = False
    in_flight: int = 0
    servers: tuple[Member, ...] = ()
    group: str = ""

    @classmethod
    def of(cls, spec: MemberSpec) -> Member:
        """A new server with nothing in flight, or a group of such."""
        servers = tuple(
            cls(f"{spec.name}@{host}:{port}", spec.name, host, port, group=spec.id) for host, port in spec.servers
        )
        return cls(spec.id, spec.name, spec.host, spec.port, spec.weight, spec.drain, servers=servers)

    @property
    def asked(self) -> tuple[Member, ...]:
        """Those that connections are made to: the group's servers, or the member itself."""
        return self.servers or (self,)


@dataclass(slots=True)
class RequestHead:
    """One request of one client; in TCP mode one connection, in UDP mode one datagram: no method and no headers.

    Attributes:
        source: the client's IP address, as text.
        connection: number of the client's connection, unique in this process.
        minor: HTTP/1.x.
        chunked: the body comes in chunks. Otherwise its length is `length` bytes.
        secure: it came over TLS.
        peer: the address at the other end of the connection, which may be a proxy's; `source` is whom that speaks for.
        upgrade: the client asks for a WebSocket on this connection.
        pipelined: it came in one piece with the request before it.
        stream: number of its HTTP/2 stream, 0 in HTTP/1.
        port: the client's port, where layer 4 goes by it; 0 when unknown.
    """

    source: str
    connection: int
    method: bytes = b""
    target: bytes = b""
    headers: Headers = field(default_factory=list)
    minor: int = 1
    chunked: bool = False
    length: int = 0
    keep_alive: bool = True
    secure: bool = False
    peer: str = ""
    upgrade: bool = False
    pipelined: bool = False
    stream: int = 0
    port: int = 0

    def values(self, name: bytes) -> list[bytes]:
        """Every value of the header `name` (lower case), in order."""
        size = len(name)
        return [value for key, value in self.headers if len(key) == size and key.lower() == name]


class Framing(Enum):
    """How a response body ends."""

    NONE = "no body"
    LENGTH = "content-length"
    CHUNKED = "chunked"
    CLOSE = "until close"


@dataclass(slots=True)
class ResponseHead:
    """The head of a backend's response."""

    status: int
    reason: bytes
    headers: Headers
    framing: Framing = Framing.NONE


@record(frozen=True, slots=True)
class Binding:
    """A key's pin.

    Attributes:
        backend: id of the member it leads to.
        created: when the pin was made. used: when it was last used.
        home: id of the member to return to when it recovers ("" for none).
        source: masked client address the pin is valid for ("" for any).
        outdated: it was read from a value under an older key.
        carries: what else is sealed into its value; it is not read again.
    """

    backend: str
    created: float
    used: float
    home: str = ""
    source: str = ""
    outdated: bool = False
    carries: str = ""


class Why(Enum):
    """How a request came to its member."""

    UNKEYED = "stickiness is off, or what the client sent is to be left alone"
    FRESH = "no live pin: a new one was made"
    HELD = "the pin held"
    REPINNED = "the pinned member could not serve: a new pin was made"
    REROUTED = "the pinned member could not serve: the pin was left as it is"
    RETURNED = "the home member is back: the pin went home"


@record(frozen=True, slots=True)
class Refusal:
    """A request that the balancer answers itself."""

    status: int
    text: str


@record(frozen=True, slots=True)
class Route:
    """Where a request goes, and what pins it there.

    Attributes:
        member: where to; None when refused.
        binding: the pin, None when there is none to hold.
        key: what the client sent and the pin was found under (None when nothing was found).
        renewed_key: the pin came from a value under an older key.
        server: the one of the member's servers that gets it; None where the member is no group.
    """

    member: Member | None
    why: Why
    binding: Binding | None = None
    key: str | None = None
    renewed_key: bool = False
    refusal: Refusal | None = None
    server: Member | None = None

    @property
    def asked(self) -> Member | None:
        """Whom a connection is made to: the server, if it is one of the member's."""
        if self.server is not None and self.member is not None and self.server.group == self.member.id:
            return self.server
        return self.member


@record(frozen=True, slots=True)
class Issued:
    """A key that a backend gave to, or took from, the client in its response."""

    key: str
    ended: bool


@record(frozen=True, slots=True)
class SetCookie:
    """A cookie to be set. `expires` is an instant, `max_age` whole seconds; None leaves the attribute out."""

    name: str
    value: str
    path: str | None = None
    domain: str | None = None
    expires: float | None = None
    max_age: int | None = None
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    partitioned: bool = False
