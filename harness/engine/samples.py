"""Group tests: what no single request can show. Each states its error rate and what it would have seen.

An allowed set cannot show that an expiry is never enforced, because the old backend is in it: a new pick may lawfully
fall on it. Over a group of users it can. Samples are decisive by their times alone and none is ever discarded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from limpet.harness.clients import Exchange
from limpet.harness.engine.client import Client
from limpet.harness.engine.outcome import Inconclusive
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.statistics import never_leaves, runs_needed, spread
from limpet.harness.model.violation import Kind

ALPHA = 1e-6
"""The largest probability of a false accusation by one behaviour."""

_DRAWS = 250
"""New sessions at the most until one backend is met."""


def group_size(scenario: Scenario) -> int:
    """How many pinned users each backend needs so that "every one of them came back by luck" is out of the question."""
    return runs_needed(largest_share(scenario), ALPHA / (scenario.n + 1))


def small_group(scenario: Scenario) -> int:
    """How many each backend needs so that luck is out of the question for all of them together."""
    return -(-(runs_needed(largest_share(scenario), ALPHA / (scenario.n + 1)) + 2) // scenario.n)


@dataclass(frozen=True)
class Revisits:
    """How many of the users that were pinned to each backend were answered, and how many met it again."""

    answered: dict[str, int]
    stayed: dict[str, int]
    example: dict[str, Exchange]

    @property
    def text(self) -> str:
        """For reports: ``7 of 18``."""
        return f"{sum(self.stayed.values())} of {sum(self.answered.values())}"


def place(client: Client) -> Exchange:
    """A plain request that is placed for itself: below layer 7 only a new connection is."""
    return client.visit(new_connection=client.endpoint.scheme in ("tcp", "udp"))


def largest_share(scenario: Scenario) -> float:
    """The largest chance of any member to get a new session: 1/n where their weights are equal."""
    weights = [member.weight for member in scenario.system.target.members]
    return max(weights, default=1) / max(1, sum(weights))


def draws_to_meet(scenario: Scenario, name: str) -> int:
    """New sessions until one reaches this member but for a chance of one in a million, whether weights count or not.

    Raises:
        Inconclusive: its share is so small that it would take too many.
    """
    weights = {member.name: member.weight for member in scenario.system.target.members}
    share = min(1 / len(weights), weights[name] / max(1, sum(weights.values())))
    needed = runs_needed(1 - share, ALPHA) if share > 0 else math.inf
    if needed > _DRAWS:
        raise Inconclusive(f"{name} gets {share:.0%} of the new sessions: {_DRAWS} of them could miss it by luck")
    return int(needed)


def revisit(
    scenario: Scenario, pinned: Mapping[str, Sequence[Client]], *, visit: Callable[[Client], Exchange] = place
) -> Revisits:
    """One request of each of these users, in random order, with luck before each that is limpet's own."""
    samples = [(name, client) for name, group in pinned.items() for client in group]
    scenario.rng.shuffle(samples)
    found = Revisits(dict.fromkeys(pinned, 0), dict.fromkeys(pinned, 0), {})
    for former, client in samples:
        with scenario.luck():
            exchange = visit(client)
        if not exchange.backend:
            continue  # a failure is the oracle's to judge; it says nothing about where a pick falls
        found.answered[former] += 1
        if exchange.backend == former:
            found.stayed[former] += 1
            found.example[former] = exchange
    return found


def still_pinned(scenario: Scenario, found: Revisits) -> bool:
    """Whether more of them met their backend again than luck explains (by `ALPHA`)."""
    stayed, answered = sum(found.stayed.values()), sum(found.answered.values())
    return never_leaves(stayed, answered, largest_share(scenario), ALPHA).rejected


def rebalanced(
    scenario: Scenario,
    pinned: Mapping[str, Sequence[Client]],
    kind: Kind,
    what: str,
    *,
    visit: Callable[[Client], Exchange] = place,
) -> None:
    """Judges that the pins of these users are over: too many that are still where they were is a violation.

    Args:
        scenario: whose members they were pinned to.
        pinned: users by the backend that they were pinned to.
        kind: what it is when they stayed.
        what: the reason why they should be balanced anew, for the message.
        visit: the request that each makes now.

    Raises:
        Inconclusive: too few of them were answered to decide.
    """
    found = revisit(scenario, pinned, visit=visit)
    alpha = ALPHA / (len(pinned) + 1)
    groups = [(name, found.stayed[name], found.answered[name]) for name in pinned]
    groups.append(("any backend", sum(found.stayed.values()), sum(found.answered.values())))
    able = False
    visible: float | None = None
    for name, stays, count in groups:
        result = never_leaves(stays, count, largest_share(scenario), alpha)
        if result.rejected:
            shown = found.example.get(name) or next(iter(found.example.values()))
            scenario.broken(kind, f"{what}: pinned to {name}, {result.text}", shown)
            return
        able = result.able or able
        visible = result.visible  # of all of them together, which comes last
        scenario.certain(result.text if name == "any backend" else f"limit on false accusation {ALPHA:g}")
    if not able:
        raise Inconclusive(f"only {groups[-1][2]} users were answered, too few to exclude luck")
    scenario.decide_together(groups[-1][2], visible)


def require_others(scenario: Scenario, backend: str, strangers: int) -> None:
    """Says what is the matter where this many strangers meet that backend too: others are out of use.

    That is an affair of health. Whoever meets one backend again and again is not pinned to it then.

    Raises:
        Inconclusive: all of them met it.
    """
    met = {scenario.client().visit().backend for _ in range(strangers)} - {""}
    if met <= {backend}:
        raise Inconclusive(f"{strangers} strangers met {backend} too, all of them: nobody is balanced")


def spread_as_declared(
    scenario: Scenario,
    counts: Mapping[str, int],
    weights: Mapping[str, float],
    kind: Kind,
    what: str,
    *,
    alpha: float = ALPHA,
    rotators: int = 4,
) -> None:
    """Judges fresh picks: only a spread that is worse than the declared weights explain is a violation.

    Args:
        scenario: whose picks they are.
        counts: how many each backend got.
        weights: what was declared.
        kind: what it is when they do not fit.
        what: the picks, for the message.
        alpha: the largest probability of a false accusation.
        rotators: how many worker processes may take turns each for itself; 1 where limpet's own luck went before
            every pick, so that nothing is left of their turns.

    Raises:
        Inconclusive: too few samples to decide.
    """
    algorithm = scenario.contract.algorithm
    rotates = algorithm is None or any("robin" in each for each in algorithm.allowed)
    result = spread(counts, weights, alpha=alpha, rotation=rotates, rotators=rotators if rotates else 1)
    scenario.certain(result.text)
    if result.worse:
        scenario.broken(kind, f"{what}: {result.text}")
    elif not result.able:
        raise Inconclusive(f"{what}: {result.text}")
    else:
        scenario.decide_together(sum(counts.values()), result.visible)
