"""Whether a binding may have come to its end by age when a request travelled."""

from __future__ import annotations

import math

from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import may, must
from limpet.harness.model.oracle.bindings import Binding
from limpet.harness.model.oracle.exchanges import Exchange


class Lifetime:
    """The duration clause of a contract. Only the earliest lawful end matters here: after it the pin *may* hold on.

    That a pin does not end when it should is nothing that one request can show; groups of samples judge that.

    Args:
        contract: the promise.
        resolution: how coarse the balancer's clock may be, in seconds; a pin may end so much early.
    """

    def __init__(self, contract: Contract, resolution: float) -> None:
        duration = contract.duration
        self._clock = duration.clock
        self._resolution = resolution
        self.seconds = self._longest = duration.value
        if self.seconds is None and duration.default is not None and duration.default.binding:
            self.seconds, self._longest = min(duration.default.allowed), max(duration.default.allowed)
        self._follows = must(duration.follows_application, True)
        self._idle, self._absolute = must(self._clock, "idle"), must(self._clock, "absolute")
        timed = self._clock is None or may(self._clock, "idle") or may(self._clock, "absolute")
        # A balancer that leaves expiry to its clients goes by whatever it is still sent.
        self._never = not self._follows and (not timed or must(duration.kept_by, "client"))
        unsaid = self.seconds is None and not self._never and timed and self._clock is not None
        self._unknown = unsaid and not self._follows

    def maybe_over(self, binding: Binding, exchange: Exchange) -> bool:
        """Whether the binding may lawfully have ended before the balancer decided about this request."""
        if self._never:
            return False
        if self._unknown:
            return True  # it ends some time, and nobody said when
        seconds = binding.lasts if self._follows else self.seconds
        if seconds is None:
            return False
        return exchange.lab_end >= self._start(binding) + seconds - self._resolution

    def surely_over(self, binding: Binding, exchange: Exchange) -> bool:
        """Whether every clock that may count had run out, so that whatever came next was a new session.

        A balancer that leaves the end to its clients may go on; then nothing ever ends, and young is as good.
        """
        if self._never or self._longest is None or self._follows or self._clock is None:
            return False
        begun = binding.born_late if self._absolute else binding.last
        return exchange.lab_begin > begun + self._longest + self._resolution

    def share(self, binding: Binding, exchange: Exchange) -> float:
        """How much of its duration the binding had used up when the request was sent; 0 without a duration."""
        if not self.seconds or self._never:
            return 0.0
        return max(0.0, (exchange.lab_begin - self._start(binding)) / self.seconds)

    def _start(self, binding: Binding) -> float:
        """The earliest lab time at which the clock that counts may have been started last."""
        # Where every answer hands out a fresh value, the clock of an old one stands in that value itself.
        idle = binding.issued if binding.superseded else max(binding.used, binding.issued)
        idle = idle if idle > -math.inf else binding.born
        if self._idle:
            return idle
        return binding.born if self._absolute else min(binding.born, idle)
