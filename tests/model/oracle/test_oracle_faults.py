"""Faulty balancers are found: for each fault a story that shows it, and the same story without the fault shows none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from limpet_oracle_balancer import Manner
from limpet_oracle_simulation import Client, Simulation
from limpet_oracle_story import contract_of

from limpet.harness.model.oracle import Oracle, Verdicts
from limpet.harness.model.violation import Kind

NAMES = ["b1", "b2", "b3"]
Story = Callable[[Simulation], None]


def crowd(count: int = 9) -> list[Client]:
    return [Client(f"c{number}", f"10.0.{number}.1") for number in range(count)]


def visits(simulation: Simulation, clients: list[Client], t: float, times: int = 1, gap: float = 0.1) -> float:
    for _ in range(times):
        for client in clients:
            simulation.request(t, client)
            t += gap
    return t


def steady(simulation: Simulation) -> None:
    visits(simulation, crowd(), 0.0, times=8)


def expiring(simulation: Simulation) -> None:
    clients = crowd(6)
    t = visits(simulation, clients, 0.0, times=2)
    for _ in range(3):
        simulation.advance(t + 0.5, 24.0)
        t = visits(simulation, clients, t + 1.0, times=1)


def killing(simulation: Simulation) -> None:
    clients = crowd()
    t = visits(simulation, clients, 0.0, times=2)
    t = simulation.control(t, "kill", "b1") + 0.01
    visits(simulation, clients, t, times=4)


def failing_health(simulation: Simulation) -> None:
    clients = crowd()
    t = visits(simulation, clients, 0.0, times=2)
    t = simulation.control(t, "health", "b1", value=503) + 0.01
    visits(simulation, clients, t, times=4)


def recovering(simulation: Simulation) -> None:
    clients = crowd()
    t = visits(simulation, clients, 0.0, times=2)
    t = simulation.control(t, "kill", "b1") + 0.01
    t = visits(simulation, clients, t, times=2)
    t = simulation.control(t, "revive", "b1") + 0.01
    visits(simulation, clients, t, times=2)


def removing(simulation: Simulation) -> None:
    clients = crowd()
    t = visits(simulation, clients, 0.0, times=2)
    t = simulation.control(t, "remove", "b1") + 0.01
    visits(simulation, clients, t, times=2)


def adding(simulation: Simulation) -> None:
    clients = crowd()
    t = visits(simulation, clients, 0.0, times=2)
    t = simulation.control(t, "add", "b4") + 0.01
    visits(simulation, clients, t, times=2)


def draining(simulation: Simulation) -> None:
    clients = crowd()
    t = visits(simulation, clients, 0.0, times=2)
    t = simulation.control(t, "drain", "b1") + 0.01
    t = visits(simulation, clients, t, times=2)
    visits(simulation, [Client(f"new{number}", "10.1.0.1") for number in range(12)], t)


def two_on_one_connection(simulation: Simulation) -> None:
    clients = crowd(6)
    t = visits(simulation, clients, 0.0, times=1)
    for _ in range(4):
        for client in clients:
            simulation.request(t, client, connection="shared")
            t += 0.1


STATELESS = Manner()
TABLE = Manner(store="table")
SERVER_ID = Manner(store="server-id", kept_by="client")
IDLE = Manner(duration=40.0, issue="every")
CASES: dict[str, tuple[Manner, Story, set[Kind]]] = {
    "ignores": (STATELESS, steady, {Kind.MOVED}),
    "wrong-value": (replace(STATELESS, issue="every"), steady, {Kind.MOVED}),
    "wrong-value, server id": (SERVER_ID, steady, {Kind.MOVED}),
    "ttl-short": (IDLE, expiring, {Kind.EXPIRED_EARLY}),
    "absolute": (IDLE, expiring, {Kind.EXPIRED_EARLY}),
    "not-recorded": (TABLE, killing, {Kind.NOT_REPINNED}),
    "fails-back": (TABLE, recovering, {Kind.FAILED_BACK}),
    "removed-served": (STATELESS, removing, {Kind.SERVED_BY_REMOVED}),
    "drain-admits": (STATELESS, draining, {Kind.SERVED_BY_DRAINING}),
    "drain-evicts": (Manner(draining="keep"), draining, {Kind.MOVED}),
    "health-ignored": (STATELESS, failing_health, {Kind.SERVED_BY_UNHEALTHY}),
    "no-failover": (STATELESS, killing, {Kind.NO_FAILOVER}),
    "others-move": (STATELESS, killing, {Kind.MOVED}),
    "moves-on-add": (STATELESS, adding, {Kind.MOVED}),
    "per-connection": (STATELESS, two_on_one_connection, {Kind.MOVED}),
}


def told(manner: Manner, story: Story, seed: int) -> Verdicts:
    simulation = Simulation(manner, NAMES, seed)
    story(simulation)
    return Oracle(contract_of(manner), NAMES).judge(simulation.run())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_found_and_its_absence_is_not(case: str, seed: int) -> None:
    manner, story, kinds = CASES[case]
    fault = case.partition(",")[0]
    faulty, right = told(replace(manner, fault=fault), story, seed), told(manner, story, seed)
    assert kinds <= {each.kind for each in faulty.violations}
    assert faulty.decided > 0
    assert right.decided > 0
    assert right.violations == []
