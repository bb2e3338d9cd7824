"""Members that are groups of servers, and groups of the same servers behind one listener."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from limpet.reference_lb.settings.load import check, check_members
from limpet.reference_lb.settings.problems import ConfigError

RULE = {"port": 0, "rule": [{"path": "/shop/", "group": "shop"}]}


def group(lab: Any, name: str, *backends: str, **more: Any) -> dict[str, Any]:
    servers = [{"host": "127.0.0.1", "port": lab.backend(each).port} for each in backends]
    return {"name": name, "servers": servers} | more


async def grouped(lab: Any, *groups: dict[str, Any]) -> None:
    await lab.service.set_members(check_members(list(groups), groups=True))


# The servers' ports are known when they run: the balancer starts with a group that nobody will ask.
SECTIONS: dict[str, Any] = {"pool": {"member": [], "group": [{"name": "x", "servers": [{"host": "h", "port": 1}]}]}}
SECTIONS |= {"health": {"interval": "50ms", "timeout": "500ms"}}


def test_a_pin_leads_to_a_group_and_its_servers_take_turns(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        await grouped(lab, group(lab, "a", "b1", "b2"), group(lab, "b", "b3", "b4"))
        homes = {frozenset({"b1", "b2"}): 0, frozenset({"b3", "b4"}): 0}
        for _ in range(6):
            first = await lab.ask()
            met = Counter([(await lab.ask(cookie=first.cookie())).backend for _ in range(6)])
            assert set(met.values()) == {3}, met
            assert first.backend in met
            homes[frozenset(met)] += 1
        assert set(homes.values()) == {3}

    run_lab(scenario, count=4, affinity=affinity(), **SECTIONS)


def test_weights_are_the_groups_own(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        await grouped(lab, group(lab, "a", "b1", "b2", weight=3), group(lab, "b", "b3"))
        met = Counter([(await lab.ask()).backend for _ in range(8)])
        assert met == {"b1": 3, "b2": 3, "b3": 2}

    run_lab(scenario, affinity=affinity(), **SECTIONS)


def test_a_group_lives_as_long_as_one_of_its_servers(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        await grouped(lab, group(lab, "a", "b1", "b2"), group(lab, "b", "b3"))
        pins = [await lab.ask() for _ in range(4)]
        mine = next(each for each in pins if each.backend in ("b1", "b2"))
        await lab.backend("b1").stop()
        await lab.ask(cookie=mine.cookie())  # whoever is refused finds it out
        await lab.until(lambda: not lab.service.site.parts.health_view.healthy(of(lab, "a").servers[0]))
        assert {(await lab.ask(cookie=mine.cookie())).backend for _ in range(4)} == {"b2"}
        await lab.backend("b2").stop()
        await lab.until_health(a=False)
        moved = await lab.ask(cookie=mine.cookie())
        assert moved.backend == "b3"
        await lab.backend("b1").start()
        await lab.until_health(a=True)
        assert (await lab.ask(cookie=moved.cookie())).backend == "b3"

    run_lab(scenario, affinity=affinity(), **SECTIONS)


def test_another_server_of_the_group_is_tried_first(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        await grouped(lab, group(lab, "a", "b1", "b2"), group(lab, "b", "b3"))
        pins = [await lab.ask() for _ in range(2)]
        mine = next(each for each in pins if each.backend in ("b1", "b2"))
        await lab.backend("b1").stop()
        assert {(await lab.ask(cookie=mine.cookie())).backend for _ in range(4)} == {"b2"}

    sections = SECTIONS | {"health": {"interval": "60s", "timeout": "500ms"}}
    run_lab(scenario, affinity=affinity(reaction={"in_request": "retry"}), **sections)


def of(lab: Any, name: str) -> Any:
    return next(each for each in lab.service.site.parts.pool.members() if each.name == name)


@pytest.mark.parametrize("mode", ["lb-cookie", "source-ip"])
def test_a_pin_holds_in_its_own_group_alone(run_lab: Any, affinity: Any, mode: str) -> None:
    async def scenario(lab: Any) -> None:
        elsewhere = set()
        for number in range(6):
            here = {"source": f"127.0.0.{number + 2}"}
            first = await lab.ask(**here)
            for _ in range(number % 3):
                await lab.ask("/shop/", source="127.0.0.200")
                await lab.ask("/shop/", source=f"127.0.1.{number}")
            other = await lab.ask("/shop/x", cookie=first.cookie(), **here)
            elsewhere.add((first.backend, other.backend))
            again = await lab.ask("/shop/y?z", cookie=other.cookie(), **here)
            assert again.backend == other.backend
            assert (await lab.ask("/shop", cookie=first.cookie(), **here)).backend == first.backend
        assert any(one != two for one, two in elsewhere)

    run_lab(scenario, affinity={"mode": mode, "duration": "20m"}, listener=RULE)


def test_the_longest_path_decides_in_every_form_of_the_target(run_lab: Any) -> None:
    rules = [{"path": "/", "group": "all"}, {"path": "/shop/", "group": "shop"}]

    async def scenario(lab: Any) -> None:
        await lab.ask("/shop/x")
        await lab.ask("http://lb/shop/x?a=/")
        await lab.ask("/x?/shop/")
        assert lab.service.site.parts.binding_store.count() == 2

    run_lab(scenario, affinity={"mode": "source-ip"}, listener={"port": 0, "rule": rules})


def problems(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check({"listener": {"port": 0}} | raw)
    return str(caught.value)


def test_what_does_not_go_together() -> None:
    servers = [{"host": "h", "port": 1}]
    group = [{"name": "a", "servers": servers}]
    assert "pool.group: there are members beside it" in problems(
        {"pool": {"group": group, "member": [{"name": "m", "host": "h", "port": 1}]}}
    )
    assert "2 members are named" in problems({"pool": {"group": [*group, *group]}})
    assert "servers" in problems({"pool": {"group": [{"name": "a", "servers": []}]}})
    assert 'pool.group: it needs listener.protocol = "http"' in problems(
        {"pool": {"group": group}, "listener": {"port": 0, "protocol": "tcp"}}
    )
    assert "pool.group: it needs affinity.mode" in problems(
        {"pool": {"group": group}, "affinity": {"mode": "source-ip", "store": "hash-modulo"}}
    )
    assert "listener.rule: it needs protocol" in problems(
        {"listener": RULE, "affinity": {"mode": "app-cookie", "application": {"name": "S"}}}
    )
    assert "listener.rule: 2 rules" in problems({"listener": {"port": 0, "rule": RULE["rule"] * 2}})  # type: ignore[operator]
    with pytest.raises(ConfigError, match="servers"):
        check_members([{"name": "m", "host": "h", "port": 1}], groups=True)
