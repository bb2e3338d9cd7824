"""What the balancer does when something is wrong, as configured, and whether it is sticky at all."""

from __future__ import annotations

from dataclasses import dataclass

from limpet.reference_lb.parts.protocols import BadKey, Unhealthy
from limpet.reference_lb.parts.records import Binding, RequestHead

IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))


@dataclass(frozen=True, slots=True)
class ConfiguredReactions:
    """The same answer for every request."""

    on_unhealthy: Unhealthy = Unhealthy.REPIN
    on_bad_key: BadKey = BadKey.REPLACE
    repin_drained: bool = True
    cut_drained: float | None = None
    go_home: bool = False
    retry: bool = False

    def unhealthy(self, request: RequestHead, binding: Binding) -> Unhealthy:
        """As configured."""
        return self.on_unhealthy

    def drained(self, request: RequestHead, binding: Binding) -> bool:
        """As configured."""
        return self.repin_drained

    def drain_timeout(self) -> float | None:
        """As configured."""
        return self.cut_drained

    def returns(self, request: RequestHead, binding: Binding) -> bool:
        """As configured."""
        return self.go_home

    def bad_key(self, request: RequestHead) -> BadKey:
        """As configured."""
        return self.on_bad_key

    def retries(self, request: RequestHead, sent: bool) -> bool:
        """As configured, but what is not idempotent is never sent twice."""
        return self.retry and (not sent or request.method in IDEMPOTENT)


class ManualSwitch:
    """Turned by the operator only."""

    def __init__(self, enabled: bool = True) -> None:
        self._enabled = enabled

    @property
    def enabled(self) -> bool:
        """Whether requests are pinned now."""
        return self._enabled

    def set(self, enabled: bool) -> None:
        """Turn it. Bindings and keys stay as they are."""
        self._enabled = enabled
