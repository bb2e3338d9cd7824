"""The balancer's parts: what each must do. A wrong balancer is made by replacing one of them."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from limpet.reference_lb.parts.records import (
    Binding,
    Issued,
    Member,
    MemberSpec,
    RequestHead,
    ResponseHead,
    Route,
    SetCookie,
)


class Clock(Protocol):
    """The affinity clock: pins, cookie dates and the Date header. Never used for I/O."""

    @property
    def offset(self) -> float:
        """Seconds it was advanced so far."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def advance(self, seconds: float) -> None:
        """Jump ahead."""


class KeyReader(Protocol):
    """Finds the affinity key in a request, and learns keys from responses."""

    def read(self, request: RequestHead) -> Sequence[str]:
        """Candidate keys, best first; empty when the request carries none."""

    def source(self, request: RequestHead) -> str:
        """The part of the client's address that a pin is tied to ("" when pins are not tied to it)."""

    def issued(self, response: ResponseHead) -> Sequence[Issued]:
        """Keys that the backend issued or ended in its response."""


class ClientAddress(Protocol):
    """Tells whose request it is, where a proxy may stand between."""

    def of(self, request: RequestHead) -> str:
        """The client's address, from `request.source` (of the connection) and what the request says."""


class Memory(NamedTuple):
    """What a binding store hands to its successor at a reload: its key ring (newest first) and its table."""

    keys: tuple[bytes, ...] = ()
    table: MutableMapping[str, Binding] | None = None


class BindingStore(Protocol):
    """Key → binding. The table modes keep it here; the cookie mode keeps it in the client's cookie."""

    @property
    def carried(self) -> bool:
        """Whether clients carry all of a binding and no use need be recorded here; False where that is not sure."""

    def find(self, key: str) -> Binding | None:
        """The binding under this key, live or not; None when the key means nothing."""

    def bind(self, key: str, binding: Binding) -> None:
        """Record it. Does nothing where the client carries the binding."""

    def drop(self, key: str) -> None:
        """Forget it."""

    def token(self, binding: Binding) -> str | None:
        """A fresh cookie value that stands for the binding; None where no cookie carries it."""

    def rotate(self) -> None:
        """A new key encrypts from now on; the older ones still decrypt."""

    def count(self) -> int:
        """Bindings held here."""

    def memory(self) -> Memory:
        """All that must survive a reload."""

    def adopt(self, memory: Memory) -> None:
        """Take over from the predecessor."""


class Lifetime(Protocol):
    """How long a binding lives, and what a use does to it."""

    def live(self, binding: Binding, now: float) -> bool:
        """Whether the balancer still honours it."""

    def renewed(self, binding: Binding, now: float) -> Binding:
        """The binding after a use at `now`."""

    def anchor(self, binding: Binding) -> float:
        """The instant its cookie's lifetime counts from."""


class Picker(Protocol):
    """Chooses among members for a request without a pin."""

    def pick(self, candidates: Sequence[Member], request: RequestHead) -> Member:
        """One of `candidates` (never empty)."""


class CookieWriter(Protocol):
    """Decides whether a response sets the balancer's cookies, and with which attributes."""

    def due(self, request: RequestHead, route: Route) -> bool:
        """Whether this response issues them."""

    def cookies(self, request: RequestHead, route: Route, value: str, anchor: float, now: float) -> Sequence[SetCookie]:
        """The cookies that carry `value`."""


class HeaderPolicy(Protocol):
    """What of a message's head passes, and what the balancer adds."""

    def request_head(self, request: RequestHead, member: Member) -> bytes:
        """The head as sent to the backend."""

    def response_head(
        self, request: RequestHead, response: ResponseHead, cookies: Sequence[SetCookie], now: float, close: bool
    ) -> bytes:
        """The head as sent to the client."""


class HealthView(Protocol):
    """What the balancer believes about its members' health."""

    def healthy(self, member: Member) -> bool:
        """As shown to the operator."""

    def usable(self, member: Member, *, pinned: bool) -> bool:
        """Whether a request may be sent there; `pinned`: because of its pin."""

    def checked(self, member: Member, ok: bool) -> None:
        """The result of an active check."""

    def refused(self, member: Member) -> None:
        """A request's connection was refused."""

    def forget(self, member: Member) -> None:
        """The member left the pool."""


class PoolChange(NamedTuple):
    """What applying a list of members did."""

    added: tuple[Member, ...]
    removed: tuple[Member, ...]


class Pool(Protocol):
    """The members."""

    def members(self) -> Sequence[Member]:
        """All of them."""

    def find(self, id: str) -> Member | None:
        """The member with this id."""

    def candidates(self) -> Sequence[Member]:
        """Those that may get new sessions."""

    def apply(self, wanted: Sequence[MemberSpec]) -> PoolChange:
        """Bring the pool to the wanted list. A member that stays the same server keeps its object."""

    def adopt(self, members: Sequence[Member]) -> None:
        """Take over the predecessor's members as they are."""


class Unhealthy(Enum):
    """What becomes of a pin whose member is down."""

    REPIN = "repin"
    REROUTE = "reroute"
    REFUSE = "refuse"
    STAY = "stay"


class BadKey(Enum):
    """What becomes of a request whose key means nothing."""

    REPLACE = "replace"
    IGNORE = "ignore"
    REFUSE = "refuse"


class Reactions(Protocol):
    """What the balancer does when something is wrong."""

    def unhealthy(self, request: RequestHead, binding: Binding) -> Unhealthy:
        """The pinned member is down, or failed this request."""

    def drained(self, request: RequestHead, binding: Binding) -> bool:
        """Whether a pin to a draining member is given up."""

    def drain_timeout(self) -> float | None:
        """Seconds after which what is under way at a draining member is cut; None: it may take as long as it wants."""

    def returns(self, request: RequestHead, binding: Binding) -> bool:
        """Whether a re-pinned client goes home when its home is up again."""

    def bad_key(self, request: RequestHead) -> BadKey:
        """Nothing the request carries can be read."""

    def retries(self, request: RequestHead, sent: bool) -> bool:
        """Whether a failed request is tried on another member; `sent`: some of it reached the failed one."""


class Switch(Protocol):
    """Stickiness on and off, live."""

    @property
    def enabled(self) -> bool:
        """Whether requests are pinned now."""

    def set(self, enabled: bool) -> None:
        """Turn it."""


class Router(Protocol):
    """Joins the parts to one decision. It is handed the parts, so a replaced part is always the one that acts."""

    def route(self, parts: Parts, request: RequestHead, tried: frozenset[str]) -> Route:
        """Where the request goes; `tried` are ids of members that failed it already."""

    def used(self, parts: Parts, request: RequestHead, route: Route) -> None:
        """The pin was used once more (TCP: bytes flowed)."""

    def answered(self, parts: Parts, request: RequestHead, route: Route, response: ResponseHead) -> Sequence[SetCookie]:
        """The backend answered: learn from it, and say which cookies to set."""


@dataclass(slots=True)
class Parts:
    """Everything that decides. `dataclasses.replace` makes a variant."""

    clock: Clock
    key_reader: KeyReader
    binding_store: BindingStore
    lifetime: Lifetime
    picker: Picker
    cookie_writer: CookieWriter
    header_policy: HeaderPolicy
    health_view: HealthView
    pool: Pool
    reactions: Reactions
    switch: Switch
    router: Router
    client_address: ClientAddress


Arrange = Callable[[Parts], Parts]
