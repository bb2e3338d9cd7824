"""Another version of the balancer takes over: what it makes of the keys that the old one handed out."""

from __future__ import annotations

from limpet import Scenario, behaviour, upgraded

USERS = 4
"""Of each backend: a balancer that understands nothing brings all of them home once in half a million times."""
ROUNDS = 2


@behaviour(
    "balancer.upgrade",
    needs=("launch", "upgrade"),
    touches="settings",
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=170,
    sees=0.12,
)
def test_upgrade(s: Scenario) -> None:
    """Keys of one version or product, replayed to another with the same backends and key material (--upgrade-to)."""
    s.need_members(2)
    s.step(f"{USERS} users of each backend are pinned")
    homes = {user: home for home, users in s.pinned_to_each(USERS).items() for user in users}
    with upgraded(s) as newer:
        what = f"{newer.loaded.target.name} {newer.target.version()}".strip()
        s.step(f"{what} was started with the same backends and keys: everybody comes to it, {ROUNDS} times")
        stayed = dict.fromkeys(homes, True)
        for _ in range(ROUNDS):
            for user in s.rng.sample(list(homes), len(homes)):
                with s.luck():
                    stayed[user] &= newer.visit(user).backend == homes[user]
    s.observe(f"{sum(stayed.values())} of {len(homes)} users stayed with their backend on {what}")
