"""What a broken promise is called."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.harness.model.contract.stated import must
from limpet.harness.model.oracle.bindings import Binding
from limpet.harness.model.oracle.exchanges import Exchange
from limpet.harness.model.oracle.rules import NOT_PROMISED, Allowed, Rules
from limpet.harness.model.violation import Kind

_AGED = 0.25
"""A move after the key used up this share of its duration is called an early expiry, not a plain move."""


def of_failure(exchange: Exchange, bindings: Sequence[Binding], rules: Rules) -> Kind:
    """What a failure is called that nothing excuses."""
    now = rules.pool.view(exchange.begin, exchange.end)
    homes = {name for binding in bindings for name in binding.homes}
    return Kind.NO_FAILOVER if homes & (now.sure_out | now.sure_down) else Kind.ERROR


def of_answer(exchange: Exchange, bindings: Sequence[Binding], allowed: Allowed, rules: Rules) -> Kind:
    """What an answer from outside the allowed set is called."""
    name = exchange.backend
    now = rules.pool.view(exchange.begin, exchange.end)
    if name in now.sure_out and rules.removed != NOT_PROMISED:
        return Kind.SERVED_BY_REMOVED
    if name in now.sure_down and not rules.unhealthy.home:
        return Kind.SERVED_BY_UNHEALTHY
    if name in now.sure_draining and rules.draining != NOT_PROMISED:
        return Kind.SERVED_BY_DRAINING
    if allowed.must_fail:
        return Kind.MOVED
    if must(rules.contract.reaction.recovered, "return"):
        for binding in bindings:
            if binding.proper and allowed.backends == {binding.proper[0]} and name in binding.homes:
                return Kind.NOT_RETURNED
    former = {each for binding in bindings for each in binding.former}
    if name in former:
        return Kind.FAILED_BACK
    if former and not all(binding.confirmed for binding in bindings):
        return Kind.NOT_REPINNED
    if any(rules.lifetime.share(binding, exchange) >= _AGED for binding in bindings):
        return Kind.EXPIRED_EARLY
    return Kind.MOVED
