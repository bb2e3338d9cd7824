"""Parts that do as another part does: for variants that differ in one method."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.reference_lb.parts.protocols import (
    BadKey,
    BindingStore,
    ClientAddress,
    CookieWriter,
    HeaderPolicy,
    HealthView,
    KeyReader,
    Lifetime,
    Memory,
    Parts,
    Pool,
    PoolChange,
    Reactions,
    Router,
    Unhealthy,
)
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

# ruff: noqa: D102  each method is documented in its protocol


class KeyReaderAround:
    """As `inner`."""

    def __init__(self, inner: KeyReader) -> None:
        self.inner = inner

    def read(self, request: RequestHead) -> Sequence[str]:
        return self.inner.read(request)

    def source(self, request: RequestHead) -> str:
        return self.inner.source(request)

    def issued(self, response: ResponseHead) -> Sequence[Issued]:
        return self.inner.issued(response)


class ClientAddressAround:
    """As `inner`."""

    def __init__(self, inner: ClientAddress) -> None:
        self.inner = inner

    def of(self, request: RequestHead) -> str:
        return self.inner.of(request)


class StoreAround:
    """As `inner`."""

    carried = False  # a variant may record what `inner` does not

    def __init__(self, inner: BindingStore) -> None:
        self.inner = inner

    def find(self, key: str) -> Binding | None:
        return self.inner.find(key)

    def bind(self, key: str, binding: Binding) -> None:
        self.inner.bind(key, binding)

    def drop(self, key: str) -> None:
        self.inner.drop(key)

    def token(self, binding: Binding) -> str | None:
        return self.inner.token(binding)

    def rotate(self) -> None:
        self.inner.rotate()

    def count(self) -> int:
        return self.inner.count()

    def memory(self) -> Memory:
        return self.inner.memory()

    def adopt(self, memory: Memory) -> None:
        self.inner.adopt(memory)


class LifetimeAround:
    """As `inner`."""

    def __init__(self, inner: Lifetime) -> None:
        self.inner = inner

    def live(self, binding: Binding, now: float) -> bool:
        return self.inner.live(binding, now)

    def renewed(self, binding: Binding, now: float) -> Binding:
        return self.inner.renewed(binding, now)

    def anchor(self, binding: Binding) -> float:
        return self.inner.anchor(binding)


class CookieWriterAround:
    """As `inner`."""

    def __init__(self, inner: CookieWriter) -> None:
        self.inner = inner

    def due(self, request: RequestHead, route: Route) -> bool:
        return self.inner.due(request, route)

    def cookies(self, request: RequestHead, route: Route, value: str, anchor: float, now: float) -> Sequence[SetCookie]:
        return self.inner.cookies(request, route, value, anchor, now)


class HeaderPolicyAround:
    """As `inner`."""

    def __init__(self, inner: HeaderPolicy) -> None:
        self.inner = inner

    def request_head(self, request: RequestHead, member: Member) -> bytes:
        return self.inner.request_head(request, member)

    def response_head(
        self, request: RequestHead, response: ResponseHead, cookies: Sequence[SetCookie], now: float, close: bool
    ) -> bytes:
        return self.inner.response_head(request, response, cookies, now, close)


class HealthViewAround:
    """As `inner`."""

    def __init__(self, inner: HealthView) -> None:
        self.inner = inner

    def healthy(self, member: Member) -> bool:
        return self.inner.healthy(member)

    def usable(self, member: Member, *, pinned: bool) -> bool:
        return self.inner.usable(member, pinned=pinned)

    def checked(self, member: Member, ok: bool) -> None:
        self.inner.checked(member, ok)

    def refused(self, member: Member) -> None:
        self.inner.refused(member)

    def forget(self, member: Member) -> None:
        self.inner.forget(member)


class PoolAround:
    """As `inner`."""

    def __init__(self, inner: Pool) -> None:
        self.inner = inner

    def members(self) -> Sequence[Member]:
        return self.inner.members()

    def find(self, id: str) -> Member | None:
        return self.inner.find(id)

    def candidates(self) -> Sequence[Member]:
        return self.inner.candidates()

    def apply(self, wanted: Sequence[MemberSpec]) -> PoolChange:
        return self.inner.apply(wanted)

    def adopt(self, members: Sequence[Member]) -> None:
        self.inner.adopt(members)


class ReactionsAround:
    """As `inner`."""

    def __init__(self, inner: Reactions) -> None:
        self.inner = inner

    def unhealthy(self, request: RequestHead, binding: Binding) -> Unhealthy:
        return self.inner.unhealthy(request, binding)

    def drained(self, request: RequestHead, binding: Binding) -> bool:
        return self.inner.drained(request, binding)

    def drain_timeout(self) -> float | None:
        return self.inner.drain_timeout()

    def returns(self, request: RequestHead, binding: Binding) -> bool:
        return self.inner.returns(request, binding)

    def bad_key(self, request: RequestHead) -> BadKey:
        return self.inner.bad_key(request)

    def retries(self, request: RequestHead, sent: bool) -> bool:
        return self.inner.retries(request, sent)


class RouterAround:
    """As `inner`."""

    def __init__(self, inner: Router) -> None:
        self.inner = inner

    def route(self, parts: Parts, request: RequestHead, tried: frozenset[str]) -> Route:
        return self.inner.route(parts, request, tried)

    def used(self, parts: Parts, request: RequestHead, route: Route) -> None:
        self.inner.used(parts, request, route)

    def answered(self, parts: Parts, request: RequestHead, route: Route, response: ResponseHead) -> Sequence[SetCookie]:
        return self.inner.answered(parts, request, route, response)
