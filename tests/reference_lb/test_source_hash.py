from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from limpet.reference_lb.parts.records import Member
from limpet.reference_lb.parts.source_hash import ModuloPlacement, Placement, RingPlacement
from limpet.reference_lb.settings.load import check
from limpet.reference_lb.settings.problems import ConfigError

KEYS = [f"10.{n // 250}.0.{n % 250}/32" for n in range(2000)]


def members(*weights: int) -> list[Member]:
    return [Member(f"b{n}@10.9.0.1:{n}", f"b{n}", "10.9.0.1", n, weight) for n, weight in enumerate(weights, 1)]


def owners(placement: Placement, of: list[Member]) -> dict[str, str]:
    return {key: placement.owner(key, of).name for key in KEYS}


@pytest.mark.parametrize("placement", [ModuloPlacement(), RingPlacement()], ids=["modulo", "ring"])
def test_the_order_of_the_members_counts_nothing_and_another_process_agrees(placement: Placement) -> None:
    pool = members(1, 1, 1)
    assert owners(placement, pool) == owners(type(placement)(), pool[::-1])


@pytest.mark.parametrize("placement", [ModuloPlacement(), RingPlacement()], ids=["modulo", "ring"])
def test_shares_follow_the_weights(placement: Placement) -> None:
    counts = Counter(owners(placement, members(1, 2, 5)).values())
    for name, part in (("b1", 1 / 8), ("b2", 2 / 8), ("b3", 5 / 8)):
        assert 0.6 * part < counts[name] / len(KEYS) < 1.5 * part


def test_on_a_ring_only_what_is_concerned_moves() -> None:
    ring, pool = RingPlacement(), members(1, 1, 1, 1)
    before, without, again = owners(ring, pool[:3]), owners(ring, pool[1:3]), owners(ring, pool[:3])
    assert {key for key in KEYS if before[key] != without[key]} == {key for key in KEYS if before[key] == "b1"}
    assert set(Counter(without.values())) == {"b2", "b3"}
    assert again == before
    joined = owners(ring, pool)
    moved = [key for key in KEYS if joined[key] != before[key]]
    assert {joined[key] for key in moved} == {"b4"}
    assert 0.15 < len(moved) / len(KEYS) < 0.375


def test_modulo_moves_most_of_them() -> None:
    modulo, pool = ModuloPlacement(), members(1, 1, 1, 1)
    before, joined = owners(modulo, pool[:3]), owners(modulo, pool)
    assert 0.7 < sum(before[key] != joined[key] for key in KEYS) / len(KEYS) < 0.8


def hashed(store: str = "hash-consistent", **changes: Any) -> dict[str, Any]:
    return {"mode": "source-ip", "store": store, "reaction": {"recovered": "return"}} | changes


@pytest.mark.parametrize("store", ["hash-consistent", "hash-modulo"])
def test_a_balancer_keeps_no_table_and_goes_home(run_lab: Any, store: str) -> None:
    async def scenario(lab: Any) -> None:
        home = (await lab.ask()).backend
        assert {(await lab.ask()).backend for _ in range(6)} == {home}
        assert lab.service.site.parts.binding_store.count() == 0
        parts = lab.service.site.parts
        member = next(each for each in parts.pool.members() if each.name == home)
        member.drain = True
        other = (await lab.ask()).backend
        assert other != home
        assert {(await lab.ask()).backend for _ in range(6)} == {other}
        member.drain = False
        assert (await lab.ask()).backend == home
        parts.switch.set(False)
        assert len({(await lab.ask()).backend for _ in range(6)}) > 1
        parts.switch.set(True)
        assert (await lab.ask()).backend == home

    run_lab(scenario, affinity=hashed(store))


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"mode": "none"}, "affinity.store", 'needs mode = "source-ip"'),
        ({"duration": "5s"}, "affinity.duration", "remembers nothing"),
        ({"limits": {"max": "5s"}}, "affinity.limits", "no duration to limit"),
        ({"clock": "absolute"}, "affinity.clock", 'needs store = "table"'),
        ({"table_size": 5}, "affinity.table_size", "leave it out"),
        ({"reaction": {"recovered": "stay"}}, "affinity.reaction.recovered", 'needs "return"'),
        ({"reaction": {"recovered": "return", "draining": "keep"}}, "affinity.reaction.draining", 'needs "repin"'),
        ({"reaction": {"recovered": "return", "unhealthy": "stay"}}, "affinity.reaction.unhealthy", 'needs "repin"'),
    ],
)
def test_settings_that_a_hash_cannot_have(changes: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check({"listener": {"port": 0}, "affinity": hashed(**changes)})
    found = {problem.key: problem.text for problem in caught.value.problems}
    assert words in found[key]
