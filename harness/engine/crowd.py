"""Many requests that bring no key, in an order of limpet's own: what a balancer does with people it does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from limpet.harness.clients import BulkResult, run_bulk
from limpet.harness.engine.client import Client
from limpet.harness.engine.identity import identify_by
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.samples import ALPHA
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.statistics import dealing
from limpet.harness.model.violation import Kind

HOLD = 0.3
"""Seconds that each request is held open where open requests are what the balancer counts."""


def crowd(scenario: Scenario, users: Sequence[Client], each: int) -> list[BulkResult]:
    """So many requests of every user, without cookies, each on a connection of its own, all in one random order.

    One after the other; but where the algorithm counts what is open, all of them at once and held open, because with
    idle backends such a balancer may lawfully always prefer the same one.

    Raises:
        NotCheckable: open requests count, and the backends cannot hold any.
    """
    holds = scenario.counts_connections
    if holds and scenario.system.loaded.target.backends.owner != "limpet":
        raise NotCheckable("the algorithm counts open requests, and only limpet's own backends can hold some open")
    headers = (("Limpet-Hold", f"{HOLD:g}"),) if holds else ()
    plans = [user.plan(headers=headers) for user in users for _ in range(each)]
    return run_bulk(
        scenario.system.endpoint,
        scenario.recorder,
        plans,
        connections=len(plans) if holds else 1,
        seed=scenario.rng.getrandbits(32),
        identify=identify_by(scenario.system.loaded.target.backends),
    )


def load(scenario: Scenario, users: Sequence[Client], each: int, *, keep: bool = False) -> list[BulkResult]:
    """So many requests of every user at once, with their cookies.

    Each request is on a connection of its own; with ``keep`` all of one user's are on one, where the balancer lets
    them, which costs half and leaves no ports behind that the kernel keeps for a minute. One user's requests follow
    each other; what cookies they are given is in the users' jars afterwards.
    """
    results = run_bulk(
        scenario.system.endpoint,
        scenario.recorder,
        [replace(user.plan(each, cookies=True), keep=keep) for user in users],
        connections=len(users),
        seed=scenario.rng.getrandbits(32),
        identify=identify_by(scenario.system.loaded.target.backends),
    )
    jars = {user.name: (user.jar, user.endpoint.base_url + "/") for user in users}
    for result in results:
        jar, url = jars[result.client]
        if jar is not None and result.set_cookies:
            jar.store(url, result.set_cookies)
    return results


def recognises_nobody(scenario: Scenario, hands: Mapping[str, Mapping[str, int]], what: str, alpha: float) -> None:
    """Judges that who asks makes no difference: one user who meets one backend too often is a violation.

    Args:
        scenario: it.
        hands: each user's answers by backend; the order of all requests was drawn at random.
        what: what these users are, for the message.
        alpha: this test's share of the behaviour's error rate.

    Raises:
        Inconclusive: too few answers, or all from one backend.
    """
    result = dealing(hands, alpha=alpha)
    scenario.certain(f"limit on false accusation {ALPHA:g}, exact whatever the algorithm")
    if result.recognised:
        scenario.broken(Kind.STICKY_UNASKED, f"{what}: {result.text}")
    elif not result.able:
        raise Inconclusive(f"{what}: {result.text}")
    else:
        scenario.decided += sum(sum(hand.values()) for hand in hands.values())


def hands_of(results: Sequence[BulkResult]) -> dict[str, Counter[str]]:
    """For each user how often each backend answered; failures are not counted."""
    hands: dict[str, Counter[str]] = {}
    for each in results:
        if each.ok and each.backend:
            hands.setdefault(each.client, Counter())[each.backend] += 1
    return hands
