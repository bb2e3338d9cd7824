"""From a configuration to the balancer's parts."""

from __future__ import annotations

from typing import NamedTuple

from limpet.reference_lb.parts.binding_stores import NoStore, TableStore
from limpet.reference_lb.parts.carried_keys import TLS_SESSION, HeaderKey, UrlKey
from limpet.reference_lb.parts.client_address import ConnectionAddress, ForwardedAddress, Trusted
from limpet.reference_lb.parts.clock import OffsetClock
from limpet.reference_lb.parts.companion import CompanionKey, CompanionRouter, ShardedCookies, Shards, TicketStore
from limpet.reference_lb.parts.cookie_store import CookieStore
from limpet.reference_lb.parts.cookie_writer import CookiePlan, Issue, NoCookies, PlannedCookies
from limpet.reference_lb.parts.groups import GroupHealth, GroupRouter
from limpet.reference_lb.parts.header_policy import ForwardingHeaders
from limpet.reference_lb.parts.health_view import AssumedHealth, CheckedHealth
from limpet.reference_lb.parts.key_readers import AddressMask, ApplicationKey, CookieKey, FlowKey, NoKey, SourceKey
from limpet.reference_lb.parts.key_ring import KeyRing
from limpet.reference_lb.parts.lifetimes import AbsoluteLifetime, IdleLifetime
from limpet.reference_lb.parts.marks import Mark, MarkedHeaders, MarkRouter, MarkStore, Prefix, Rewritten, RouteSuffix
from limpet.reference_lb.parts.pickers import LeastConnections, SmoothRoundRobin
from limpet.reference_lb.parts.pool import MemberPool
from limpet.reference_lb.parts.protocols import (
    BadKey,
    BindingStore,
    ClientAddress,
    Clock,
    CookieWriter,
    HeaderPolicy,
    HealthView,
    KeyReader,
    Lifetime,
    Parts,
    Router,
    Unhealthy,
)
from limpet.reference_lb.parts.reactions import ConfiguredReactions, ManualSwitch
from limpet.reference_lb.parts.router import PinningRouter
from limpet.reference_lb.parts.scopes import PathRules, ScopedKeys
from limpet.reference_lb.parts.source_hash import HashRouter, ModuloPlacement, RingPlacement
from limpet.reference_lb.settings.companion_rules import companion_names
from limpet.reference_lb.settings.config import Affinity, Companion, Config, CookieAttributes, Health, Listener, Span
from limpet.reference_lb.settings.load import specs
from limpet.reference_lb.settings.rules import merged


def build_parts(config: Config) -> Parts:
    """The right balancer for this configuration, with its members, all of unknown health."""
    affinity = config.affinity
    clock = OffsetClock()
    pool = MemberPool()
    pool.apply(specs(config.pool.wanted))
    mode = _MODES[affinity.mode](affinity, clock)
    hidden = _cookie_names(affinity) if affinity.mode == "lb-cookie" and affinity.cookie.strip else []
    if affinity.companion is not None and affinity.companion.strip:
        hidden = companion_names(affinity.companion)
    mark = _mark(affinity)
    if mark is not None and affinity.application is not None:
        mode = mode._replace(binding_store=MarkStore(mark, pool), cookie_writer=_marked(affinity))
    health_view, router = _health_view(config.health), _router(affinity)
    if config.pool.group:
        health_view, router = GroupHealth(health_view), GroupRouter(router)
    if config.listener.rule:
        rules = PathRules({each.path: each.group for each in config.listener.rule})
        mode = mode._replace(key_reader=ScopedKeys(mode.key_reader, rules, carried=affinity.mode == "lb-cookie"))
    least = config.pool.algorithm == "weighted-least-connections"
    return Parts(
        clock=clock,
        key_reader=mode.key_reader,
        binding_store=mode.binding_store,
        lifetime=_lifetime(affinity),
        picker=LeastConnections() if least else SmoothRoundRobin(),
        cookie_writer=mode.cookie_writer,
        header_policy=_headers(affinity, hidden),
        health_view=health_view,
        pool=pool,
        reactions=_reactions(affinity),
        switch=ManualSwitch(affinity.enabled and affinity.mode != "none"),
        router=router,
        client_address=_client_address(config.listener),
    )


def _mark(affinity: Affinity) -> Mark | None:
    application = affinity.application
    if application is None or application.mark == "none":
        return None
    if application.mark == "rewrite":
        return Rewritten()
    return (
        Prefix(application.separator or "~")
        if application.mark == "prefix"
        else RouteSuffix(application.separator or ".")
    )


def _marked(affinity: Affinity) -> CookieWriter:
    """Writes the application's cookie anew, for a client that is pinned anew."""
    assert affinity.application is not None, "it is what is marked"
    return PlannedCookies(Issue.ON_CHANGE, [_plan(affinity, affinity.application.name, affinity.cookie)])


def _headers(affinity: Affinity, hidden: list[str]) -> HeaderPolicy:
    mark = _mark(affinity)
    if mark is None or affinity.application is None:
        return ForwardingHeaders(hidden)
    return MarkedHeaders(affinity.application.name, mark)


def take_over(parts: Parts, previous: Parts) -> None:
    """What a reload keeps: bindings, keys, members with what is in flight on them, and the clock."""
    parts.binding_store.adopt(previous.binding_store.memory())
    parts.clock.advance(max(0.0, previous.clock.offset - parts.clock.offset))
    parts.pool.adopt(previous.pool.members())


class _Mode(NamedTuple):
    key_reader: KeyReader
    binding_store: BindingStore
    cookie_writer: CookieWriter


def _none(affinity: Affinity, clock: Clock) -> _Mode:
    return _Mode(NoKey(), NoStore(), NoCookies())


def _source_ip(affinity: Affinity, clock: Clock) -> _Mode:
    store = TableStore(affinity.table_size) if affinity.store == "table" else NoStore()
    return _Mode(SourceKey(_mask(affinity)), store, NoCookies())


def _flow(affinity: Affinity, clock: Clock) -> _Mode:
    return _source_ip(affinity, clock)._replace(key_reader=FlowKey(_mask(affinity)))


def _app_cookie(affinity: Affinity, clock: Clock) -> _Mode:
    assert affinity.application is not None, "the rules ask for it"
    if affinity.companion is not None:
        return _companion(affinity, affinity.application.name, affinity.companion)
    reader = ApplicationKey(affinity.application.name, clock, _tie(affinity))
    return _Mode(reader, TableStore(affinity.table_size), NoCookies())


def _client_address(listener: Listener) -> ClientAddress:
    if listener.forwarded is None:
        return ConnectionAddress()
    return ForwardedAddress(listener.forwarded, Trusted(listener.trusted))


def _companion(affinity: Affinity, application: str, companion: Companion) -> _Mode:
    shards = companion.shards
    reader = CompanionKey(application, companion_names(companion), joined=shards is not None, mask=_tie(affinity))
    longest = 4096 if shards is None else shards.size * shards.count
    sealed = CookieStore(KeyRing(companion.keys, longest))
    store = TicketStore(affinity.table_size) if companion.carries == "ticket" else sealed
    plans = [_plan(affinity, companion.name or "", companion)]
    if companion.twin is not None:
        plans.append(_plan(affinity, companion.twin.name, merged(companion, companion.twin)))
    if shards is None:
        return _Mode(reader, store, PlannedCookies(Issue.EVERY_RESPONSE, plans))
    return _Mode(reader, store, ShardedCookies(plans[0], Shards(shards.prefix, shards.size, shards.count)))


def _router(affinity: Affinity) -> Router:
    companion, application = affinity.companion, affinity.application
    mark = _mark(affinity)
    if mark is not None and application is not None:
        return MarkRouter(application.name, mark)
    if affinity.store != "table":
        return HashRouter(ModuloPlacement() if affinity.store == "hash-modulo" else RingPlacement())
    if companion is None or application is None:
        return PinningRouter()
    return CompanionRouter(
        application.name, renews=companion.carries == "pin", mirrors=companion.lifetime == "application"
    )


def _lb_cookie(affinity: Affinity, clock: Clock) -> _Mode:
    reader = CookieKey(_cookie_names(affinity), _tie(affinity))
    return _Mode(reader, CookieStore(KeyRing(affinity.cookie.keys)), _writer(affinity))


def _header(affinity: Affinity, clock: Clock) -> _Mode:
    assert affinity.header is not None, "the rules ask for it"
    reader = HeaderKey(affinity.header.name, minted=affinity.header.minted, mask=_tie(affinity))
    return _Mode(reader, TableStore(affinity.table_size), NoCookies())


def _url(affinity: Affinity, clock: Clock) -> _Mode:
    url = affinity.url
    assert url is not None, "the rules ask for it"
    application = ApplicationKey(affinity.application.name, clock) if affinity.application is not None else None
    reader = UrlKey(
        url.path_parameter or "",
        url.query or "",
        application=application,
        minted=url.minted,
        cookie=url.cookie,
        mask=_tie(affinity),
    )
    return _Mode(reader, TableStore(affinity.table_size), NoCookies())


def _tls_session(affinity: Affinity, clock: Clock) -> _Mode:
    return _Mode(HeaderKey(TLS_SESSION, minted=True, mask=_tie(affinity)), TableStore(affinity.table_size), NoCookies())


_MODES = {
    "none": _none,
    "source-ip": _source_ip,
    "flow": _flow,
    "app-cookie": _app_cookie,
    "header": _header,
    "url": _url,
    "tls-session-id": _tls_session,
    "lb-cookie": _lb_cookie,
}


def _mask(affinity: Affinity) -> AddressMask:
    return AddressMask(affinity.key_prefix.v4, affinity.key_prefix.v6)


def _tie(affinity: Affinity) -> AddressMask | None:
    return _mask(affinity) if affinity.reaction.ip_change == "invalidate" else None


def _cookie_names(affinity: Affinity) -> list[str]:
    cookie = affinity.cookie
    return [cookie.name] if cookie.twin is None else [cookie.name, cookie.twin.name]


def _writer(affinity: Affinity) -> PlannedCookies:
    cookie = affinity.cookie
    plans = [_plan(affinity, cookie.name, cookie)]
    if cookie.twin is not None:
        plans.append(_plan(affinity, cookie.twin.name, merged(cookie, cookie.twin)))
    return PlannedCookies(Issue(cookie.issued), plans)


def _plan(affinity: Affinity, name: str, attributes: CookieAttributes) -> CookiePlan:
    expires = _span(attributes.expires, affinity.span)
    max_age = _span(attributes.max_age, affinity.span)
    if affinity.kept_by != "balancer" and expires is None and max_age is None:
        expires = affinity.span
    return CookiePlan(
        name=name,
        path=attributes.path or None,
        domain=attributes.domain,
        expires=expires,
        max_age=max_age,
        secure=None if attributes.secure == "https" else attributes.secure,
        http_only=attributes.http_only,
        same_site=attributes.same_site,
        partitioned=attributes.partitioned,
    )


def _span(configured: Span | None, duration: float | None) -> float | None:
    return duration if configured == "duration" else configured


def _lifetime(affinity: Affinity) -> Lifetime:
    checked = affinity.span if affinity.kept_by != "client" else None
    return AbsoluteLifetime(checked) if affinity.clock == "absolute" else IdleLifetime(checked)


def _health_view(health: Health) -> HealthView:
    return CheckedHealth(health.rise, health.fall) if health.enabled else AssumedHealth()


def _reactions(affinity: Affinity) -> ConfiguredReactions:
    reaction = affinity.reaction
    return ConfiguredReactions(
        on_unhealthy=Unhealthy(reaction.unhealthy),
        on_bad_key=BadKey(reaction.bad_cookie),
        repin_drained=reaction.draining == "repin",
        cut_drained=reaction.drain_timeout,
        go_home=reaction.recovered == "return",
        retry=reaction.in_request == "retry",
    )
