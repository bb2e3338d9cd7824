"""Group tests: what no single request can show. Each states its error rate and what it would have seen.

An allowed set cannot show that an expiry is never enforced, because the old backend is in it: a new pick may lawfully
fall on it. Over a group of users it can. Samples are decisive by their times alone and none is ever discarded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from limpet.harness.clients import Exchange
from limpet.harness.engine.client import Client
from limpet.harness.engine.outcome import Inconclusive
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.statistics import never_leaves, runs_needed, spread
from limpet.harness.model.violation import Kind

ALPHA = 1e-6
"""The largest probability of a false accusation by one behaviour."""


def group_size(scenario: Scenario) -> int:
    """How many pinned users each backend needs so that "every one of them came back by luck" is out of the question."""
    return runs_needed(1 / scenario.n, ALPHA / (scenario.n + 1))


def rebalanced(
    scenario: Scenario,
    pinned: Mapping[str, Sequence[Client]],
    kind: Kind,
    what: str,
    *,
    visit: Callable[[Client], Exchange] = lambda client: client.visit(),
) -> None:
    """Judges that the pins of these users are over: too many that are still where they were is a violation.

    Args:
        scenario: whose members have equal weights.
        pinned: users by the backend that they were pinned to.
        kind: what it is when they stayed.
        what: the reason why they should be balanced anew, for the message.
        visit: the request that each makes now.

    Raises:
        Inconclusive: too few of them were answered to decide.
    """
    samples = [(name, client) for name, group in pinned.items() for client in group]
    scenario.rng.shuffle(samples)
    stayed = dict.fromkeys(pinned, 0)
    counted = dict.fromkeys(pinned, 0)
    example: dict[str, Exchange] = {}
    for former, client in samples:
        with scenario.luck():
            exchange = visit(client)
        if not exchange.backend:
            continue  # a failure is the oracle's to judge; it says nothing about where a pick falls
        counted[former] += 1
        if exchange.backend == former:
            stayed[former] += 1
            example[former] = exchange
    alpha = ALPHA / (len(pinned) + 1)
    groups = [(name, stayed[name], counted[name]) for name in pinned]
    groups.append(("any backend", sum(stayed.values()), sum(counted.values())))
    able = False
    for name, stays, count in groups:
        result = never_leaves(stays, count, 1 / scenario.n, alpha)
        if result.rejected:
            shown = example.get(name) or next(iter(example.values()))
            scenario.broken(kind, f"{what}: pinned to {name}, {result.text}", shown)
            return
        able = result.able or able
        scenario.certain(result.text if name == "any backend" else f"limit on false accusation {ALPHA:g}")
    if not able:
        raise Inconclusive(f"only {sum(counted.values())} users were answered, too few to exclude luck")
    scenario.decided += sum(counted.values())


def spread_as_declared(
    scenario: Scenario, counts: Mapping[str, int], weights: Mapping[str, float], kind: Kind, what: str
) -> None:
    """Judges fresh picks: only a spread that is worse than the declared weights explain is a violation.

    Raises:
        Inconclusive: too few samples to decide.
    """
    algorithm = scenario.contract.algorithm
    rotates = algorithm is None or any("robin" in each for each in algorithm.allowed)
    result = spread(counts, weights, alpha=ALPHA, rotation=rotates, rotators=4 if rotates else 1)
    scenario.certain(result.text)
    if result.worse:
        scenario.broken(kind, f"{what}: {result.text}")
    elif not result.able:
        raise Inconclusive(f"{what}: {result.text}")
    else:
        scenario.decided += sum(counts.values())
