"""limpet: a conformance and chaos test harness for sticky load balancers.

What one needs to write a behaviour, a fault or a report of one's own. Everything is imported on first use, so that a
backend or the reference balancer, which only live below this package, start without the engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limpet.harness.chaos.fault import Fault
    from limpet.harness.chaos.nemesis import Nemesis
    from limpet.harness.chaos.plan import STEADY, draw, perform, possible, printed, steady_plan
    from limpet.harness.chaos.random_walk import foretold_walks, random_walk
    from limpet.harness.chaos.recovery import everybody_is_served
    from limpet.harness.chaos.traffic import Traffic
    from limpet.harness.clients import Exchange, RawConnection, WebSocket, together
    from limpet.harness.clients.http2 import Ask, Http2Client
    from limpet.harness.clients.websocket import handshake_headers
    from limpet.harness.engine.answers import cookies_in, cookies_of, main_cookies
    from limpet.harness.engine.behaviour import Special, behaviour
    from limpet.harness.engine.client import Client
    from limpet.harness.engine.copies import (
        further_copy,
        ipv6_copy,
        require_passed_on,
        try_to_start,
        with_application,
        with_duration,
    )
    from limpet.harness.engine.crowd import crowd, hands_of, load, recognises_nobody
    from limpet.harness.engine.flight import Flight
    from limpet.harness.engine.forbidden import with_forbidden
    from limpet.harness.engine.forging import forge, judge_flows
    from limpet.harness.engine.nodes import nodes_agree, second_node
    from limpet.harness.engine.outcome import Inconclusive, NotCheckable, Observed
    from limpet.harness.engine.passing import (
        age,
        balancer_keeps_time,
        can_wait,
        let_pass,
        only_clients_keep_time,
        pass_time,
        require_wait,
        settled_age,
        unless_timed,
    )
    from limpet.harness.engine.proxies import Edge, beside_proxies, forwarding, forwarding_lines, trusted_proxies
    from limpet.harness.engine.samples import (
        draws_to_meet,
        group_size,
        largest_share,
        place,
        rebalanced,
        require_others,
        revisit,
        small_group,
        spread_as_declared,
        still_pinned,
    )
    from limpet.harness.engine.scenario import Scenario
    from limpet.harness.engine.shopping import Shopper, told
    from limpet.harness.engine.swarming import distinguishes, neighbours, swarm
    from limpet.harness.engine.syns import judge_syns
    from limpet.harness.engine.upgrade import upgraded
    from limpet.harness.model.contract import Contract
    from limpet.harness.model.errors import HarnessFault, SetupFault, TargetFault, UsageFault
    from limpet.harness.model.events import Event, Handler, RunFinished, RunStarted, ScenarioFinished, ScenarioStarted
    from limpet.harness.model.verdict import Result, Verdict
    from limpet.harness.model.violation import Kind, Violation
    from limpet.harness.targets.load import LoadedTarget

__version__ = "0.1.0"

_HOMES = {
    "harness.chaos.fault": ("Fault",),
    "harness.chaos.nemesis": ("Nemesis",),
    "harness.chaos.plan": ("STEADY", "draw", "perform", "possible", "printed", "steady_plan"),
    "harness.chaos.recovery": ("everybody_is_served",),
    "harness.chaos.traffic": ("Traffic",),
    "harness.chaos.random_walk": ("foretold_walks", "random_walk"),
    "harness.clients": ("Exchange", "RawConnection", "WebSocket", "together"),
    "harness.clients.http2": ("Ask", "Http2Client"),
    "harness.clients.websocket": ("handshake_headers",),
    "harness.engine.answers": ("cookies_in", "cookies_of", "main_cookies"),
    "harness.engine.behaviour": ("Special", "behaviour"),
    "harness.engine.client": ("Client",),
    "harness.engine.crowd": ("crowd", "hands_of", "load", "recognises_nobody"),
    "harness.engine.flight": ("Flight",),
    "harness.engine.forbidden": ("with_forbidden",),
    "harness.engine.nodes": ("nodes_agree", "second_node"),
    "harness.engine.outcome": ("Inconclusive", "NotCheckable", "Observed"),
    "harness.engine.proxies": ("Edge", "beside_proxies", "forwarding", "forwarding_lines", "trusted_proxies"),
    "harness.engine.samples": (
        "group_size",
        "place",
        "rebalanced",
        "require_others",
        "revisit",
        "draws_to_meet",
        "largest_share",
        "small_group",
        "spread_as_declared",
        "still_pinned",
    ),
    "harness.engine.scenario": ("Scenario",),
    "harness.engine.shopping": ("Shopper", "told"),
    "harness.engine.forging": ("forge", "judge_flows"),
    "harness.engine.swarming": ("distinguishes", "neighbours", "swarm"),
    "harness.engine.syns": ("judge_syns",),
    "harness.engine.upgrade": ("upgraded",),
    "harness.engine.copies": (
        "further_copy",
        "ipv6_copy",
        "require_passed_on",
        "try_to_start",
        "with_application",
        "with_duration",
    ),
    "harness.engine.passing": (
        "age",
        "balancer_keeps_time",
        "can_wait",
        "let_pass",
        "only_clients_keep_time",
        "pass_time",
        "require_wait",
        "settled_age",
        "unless_timed",
    ),
    "harness.model.contract": ("Contract",),
    "harness.model.errors": ("HarnessFault", "SetupFault", "TargetFault", "UsageFault"),
    "harness.model.events": ("Event", "Handler", "RunFinished", "RunStarted", "ScenarioFinished", "ScenarioStarted"),
    "harness.model.verdict": ("Result", "Verdict"),
    "harness.model.violation": ("Kind", "Violation"),
    "harness.targets.load": ("LoadedTarget",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "STEADY",
    "Ask",
    "Client",
    "Contract",
    "Edge",
    "Event",
    "Exchange",
    "Fault",
    "Flight",
    "Handler",
    "HarnessFault",
    "Http2Client",
    "Inconclusive",
    "Kind",
    "LoadedTarget",
    "Nemesis",
    "NotCheckable",
    "Observed",
    "RawConnection",
    "Result",
    "RunFinished",
    "RunStarted",
    "Scenario",
    "ScenarioFinished",
    "ScenarioStarted",
    "SetupFault",
    "Shopper",
    "Special",
    "TargetFault",
    "Traffic",
    "UsageFault",
    "Verdict",
    "Violation",
    "WebSocket",
    "__version__",
    "age",
    "balancer_keeps_time",
    "behaviour",
    "beside_proxies",
    "can_wait",
    "cookies_in",
    "cookies_of",
    "crowd",
    "distinguishes",
    "draw",
    "draws_to_meet",
    "everybody_is_served",
    "foretold_walks",
    "forge",
    "forwarding",
    "forwarding_lines",
    "further_copy",
    "group_size",
    "hands_of",
    "handshake_headers",
    "ipv6_copy",
    "judge_flows",
    "judge_syns",
    "largest_share",
    "let_pass",
    "load",
    "main_cookies",
    "neighbours",
    "nodes_agree",
    "only_clients_keep_time",
    "pass_time",
    "perform",
    "place",
    "possible",
    "printed",
    "random_walk",
    "rebalanced",
    "recognises_nobody",
    "require_others",
    "require_passed_on",
    "require_wait",
    "revisit",
    "second_node",
    "settled_age",
    "small_group",
    "spread_as_declared",
    "steady_plan",
    "still_pinned",
    "swarm",
    "together",
    "told",
    "trusted_proxies",
    "try_to_start",
    "unless_timed",
    "upgraded",
    "with_application",
    "with_duration",
    "with_forbidden",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'limpet' has no attribute {name!r}")
    return getattr(importlib.import_module(f"limpet.{home}"), name)
