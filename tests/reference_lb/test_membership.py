from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from limpet.reference_lb.settings.load import load
from limpet.reference_lb.settings.problems import ConfigError


async def pins(lab: Any, count: int = 6) -> list[Any]:
    return [await lab.ask() for _ in range(count)]


def test_added_member_gets_new_sessions_and_moves_nobody(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        await lab.set_members("b1", "b2")
        before = await pins(lab)
        assert {answer.backend for answer in before} == {"b1", "b2"}
        await lab.set_members("b3", "b2", "b1")  # healthy when this returns
        for answer in before:
            assert (await lab.ask(cookie=answer.cookie())).backend == answer.backend
        assert "b3" in {answer.backend for answer in await pins(lab)}

    run_lab(scenario, affinity=affinity())


def test_removed_member_is_left_once_and_others_stay(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        before = await pins(lab)
        await lab.set_members("b1", "b3")
        for answer in before:
            after = await lab.ask(cookie=answer.cookie())
            assert after.backend == answer.backend or answer.backend == "b2" != after.backend
            assert (await lab.ask(cookie=after.cookie())).backend == after.backend

    run_lab(scenario, affinity=affinity())


def test_same_name_at_a_new_address_is_a_new_server(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        spare = lab.backend("b3")
        await lab.set_members("b1", "b2", b1={"port": spare.port})
        answers = [(await lab.ask(cookie=first.cookie())).backend for _ in range(4)]
        assert first.backend == "b1" and "b2" in answers

    run_lab(scenario, affinity=affinity())


@pytest.mark.parametrize("reaction", ["repin", "keep"])
def test_drain_takes_no_new_sessions(run_lab: Any, affinity: Any, reaction: str) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        await lab.set_members(**{first.backend: {"drain": True}})
        assert first.backend not in {answer.backend for answer in await pins(lab)}
        again = await lab.ask(cookie=first.cookie())
        assert (again.backend == first.backend) == (reaction == "keep")
        assert (await lab.ask(cookie=again.cookie())).backend == again.backend

    run_lab(scenario, affinity=affinity(reaction={"draining": reaction}))


@pytest.mark.parametrize("undrained", [False, True])
def test_what_is_under_way_when_the_drain_is_over_is_cut(run_lab: Any, affinity: Any, undrained: bool) -> None:
    async def scenario(lab: Any) -> None:
        gate, backend = asyncio.Event(), lab.backend("b1")
        await lab.ask(), await lab.ask(), await lab.ask()  # kept connections: a cut request must not be sent again

        async def slow(request: Any) -> bytes:
            await gate.wait()
            return bytes(await backend.usual(request))

        backend.answer = slow
        before = len(backend.seen)
        running = asyncio.create_task(lab.ask())
        await lab.until(lambda: len(backend.seen) > before)
        await lab.set_members(b1={"drain": True})
        if undrained:
            await lab.set_members()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running), 0.5)
            gate.set()
            assert (await running).backend == "b1"
        else:
            assert (await running).status == 502
        assert len(backend.seen) == before + 1

    run_lab(scenario, affinity=affinity(reaction={"drain_timeout": "100ms"}))


def test_in_flight_requests_finish_on_a_removed_member(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        gate, backend = asyncio.Event(), lab.backend("b1")

        async def slow(request: Any) -> bytes:
            await gate.wait()
            return bytes(await backend.usual(request))

        backend.answer = slow
        running = asyncio.create_task(lab.ask())
        await lab.until(lambda: bool(backend.seen))
        await lab.set_members("b2", "b3")
        gate.set()
        assert (await running).backend == "b1"

    run_lab(scenario, affinity=affinity())


def test_weights_shape_the_spread(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        await lab.set_members(b1={"weight": 4}, b2={"weight": 2}, b3={"weight": 0})
        got = [(await lab.ask()).backend for _ in range(12)]
        assert (got.count("b1"), got.count("b2"), got.count("b3")) == (8, 4, 0)

    run_lab(scenario)


def test_least_connections_avoids_the_busy_member(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        gate = asyncio.Event()

        async def busy(request: Any) -> bytes:
            await gate.wait()
            return bytes(await lab.backend("b1").usual(request))

        lab.backend("b1").answer = busy
        running = asyncio.create_task(lab.ask())
        await lab.until(lambda: bool(lab.backend("b1").seen))
        assert [(await lab.ask()).backend for _ in range(6)].count("b1") == 0
        gate.set()
        assert (await running).backend == "b1"

    run_lab(scenario, pool={"algorithm": "weighted-least-connections"})


def write(path: Path, lab: Any, *, duration: str = "60s", drained: str = "", port: int = 0) -> None:
    members = "".join(
        f'[[pool.member]]\nname = "{m["name"]}"\nhost = "127.0.0.1"\nport = {m["port"]}\n'
        f"drain = {str(m['name'] == drained).lower()}\n"
        for m in lab.members()
    )
    path.write_text(
        f'[listener]\nport = {port}\n[affinity]\nmode = "source-ip"\nduration = "{duration}"\n'
        f'[health]\ninterval = "50ms"\n{members}'
    )


def test_reload_keeps_bindings_and_requests_in_flight(run_lab: Any, tmp_path: Path) -> None:
    async def scenario(lab: Any) -> None:
        file = tmp_path / "lb.toml"
        write(file, lab)
        lab.service.stop()
        lab.service = type(lab.service)(load(file), lab.arrange)
        lab.port = (await lab.service.start()).port
        first = await lab.ask(source="127.5.0.1")
        gate, backend = asyncio.Event(), lab.backend(first.backend)

        async def slow(request: Any) -> bytes:
            await gate.wait()
            return bytes(await backend.usual(request))

        backend.answer = slow
        running = asyncio.create_task(lab.ask(source="127.5.0.1"))
        await lab.until(lambda: len(backend.seen) == 2)
        write(file, lab, duration="30s")
        await lab.service.reload()
        backend.answer = backend.usual
        assert (await lab.ask(source="127.5.0.1")).backend == first.backend
        gate.set()
        assert (await running).backend == first.backend
        assert all(member.in_flight == 0 for member in lab.service.site.parts.pool.members())
        assert (await lab.ask(source="127.5.0.2")).backend == "b1"  # the picker begins anew, so the next turn is b2's
        await lab.service.advance_clock(31)  # the new duration is in force
        assert (await lab.ask(source="127.5.0.1")).backend == "b2" != first.backend

    run_lab(scenario)


def test_reload_takes_from_the_file_what_the_file_changed(run_lab: Any, tmp_path: Path) -> None:
    async def scenario(lab: Any) -> None:
        file = tmp_path / "lb.toml"
        write(file, lab)
        lab.service.stop()
        lab.service = type(lab.service)(load(file), lab.arrange)
        lab.port = (await lab.service.start()).port
        await lab.set_members("b1", "b2")
        await lab.service.reload()
        assert [m.name for m in lab.service.site.parts.pool.members()] == ["b1", "b2"]
        write(file, lab, drained="b2")
        await lab.service.reload()
        assert [(m.name, m.drain) for m in lab.service.site.parts.pool.members()] == [
            ("b1", False),
            ("b2", True),
            ("b3", False),
        ]
        for text in ("nonsense", "[listener]\nport = 1\n"):
            file.write_text(text)
            generation = lab.service.generation
            with pytest.raises(ConfigError):
                await lab.service.reload()
            assert lab.service.generation == generation
        assert (await lab.ask()).status == 200

    run_lab(scenario)
