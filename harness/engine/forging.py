"""Flows of datagrams from addresses that limpet does not own, judged by what the backends recorded."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field

from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Arrived
from limpet.harness.model.violation import Kind
from limpet.harness.network.frames import end_of
from limpet.harness.network.packets import SHAPES, Datagrams, Shape
from limpet.harness.network.topology import FORGED

WAVE = 1000
"""Flows that are begun before the second datagram of each is sent."""

_WINDOW = 100
"""Datagrams that may be under way before the next ones are sent, twice over: what a socket's buffer holds."""

_QUIET = 0.5
"""Seconds without a further record after which what is missing counts as lost, as datagrams may be."""

_PORTS = 2
"""Flows of each address."""

_UNUSUAL = 20
"""One of so many flows does not look like a host's next door."""


@dataclass
class Flow:
    """One flow, with the backend (name and instance) that each of its two datagrams reached."""

    source: str
    port: int
    shape: Shape | tuple[Shape, ...]
    sent: list[float] = field(default_factory=list)
    reached: dict[int, tuple[str, str]] = field(default_factory=dict)
    peers: list[str] = field(default_factory=list)
    """What the backends saw as the other end."""

    @property
    def text(self) -> str:
        """For messages."""
        return f"{self.source} port {self.port}" + (f" ({self.looks(0)})" if self.looks(0) != "plain" else "")

    def looks(self, turn: int) -> Shape:
        """What its datagram of that turn looks like."""
        return self.shape if isinstance(self.shape, str) else self.shape[turn]


def forge(scenario: Scenario, count: int, seconds: float, shapes: tuple[Shape, ...] = ()) -> list[Flow]:
    """So many flows of two datagrams each, as many of them as that time allows; returns those that were sent.

    Waves of flows: the first datagram of each, then, when those have arrived, the second one of each in another order.
    With ``shapes`` each flow has a datagram of each of these shapes, and begins with any of them (at most ten).

    Raises:
        SetupFault: this machine cannot send such packets.
    """
    sources = addresses(scenario, -(-count // _PORTS))
    tag = secrets.token_hex(4)[:7]
    flows: list[Flow] = []
    deadline = time.monotonic() + seconds
    with closing(scenario.system.site.datagrams(scenario.system.endpoint)) as sender:
        while len(flows) < count and time.monotonic() < deadline:
            wave = range(len(flows), min(count, len(flows) + WAVE))
            for number in wave:
                shape = _looks(scenario, shapes)
                flows.append(Flow(sources[number // _PORTS], scenario.rng.randrange(1024, 65536), shape))
            for turn in range(len(shapes) or 2):
                order = list(wave)
                scenario.rng.shuffle(order)
                _send(scenario, sender, flows, order, tag, turn)
    scenario.recorder.count_in(sum(len(flow.sent) for flow in flows))
    for record in scenario.system.arrived():
        _enter(record, flows, tag)
    return flows


def addresses(scenario: Scenario, count: int) -> list[str]:
    """So many addresses that are nobody's."""
    network, _, length = FORGED.partition("/")
    first = int.from_bytes(bytes(map(int, network.split("."))), "big")
    places = scenario.rng.sample(range(1, (1 << 32 - int(length)) - 1), count)
    return [".".join(map(str, (first + place).to_bytes(4, "big"))) for place in places]


def _looks(scenario: Scenario, shapes: tuple[Shape, ...]) -> Shape | tuple[Shape, ...]:
    if shapes:
        begin = scenario.rng.randrange(len(shapes))
        return (*shapes[begin:], *shapes[:begin])
    return scenario.rng.choice(SHAPES) if scenario.rng.randrange(_UNUSUAL) == 0 else "plain"


def _send(scenario: Scenario, sender: Datagrams, flows: list[Flow], order: list[int], tag: str, turn: int) -> None:
    """One datagram of each of these flows; returns when they have arrived, or nothing comes any more."""
    begin = scenario.system._servers.arrivals()
    for sent, number in enumerate(order):
        if sent % _WINDOW == 0:
            _await(scenario, begin + sent - _WINDOW)
        flow = flows[number]
        flow.sent.append(time.monotonic())
        sender.send(flow.source, flow.port, f"{tag}{turn}{number:08d}", flow.looks(turn))
    _await(scenario, begin + len(order))


def _await(scenario: Scenario, count: int) -> None:
    """Returns when the backends have recorded so many requests, or nothing comes any more."""
    seen, since = scenario.system._servers.arrivals(), time.monotonic()
    while seen < count and time.monotonic() - since < _QUIET:
        time.sleep(0.001)
        now = scenario.system._servers.arrivals()
        if now > seen:
            seen, since = now, time.monotonic()


def _enter(record: Arrived, flows: list[Flow], tag: str) -> None:
    if record.id.startswith(tag) and len(record.id) == 16 and record.id[7:].isdigit():
        flow = flows[int(record.id[8:])]
        flow.reached[int(record.id[7])] = (record.backend, record.instance)
        flow.peers.append(record.peer)


def judge_flows(scenario: Scenario, flows: list[Flow]) -> int:
    """Judges them; returns how many datagrams reached no backend.

    All datagrams of a flow belong to one backend; where the address is the key, all flows of an address do.
    """
    lost = sum(len(flow.sent) - len(flow.reached) for flow in flows)
    by_address: dict[str, list[Flow]] = {}
    for flow in flows:
        by_address.setdefault(flow.source, []).append(flow)
        if len(flow.reached) < 2 or flow.sent[-1] - flow.sent[0] >= scenario.lasts:
            continue
        begun, *rest = sorted(flow.reached)
        (first, _), moved = flow.reached[begun], next((t for t in rest if flow.reached[t] != flow.reached[begun]), None)
        if moved is not None:
            _show(scenario, flow)
        other = "" if moved is None or flow.looks(moved) == flow.looks(begun) else f", with a {flow.looks(moved)} one"
        text = f"the flow from {flow.text} began at {first} and went on at {flow.reached[moved or begun][0]}{other}"
        scenario.expect(moved is None, Kind.MOVED, text)
    if scenario.contract.affinity == "source-ip":
        _one_backend_each(scenario, by_address)
    else:
        _ports_count(scenario, by_address)
    return lost


def _show(scenario: Scenario, *flows: Flow) -> None:
    """The packets of these flows are evidence."""
    for flow in flows:
        scenario.forged.add((flow.source, flow.port))
        scenario.forged.update(end_of(peer) for peer in flow.peers)


def _one_backend_each(scenario: Scenario, by_address: dict[str, list[Flow]]) -> None:
    for address, flows in by_address.items():
        homes = {flow.port: flow.reached[0][0] for flow in flows if 0 in flow.reached}
        late = max(flow.sent[0] for flow in flows) - min(flow.sent[0] for flow in flows) >= scenario.lasts
        if len(homes) < 2 or late:
            continue
        text = ", ".join(f"port {port} at {name}" for port, name in homes.items())
        right = len(set(homes.values())) == 1
        if not right:
            _show(scenario, *flows)
        scenario.expect(right, Kind.MOVED, f"{address} is one client and was served by {text}")


def _ports_count(scenario: Scenario, by_address: dict[str, list[Flow]]) -> None:
    """Where the port is part of the key, that both flows of every address meet one backend is no luck."""
    pairs = [[flow.reached[0][0] for flow in flows if 0 in flow.reached] for flows in by_address.values()]
    whole = [pair for pair in pairs if len(pair) == _PORTS]
    met = Counter(name for pair in whole for name in pair)
    if len(whole) < 200 or max(met.values()) > 0.9 * met.total():
        return
    scenario.certain("that the flows of each of 200 addresses meet one backend by luck has a chance below 1e-6")
    if all(len(set(pair)) == 1 for pair in whole):
        text = f"both flows of each of {len(whole)} addresses met one backend, although the port is part of the key"
        scenario.broken(Kind.KEY_IGNORED, text)
    else:
        scenario.decide_together(len(whole), None)
