"""What an exchange teaches about the keys in it, once it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from limpet.harness.model.contract.stated import may
from limpet.harness.model.oracle.bindings import Binding, Home
from limpet.harness.model.oracle.exchanges import Exchange
from limpet.harness.model.oracle.rules import Allowed, Rules


def chosen(exchange: Exchange, allowed: Allowed) -> frozenset[str]:
    """The backends that the balancer may lawfully have chosen for this request; what broke the contract is not here."""
    if exchange.backend:
        return allowed.backends & {exchange.backend}
    return allowed.backends & exchange.arrived_at or allowed.backends


def learn(
    exchange: Exchange,
    sent: Sequence[Binding],
    own: Sequence[Allowed],
    allowed: Allowed,
    rules: Rules,
    binding_of: Callable[[str], Binding],
    *,
    foreign: Binding | None,
    follow_up: bool,
) -> None:
    """Changes the bindings of every key that the exchange carried or handed out.

    Args:
        exchange: what happened.
        sent: the bindings of the keys that it carried.
        own: what each of these allowed when it was sent.
        allowed: what it was allowed in the end.
        rules: the contract.
        binding_of: finds the binding of a key.
        foreign: what `foreign_key` found.
        follow_up: it travelled on a connection that had been placed before.
    """
    for key in exchange.issued:
        if key not in exchange.keys:
            _issued(binding_of(key), exchange, sent, allowed, rules, foreign=binding_of(key) is foreign)
    for binding, alone in zip(sent, own, strict=True):
        if not follow_up:  # else the connection decided
            _used(binding, exchange, alone, allowed, rules)
        if binding.key in exchange.issued:
            binding.granted = True
            binding.renew(exchange)


def foreign_key(exchange: Exchange, rules: Rules, binding_of: Callable[[str], Binding]) -> Binding | None:
    """The binding of a value that was handed out although it belongs to another backend than the one that answered.

    That happens only where values are shared (server ids); whatever way the client goes next, a promise breaks.
    """
    if not exchange.backend or not (rules.contract.affinity == "lb-cookie" or _marks(rules)):
        return None
    for key in exchange.issued:
        binding = binding_of(key)
        if (
            key not in exchange.keys
            and binding.granted
            and binding.homes
            and exchange.backend not in binding.homes.keys() | binding.former
            and not rules.pool.view(binding.since, exchange.end).maybe_unsticky
            and not rules.maybe_forgotten(binding, exchange)
        ):
            return binding
    return None


def _marks(rules: Rules) -> bool:
    """Whether the balancer itself says in the application's cookie whose it is."""
    application = rules.contract.application
    return application is not None and application.mark is not None and not may(application.mark.form, "route")


def _issued(
    binding: Binding,
    exchange: Exchange,
    instead_of: Sequence[Binding],
    allowed: Allowed,
    rules: Rules,
    *,
    foreign: bool,
) -> None:
    kept: dict[str, Home] = {}
    # Whose name this is was known before; what else the client brought changes nothing about it.
    named = rules.names_servers and not binding.free and binding.homes.keys() == {exchange.backend}
    for before in () if named else instead_of:
        if before.bound:
            kept |= rules.kept(before, exchange, exchange.backend, replaced=False)
    # Applications may give many users one value; only what the balancer itself hands out moves a key.
    applications = (
        rules.contract.affinity in ("app-cookie", "header", "url", "tls-session-id") and rules.contract.cookie is None
    )
    applications = applications and not _marks(rules)
    shared = foreign or (applications and binding.bound)
    unsticky = rules.pool.view(exchange.begin, exchange.end).maybe_unsticky
    if exchange.backend and not shared and not unsticky:
        binding.settle(exchange.backend, exchange, kept, frozenset())
        left = frozenset(name for each in instead_of if each.bound for name in (*each.former, *each.homes))
        binding.proper = rules.proper(None, exchange, exchange.backend, left - {exchange.backend}) if not kept else None
        binding.absent = rules.absent(exchange)
    else:
        binding.free |= unsticky
        binding.perhaps({exchange.backend} if exchange.backend else chosen(exchange, allowed), exchange)
        binding.absent |= rules.absent(exchange)
    binding.granted, binding.superseded = True, False
    binding.renew(exchange)
    for before in instead_of:
        if before.bound:
            over = rules.lifetime.surely_over(before, exchange)
            binding.inherit_age(before, over=over)
            if not named:
                binding.inherit_past(before, exchange.backend, rules.lost(before, exchange))
            if len(allowed.backends) > 1 and not over:
                binding.reborn = min(binding.reborn, exchange.lab_begin)


def _used(binding: Binding, exchange: Exchange, alone: Allowed, allowed: Allowed, rules: Rules) -> None:
    binding.granted |= rules.by_use
    if not binding.granted and not rules.may_learn:
        return  # nobody ever handed this value out
    fresh = not binding.bound
    replaced = exchange.dropped or any(key not in exchange.keys for key in exchange.issued)
    # A value that nobody knew any more stays unknown when another is handed out in its place.
    ended = not fresh and rules.ended(binding, exchange)
    forgotten = not fresh and rules.maybe_forgotten(binding, exchange)
    if forgotten or (len(allowed.backends) > 1 and not fresh):
        binding.reborn = min(binding.reborn, exchange.lab_begin)
    unsticky = rules.pool.view(exchange.begin, exchange.end).maybe_unsticky
    # Who promises to re-pin binds the key anew; where nobody says so, it may be unknown from then on.
    unknown = rules.unknown_stays and not fresh and rules.dropped(binding, exchange)
    sure = exchange.certain and binding.granted and not unsticky and not unknown
    if exchange.backend in allowed.backends and sure:
        if rules.lifetime.surely_over(binding, exchange):
            binding.begin_anew(exchange)
        kept = rules.kept(binding, exchange, exchange.backend, replaced=replaced)
        binding.settle(exchange.backend, exchange, kept, rules.lost(binding, exchange))
        before = None if ended else binding.proper
        binding.proper = before if kept else rules.proper(before, exchange, exchange.backend, binding.former)
        binding.absent = rules.absent(exchange)
    else:
        binding.free |= fresh or not binding.granted
        # Where the balancer may have gone by something else, only what this key allows can have bound it anew.
        whoever = exchange.backend and exchange.certain
        binding.perhaps({exchange.backend} if whoever else chosen(exchange, alone), exchange)
        binding.absent |= rules.absent(exchange)
    binding.superseded |= replaced
    binding.free |= (replaced and forgotten) or exchange.dropped
