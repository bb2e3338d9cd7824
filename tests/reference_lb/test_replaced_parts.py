"""Wrong balancers made by replacing one part: each shows that the part alone decides what it is said to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limpet.reference_lb.parts import Binding, Member, MemberSpec, Parts, PoolChange, RequestHead, Route, SetCookie, Why
from limpet.reference_lb.parts.binding_stores import TableStore
from limpet.reference_lb.parts.cookie_store import CookieStore
from limpet.reference_lb.parts.cookie_writer import PlannedCookies
from limpet.reference_lb.parts.header_policy import ForwardingHeaders
from limpet.reference_lb.parts.health_view import CheckedHealth
from limpet.reference_lb.parts.key_ring import KeyRing
from limpet.reference_lb.parts.lifetimes import AbsoluteLifetime
from limpet.reference_lb.parts.pool import MemberPool
from limpet.reference_lb.parts.router import PinningRouter
from limpet.reference_lb.settings.load import load


def test_affinity_by_connection(run_lab: Any, affinity: Any) -> None:
    class ByConnection(PinningRouter):
        def __init__(self) -> None:
            self._first: dict[int, Route] = {}

        def route(self, parts: Parts, request: RequestHead, tried: frozenset[str]) -> Route:
            known = self._first.get(request.connection)
            if known is None:
                known = self._first[request.connection] = super().route(parts, request, tried)
            return known

    async def scenario(lab: Any) -> None:
        one, other = await lab.ask(), await lab.ask()
        async with lab.connection() as connection:
            for answer in (one, other, one):
                got = await connection.ask(headers=[f"Cookie: LIMPET={answer.cookie()}"])
                assert got.backend == one.backend != other.backend

    run_lab(scenario, affinity=affinity(), arrange=lambda parts: replace(parts, router=ByConnection()))


def test_wrong_value(run_lab: Any, affinity: Any) -> None:
    class Crossed(CookieStore):
        parts: Parts

        def token(self, binding: Binding) -> str | None:
            ids = [member.id for member in self.parts.pool.members()]
            return super().token(replace(binding, backend=ids[(ids.index(binding.backend) + 1) % len(ids)]))

    def arrange(parts: Parts) -> Parts:
        store = Crossed(KeyRing())
        store.parts = parts
        return replace(parts, binding_store=store)

    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        assert (await lab.ask(cookie=first.cookie())).backend != first.backend

    run_lab(scenario, affinity=affinity(), arrange=arrange)


def test_cookie_leak_and_missing_attribute(run_lab: Any, affinity: Any) -> None:
    def bare(cookies: Sequence[SetCookie]) -> list[SetCookie]:
        return [replace(cookie, path=None, value="") for cookie in cookies]

    def arrange(parts: Parts) -> Parts:
        writer = parts.cookie_writer
        assert isinstance(writer, PlannedCookies)

        class Bare(PlannedCookies):
            def __init__(self) -> None:
                pass

            def due(self, request: RequestHead, route: Route) -> bool:
                return route.why is Why.FRESH

            def cookies(
                self, request: RequestHead, route: Route, value: str, anchor: float, now: float
            ) -> Sequence[SetCookie]:
                return bare(writer.cookies(request, route, value, anchor, now))

        return replace(parts, header_policy=ForwardingHeaders(), cookie_writer=Bare())

    async def scenario(lab: Any) -> None:
        first = await lab.ask(cookie="mine")
        assert first.all("set-cookie") == ["LIMPET="]
        assert lab.backend(first.backend).seen[-1].get("cookie") == "LIMPET=mine"

    run_lab(scenario, affinity=affinity(), arrange=arrange)


def test_absolute_where_idle_is_promised_and_health_ignored_for_pins(run_lab: Any, affinity: Any) -> None:
    class PinsIgnoreHealth(CheckedHealth):
        def usable(self, member: Member, *, pinned: bool) -> bool:
            return pinned or super().usable(member, pinned=pinned)

    async def absolute(lab: Any) -> None:
        first = await lab.ask()
        for _ in range(2):
            await lab.service.advance_clock(700)
            last = await lab.ask(cookie=first.cookie())
            first = last if last.backend == first.backend else first
        assert {(await lab.ask(cookie=first.cookie())).backend for _ in range(3)} == {"b1", "b2", "b3"}

    async def ignored(lab: Any) -> None:
        first = await lab.ask()
        await lab.backend(first.backend).stop()
        await lab.until_health(**{first.backend: False})
        assert [(await lab.ask(cookie=first.cookie())).status for _ in range(3)] == [502] * 3

    run_lab(absolute, affinity=affinity(), arrange=lambda parts: replace(parts, lifetime=AbsoluteLifetime(1200)))
    run_lab(ignored, affinity=affinity(), arrange=lambda parts: replace(parts, health_view=PinsIgnoreHealth()))


def test_removed_member_still_served(run_lab: Any, affinity: Any) -> None:
    class Undead(MemberPool):
        def __init__(self) -> None:
            super().__init__()
            self._all: dict[str, Member] = {}

        def find(self, id: str) -> Member | None:
            return self._all.get(id)

        def apply(self, wanted: Sequence[MemberSpec]) -> PoolChange:
            change = super().apply(wanted)
            self._all |= {member.id: member for member in self.members()}
            return PoolChange(change.added, ())

    def arrange(parts: Parts) -> Parts:
        pool = Undead()
        pool.apply([MemberSpec(m.name, m.host, m.port) for m in parts.pool.members()])
        return replace(parts, pool=pool)

    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        await lab.set_members(*({"b1", "b2", "b3"} - {first.backend}))
        assert (await lab.ask(cookie=first.cookie())).backend == first.backend

    run_lab(scenario, affinity=affinity(), arrange=arrange)


@pytest.mark.parametrize("loses", [True, False])
def test_reload_loses_bindings(run_lab: Any, tmp_path: Path, loses: bool) -> None:
    class Forgetful(TableStore):
        def adopt(self, memory: Any) -> None:
            pass

    async def scenario(lab: Any) -> None:
        file = tmp_path / "lb.toml"
        file.write_text(
            '[listener]\nport = 0\n[affinity]\nmode = "source-ip"\n[health]\nenabled = false\n'
            + "".join(
                f'[[pool.member]]\nname = "{b.name}"\nhost = "127.0.0.1"\nport = {b.port}\n' for b in lab.backends
            )
        )
        lab.service.stop()
        lab.service = type(lab.service)(load(file), lab.arrange)
        lab.port = (await lab.service.start()).port
        await lab.ask(source="127.4.0.1")
        second = await lab.ask(source="127.4.0.2")
        await lab.service.reload()
        assert ((await lab.ask(source="127.4.0.2")).backend != second.backend) == loses

    run_lab(scenario, arrange=(lambda parts: replace(parts, binding_store=Forgetful(9))) if loses else lambda p: p)
