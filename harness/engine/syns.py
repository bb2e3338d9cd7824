"""Connections begun from addresses that limpet does not own, judged by where a balancer passes their SYNs on."""

from __future__ import annotations

import time
from contextlib import closing

from limpet.harness.engine.forging import addresses
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.violation import Kind
from limpet.harness.network.packets import syns_in

TTLS = (64, 8, 255)
"""Hops that the SYNs of one connection have left, in a random order."""


def judge_syns(scenario: Scenario, count: int) -> int | None:
    """Sends so many flows of SYNs, two flows of each address; all of one key have to go to one backend.

    Returns:
        How many were passed on to backends; 0 where the balancer answers connections itself, None where nobody can see.

    Raises:
        SetupFault: this machine cannot send such packets.
    """
    capture = scenario.system.site.capture(scenario.system.target.host)
    if capture is None:
        return None
    rng = scenario.rng
    first = rng.randrange(1 << 31)
    ports = rng.sample(range(1024, 65536), 2)
    flows = [(source, port) for source in addresses(scenario, -(-count // 2)) for port in ports][:count]
    packets = [(flow, ttl) for flow in flows for ttl in rng.sample(TTLS, len(TTLS))]
    begin = time.monotonic()
    with closing(scenario.system.site.syns(scenario.system.endpoint)) as sender:
        for number, ((source, port), ttl) in enumerate(packets):
            sender.send(source, port, first + number, ttl)
    scenario.recorder.count_in(len(packets))
    members = {(each.host, each.port): each.name for each in scenario.system.target.members}
    reached: dict[tuple[str, int], set[str]] = {}
    passed = 0
    for syn in syns_in(capture.frames(begin, time.monotonic())):
        if syn.target in members and 0 <= syn.sequence - first < len(packets):
            passed += 1
            reached.setdefault(packets[syn.sequence - first][0], set()).add(members[syn.target])
    by_address = scenario.contract.affinity == "source-ip"
    keys: dict[object, set[str]] = {}
    for flow, names in reached.items():
        keys.setdefault(flow[0] if by_address else flow, set()).update(names)
    for flow, names in reached.items():
        there = keys.pop(flow[0] if by_address else flow, names)
        if len(there) > 1:
            scenario.forged.update({flow, *((flow[0], port) for port in ports)})
        who = flow[0] if by_address else f"{flow[0]} port {flow[1]}"
        scenario.expect(len(there) == 1, Kind.MOVED, f"SYNs of {who} were passed on to {' and '.join(sorted(there))}")
    return passed
