"""What happens to an exchange (events), and what it wants done (commands)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from limpet.reference_lb.parts.records import Member, RequestHead, ResponseHead


class Failure(Enum):
    """Why no connection to a member came about."""

    REFUSED = "refused"
    TIMEOUT = "timed out"
    UNREACHABLE = "unreachable"


@dataclass(slots=True)
class Started:
    """A client's request head (TCP: its connection) is there. `ended`: so is the rest, no `ClientEnd` follows."""

    request: RequestHead
    ended: bool = False


@dataclass(slots=True)
class ClientData:
    """Bytes of the request body (TCP: of the stream)."""

    data: bytes


@dataclass(slots=True)
class ClientEnd:
    """The request is complete (TCP: the client sends no more)."""


@dataclass(slots=True)
class ClientBroken:
    """The rest of the request cannot be understood."""

    status: int
    text: str


@dataclass(slots=True)
class ClientGone:
    """The client's connection is closed."""


@dataclass(slots=True)
class Connected:
    """A connection to the member is there; `reused`: it served requests before."""

    reused: bool


@dataclass(slots=True)
class NotConnected:
    """No connection to the member came about."""

    failure: Failure


@dataclass(slots=True)
class Answer:
    """The head of the backend's response (also an interim one)."""

    head: ResponseHead


@dataclass(slots=True)
class ServerData:
    """Bytes of the response body (TCP: of the stream)."""

    data: bytes


@dataclass(slots=True)
class ServerEnd:
    """The response is complete (TCP: the backend sends no more). `reusable`: the connection can serve another."""

    reusable: bool = False


@dataclass(slots=True)
class ServerGone:
    """The backend's connection ended before its response was complete, or sent what is no HTTP.

    `drained`: it was cut, because its member has drained for as long as it may.
    """

    drained: bool = False


@dataclass(slots=True)
class Deadline:
    """The time that was asked for has passed. `stalled`: the backend does not take the request's bytes."""

    stalled: bool = False


Event = (
    Started
    | ClientData
    | ClientEnd
    | ClientBroken
    | ClientGone
    | Connected
    | NotConnected
    | Answer
    | ServerData
    | ServerEnd
    | ServerGone
    | Deadline
)


class Wait(Enum):
    """Which of the configured timeouts is to run."""

    CONNECT = "connect"
    RESPONSE = "response"
    IDLE = "idle"


@dataclass(slots=True)
class Open:
    """Get a connection to the member; `fresh`: a new one."""

    member: Member
    fresh: bool = False


@dataclass(slots=True)
class SendServer:
    """Send to the backend."""

    data: bytes


@dataclass(slots=True)
class EndServer:
    """Send the backend no more (TCP half-close)."""


@dataclass(slots=True)
class CloseServer:
    """Close the backend's connection, or stop connecting."""


@dataclass(slots=True)
class KeepServer:
    """Keep the backend's connection for other requests."""


@dataclass(slots=True)
class SendClient:
    """Send to the client."""

    data: bytes


@dataclass(slots=True)
class EndClient:
    """Send the client no more (TCP half-close)."""


@dataclass(slots=True)
class SetDeadline:
    """Let this timeout run from now on, instead of the one before (TCP; see `Exchange.wait`)."""

    wait: Wait


@dataclass(slots=True)
class Tunnel:
    """From now on bytes pass both ways as they are: the backend agreed to another protocol."""


@dataclass(slots=True)
class Finish:
    """The exchange is over. `close`: the client's connection takes no other request."""

    close: bool


@dataclass(slots=True)
class Abort:
    """The exchange is over and the client must notice that it is incomplete: cut its connection."""


Command = (
    Open
    | SendServer
    | EndServer
    | CloseServer
    | KeepServer
    | SendClient
    | EndClient
    | SetDeadline
    | Tunnel
    | Finish
    | Abort
)
