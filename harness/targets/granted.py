"""What a target's owner grants: how long the balancer may lag, how much may fail, and what must be held."""

from __future__ import annotations

from pydantic import Field, model_validator

from limpet.harness.model.contract.durations import Seconds
from limpet.harness.targets.control import Part


class Lag(Part):
    """How long the balancer may lawfully lag behind an event, in seconds, and why."""

    value: Seconds
    reason: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: object) -> object:
        return given if isinstance(given, dict | Lag) else {"value": given}


class Timing(Part):
    """What the deployment's own settings explain; more than that is the balancer's fault."""

    down_noticed: Lag = Lag(value=1.0, reason="limpet's default")
    up_noticed: Lag = Lag(value=2.0, reason="limpet's default")
    apply_settles: Lag = Lag(value=0.5, reason="limpet's default")
    clock_resolution: Lag = Lag(value=1.0, reason="limpet's default: cookie dates are whole seconds")
    nodes_agree: Lag = Lag(value=0.0, reason="limpet's default: what one node knows, all of them know at once")
    retried: Lag = Lag(value=0.0, reason="limpet's default: nobody said")
    grace: Lag = Lag(value=0.0, reason="limpet's default")


class Budget(Part):
    """What the owner of this balancer grants it; what is not stated here is shown and judged by nobody."""

    errors: float | None = Field(
        default=None, ge=0, le=1, description="the share of requests that may fail while limpet's faults are in force"
    )


class Gate(Part):
    """Behaviours (globs) that must be *held* for exit 0."""

    require: tuple[str, ...] = ()
