from __future__ import annotations

from typing import Any


def app(**changes: Any) -> dict[str, Any]:
    return {"mode": "app-cookie", "application": {"name": "SHOP"}} | changes


async def login(lab: Any, value: str) -> Any:
    """A backend issues SHOP=value; the client's first response."""
    for backend in lab.backends:
        backend.extra = [f"Set-Cookie: SHOP={value}; Path=/; HttpOnly"]
    answer = await lab.ask("/login")
    for backend in lab.backends:
        backend.extra = []
    return answer


async def shop(lab: Any, value: str, times: int = 4) -> set[str | None]:
    return {(await lab.ask(headers=[f"Cookie: x=y; SHOP={value}"])).backend for _ in range(times)}


def test_application_cookie_is_learned_and_left_alone(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        first, second = await login(lab, "s1"), await login(lab, "s2")
        assert first.all("set-cookie") == ["SHOP=s1; Path=/; HttpOnly"]
        assert await shop(lab, "s1") == {first.backend}
        assert await shop(lab, "s2") == {second.backend} != {first.backend}
        assert lab.backend(first.backend).seen[-1].get("cookie") == "x=y; SHOP=s1"
        await lab.service.advance_clock(10 * 86400)  # no duration: the pin lives as long as the cookie
        assert await shop(lab, "s1") == {first.backend}

    run_lab(scenario, affinity=app())


def test_application_pin_ends_with_its_cookie_or_its_duration(run_lab: Any) -> None:
    async def logout(lab: Any) -> None:
        first = await login(lab, "s1")
        for ending in ("SHOP=; Path=/", "SHOP=s1; Max-Age=0", "SHOP=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT"):
            lab.backend(first.backend).extra = [f"Set-Cookie: {ending}"]
            await lab.ask(headers=["Cookie: SHOP=s1"])
            lab.backend(first.backend).extra = []
            assert lab.service.site.parts.binding_store.count() == 0, ending
            first = await login(lab, "s1")

    async def expiry(lab: Any) -> None:
        first = await login(lab, "s1")
        for _ in range(3):
            await lab.service.advance_clock(50)
            assert await shop(lab, "s1") == {first.backend}
        await lab.service.advance_clock(61)
        others = {(await shop(lab, "s1", 1)).pop()}
        assert others != {first.backend}  # round robin: it is another one's turn
        assert await shop(lab, "s1") == others

    run_lab(logout, affinity=app())
    run_lab(expiry, affinity=app(duration="60s"))


def test_unknown_application_cookie_is_pinned_or_left(run_lab: Any) -> None:
    async def pinned(lab: Any) -> None:
        assert len(await shop(lab, "never-issued")) == 1

    async def left(lab: Any) -> None:
        assert await shop(lab, "never-issued") == {"b1", "b2", "b3"}
        assert lab.service.site.parts.binding_store.count() == 0

    run_lab(pinned, affinity=app())
    run_lab(left, affinity=app(reaction={"bad_cookie": "ignore"}))


def test_application_pin_moves_with_a_dead_backend(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await login(lab, "s1")
        await lab.backend(first.backend).stop()
        await lab.until_health(**{first.backend: False})
        moved = await shop(lab, "s1")
        assert len(moved) == 1 and first.backend not in moved
        await lab.backend(first.backend).start()
        await lab.until_health(**{first.backend: True})
        assert await shop(lab, "s1") == moved

    run_lab(scenario, affinity=app())


def test_source_ip_pins_addresses_inside_one_prefix_together(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        pins = {}
        for net in (1, 2, 3):
            answers = [await lab.ask(source=f"127.8.{net}.{host}") for host in (1, 7, 200, 1)]
            assert len({answer.backend for answer in answers}) == 1
            assert not any(answer.all("set-cookie") for answer in answers)
            pins[net] = answers[0].backend
        assert len(set(pins.values())) == 3
        assert lab.service.site.parts.binding_store.count() == 3
        await lab.service.advance_clock(59)
        assert (await lab.ask(source="127.8.1.1")).backend == pins[1]
        await lab.service.advance_clock(59)
        assert (await lab.ask(source="127.8.1.1")).backend == pins[1]

    section = {"mode": "source-ip", "duration": "60s", "key_prefix": {"v4": 24}}
    run_lab(scenario, affinity=section)


def test_source_ip_absolute_duration(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        await lab.service.advance_clock(40)
        assert (await lab.ask()).backend == first.backend
        await lab.service.advance_clock(21)
        assert (await lab.ask()).backend != first.backend

    run_lab(scenario, affinity={"mode": "source-ip", "duration": "60s", "clock": "absolute"})


def test_table_is_bounded_and_drops_the_longest_unused(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask(source="127.7.0.1")
        for host in range(2, 8):
            await lab.ask(source=f"127.7.0.{host}")
            assert (await lab.ask(source="127.7.0.1")).backend == first.backend
        assert lab.service.site.parts.binding_store.count() == 3

    run_lab(scenario, affinity={"mode": "source-ip", "table_size": 3})
