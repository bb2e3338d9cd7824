"""The decision: which member a request goes to, and what becomes of its pin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from limpet.reference_lb.parts.protocols import BadKey, Parts, Unhealthy
from limpet.reference_lb.parts.records import (
    Binding,
    Issued,
    Member,
    Refusal,
    RequestHead,
    ResponseHead,
    Route,
    SetCookie,
    Why,
)

NO_MEMBER = Refusal(503, "no healthy backend is available")
PIN_DOWN = Refusal(503, "the backend of this session is not available")
PIN_FAILED = Refusal(502, "the backend of this session failed")
BAD_KEY = Refusal(400, "the session cookie is not valid")
_HELD = Why.HELD  # an attribute of an enumeration costs more than a decision does


@dataclass(slots=True)
class _Case:
    """One decision to be made."""

    parts: Parts
    request: RequestHead
    tried: frozenset[str]
    now: float

    def pick(self) -> Member | None:
        """A member for a new session."""
        usable, tried = self.parts.health_view.usable, self.tried
        candidates = [m for m in self.parts.pool.candidates() if m.id not in tried and usable(m, pinned=False)]
        return self.parts.picker.pick(candidates, self.request) if candidates else None

    def serves(self, member: Member) -> bool:
        """Whether it can serve a pinned request."""
        return member.id not in self.tried and self.parts.health_view.usable(member, pinned=True)


class PinningRouter:
    """Joins the parts. Keeps nothing itself."""

    def route(self, parts: Parts, request: RequestHead, tried: frozenset[str]) -> Route:
        """The first key that is live and leads to a member decides; without one the picker does."""
        case = _Case(parts, request, tried, parts.clock.now())
        if not parts.switch.enabled:
            return self._without_pin(case, Why.UNKEYED)
        keys = parts.key_reader.read(request)
        key, binding, readable = self._look_up(case, keys)
        if binding is not None and key is not None:
            return self._follow(case, key, binding)
        if keys and not readable:
            reaction = parts.reactions.bad_key(request)
            if reaction is BadKey.REFUSE:
                return Route(None, Why.UNKEYED, refusal=BAD_KEY)
            if reaction is BadKey.IGNORE:
                return self._without_pin(case, Why.UNKEYED)
        member = case.pick()
        if member is None:
            return Route(None, Why.FRESH, refusal=NO_MEMBER)
        return self._bound(case, keys[0] if keys else None, member, Why.FRESH)

    def _look_up(self, case: _Case, keys: Sequence[str]) -> tuple[str | None, Binding | None, bool]:
        """The first key with a live binding to a present member, and whether any key could be read at all."""
        parts, readable = case.parts, False
        source = parts.key_reader.source(case.request)
        for key in keys:
            binding = parts.binding_store.find(key)
            if binding is None:
                continue
            readable = True
            if source and binding.source != source:
                continue
            if parts.lifetime.live(binding, case.now) and parts.pool.find(binding.backend) is not None:
                return key, binding, True
        return None, None, readable

    def _follow(self, case: _Case, key: str, binding: Binding) -> Route:
        """The pin is live: hold it, unless its member cannot serve, is leaving, or the client is to go home."""
        parts = case.parts
        member = parts.pool.find(binding.backend)
        assert member is not None, "_look_up only returns bindings of present members"
        home = self._home(case, binding)
        if home is not None:
            return self._bound(case, key, home, Why.RETURNED)
        if not case.serves(member):
            return self._without_its_member(case, key, binding, member)
        if member.drain and parts.reactions.drained(case.request, binding):
            other = case.pick()
            if other is not None:  # with nowhere to go, a leaving member is better than none
                return self._bound(case, key, other, Why.REPINNED)
        return self._held(case, key, binding, member)

    def _held(self, case: _Case, key: str, binding: Binding, member: Member) -> Route:
        renewed = case.parts.lifetime.renewed(binding, case.now)
        case.parts.binding_store.bind(key, renewed)
        return Route(member, _HELD, renewed, key, binding.outdated)

    def _home(self, case: _Case, binding: Binding) -> Member | None:
        if not binding.home or not case.parts.reactions.returns(case.request, binding):
            return None
        home = case.parts.pool.find(binding.home)
        return home if home is not None and not home.drain and case.serves(home) else None

    def _without_its_member(self, case: _Case, key: str, binding: Binding, member: Member) -> Route:
        reactions = case.parts.reactions
        reaction = reactions.unhealthy(case.request, binding)
        if reaction is Unhealthy.REFUSE:
            return Route(None, _HELD, binding, key, refusal=PIN_DOWN)
        if reaction is Unhealthy.STAY:
            if member.id in case.tried:
                return Route(None, _HELD, binding, key, refusal=PIN_FAILED)
            return self._held(case, key, binding, member)
        if reaction is Unhealthy.REROUTE:
            return self._without_pin(case, Why.REROUTED)
        other = case.pick()
        if other is None:
            return Route(None, _HELD, binding, key, refusal=NO_MEMBER)
        home = (binding.home or binding.backend) if reactions.returns(case.request, binding) else ""
        return self._bound(case, key, other, Why.REPINNED, home)

    def _without_pin(self, case: _Case, why: Why) -> Route:
        member = case.pick()
        return Route(member, why, refusal=None if member is not None else NO_MEMBER)

    def _bound(self, case: _Case, key: str | None, member: Member, why: Why, home: str = "") -> Route:
        """A new binding: its clock starts now, whatever was before."""
        binding = Binding(member.id, case.now, case.now, home, case.parts.key_reader.source(case.request))
        if key is not None:
            case.parts.binding_store.bind(key, binding)
        return Route(member, why, binding, key)

    def used(self, parts: Parts, request: RequestHead, route: Route) -> None:
        """Renew the table's entry, if it still leads where this request went."""
        if parts.binding_store.carried or route.key is None or route.binding is None or not parts.switch.enabled:
            return
        current = parts.binding_store.find(route.key)
        if current is not None and current.backend == route.binding.backend:
            parts.binding_store.bind(route.key, parts.lifetime.renewed(current, parts.clock.now()))

    def answered(self, parts: Parts, request: RequestHead, route: Route, response: ResponseHead) -> Sequence[SetCookie]:
        """Renew, learn, and issue."""
        if route.member is None or not parts.switch.enabled:
            return ()
        issued = parts.key_reader.issued(response)
        if issued:
            self._learn(parts, request, route.member, issued)
        if route.binding is None:
            return ()
        if not parts.cookie_writer.due(request, route):
            self.used(parts, request, route)
            return ()
        now = parts.clock.now()
        binding = parts.lifetime.renewed(route.binding, now)
        value = parts.binding_store.token(binding)
        if value is None:
            self.used(parts, request, route)
            return ()
        return parts.cookie_writer.cookies(request, route, value, parts.lifetime.anchor(binding), now)

    def _learn(self, parts: Parts, request: RequestHead, member: Member, found: Sequence[Issued]) -> None:
        now = parts.clock.now()
        for issued in found:
            if issued.ended:
                for key in parts.key_reader.read(request):
                    parts.binding_store.drop(key)
                continue
            known = parts.binding_store.find(issued.key)
            if known is not None and known.backend == member.id and parts.lifetime.live(known, now):
                parts.binding_store.bind(issued.key, parts.lifetime.renewed(known, now))
            else:
                source = parts.key_reader.source(request)
                parts.binding_store.bind(issued.key, Binding(member.id, now, now, source=source))
