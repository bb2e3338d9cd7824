"""limpet: a conformance and chaos test harness for sticky load balancers.

What one needs to write a behaviour, a fault or a report of one's own. Everything is imported on first use, so that a
backend or the reference balancer, which only live below this package, start without the engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limpet.harness.clients import Exchange, together
    from limpet.harness.engine.behaviour import behaviour
    from limpet.harness.engine.client import Client
    from limpet.harness.engine.outcome import Inconclusive, NotCheckable
    from limpet.harness.engine.samples import group_size, rebalanced, spread_as_declared
    from limpet.harness.engine.scenario import Scenario
    from limpet.harness.model.contract import Contract
    from limpet.harness.model.errors import HarnessFault, SetupFault, TargetFault, UsageFault
    from limpet.harness.model.events import Event, Handler, RunFinished, RunStarted, ScenarioFinished, ScenarioStarted
    from limpet.harness.model.verdict import Result, Verdict
    from limpet.harness.model.violation import Kind, Violation

__version__ = "0.1.0"

_HOMES = {
    "harness.clients": ("Exchange", "together"),
    "harness.engine.behaviour": ("behaviour",),
    "harness.engine.client": ("Client",),
    "harness.engine.outcome": ("Inconclusive", "NotCheckable"),
    "harness.engine.samples": ("group_size", "rebalanced", "spread_as_declared"),
    "harness.engine.scenario": ("Scenario",),
    "harness.model.contract": ("Contract",),
    "harness.model.errors": ("HarnessFault", "SetupFault", "TargetFault", "UsageFault"),
    "harness.model.events": ("Event", "Handler", "RunFinished", "RunStarted", "ScenarioFinished", "ScenarioStarted"),
    "harness.model.verdict": ("Result", "Verdict"),
    "harness.model.violation": ("Kind", "Violation"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Client",
    "Contract",
    "Event",
    "Exchange",
    "Handler",
    "HarnessFault",
    "Inconclusive",
    "Kind",
    "NotCheckable",
    "Result",
    "RunFinished",
    "RunStarted",
    "Scenario",
    "ScenarioFinished",
    "ScenarioStarted",
    "SetupFault",
    "TargetFault",
    "UsageFault",
    "Verdict",
    "Violation",
    "__version__",
    "behaviour",
    "group_size",
    "rebalanced",
    "spread_as_declared",
    "together",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'limpet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"limpet.{home}"), name)
