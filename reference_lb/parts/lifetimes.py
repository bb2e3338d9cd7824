"""How long a binding lives."""

from __future__ import annotations

from limpet.reference_lb.parts.records import Binding


class IdleLifetime:
    """Ends `duration` seconds after the last use; `duration` None: the balancer does not end it."""

    def __init__(self, duration: float | None) -> None:
        self._duration = duration

    def live(self, binding: Binding, now: float) -> bool:
        """Whether its last use is less than the duration ago."""
        return self._duration is None or now - self.anchor(binding) < self._duration

    def renewed(self, binding: Binding, now: float) -> Binding:
        """Used now."""
        used = now if now > binding.used else binding.used
        return Binding(binding.backend, binding.created, used, binding.home, binding.source)

    def anchor(self, binding: Binding) -> float:
        """The last use."""
        return binding.used


class AbsoluteLifetime(IdleLifetime):
    """Ends `duration` seconds after it was made, used or not."""

    def anchor(self, binding: Binding) -> float:
        """When it was made."""
        return binding.created
