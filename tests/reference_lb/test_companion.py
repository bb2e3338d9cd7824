"""The balancer's cookie beside the application's: with the pin in it, in shards, or as a ticket."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limpet.reference_lb.parts.companion import Shards


def cookies(answer: Any) -> dict[str, str]:
    """Name and value of what a response sets, without what it deletes."""
    pairs = [line.partition(";")[0].partition("=") for line in answer.all("set-cookie")]
    return {name: value for name, _, value in pairs if value}


def jar(cookies: dict[str, str]) -> list[str]:
    return ["Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items())]


async def login(lab: Any, value: str, attributes: str = "Path=/", **sent: str) -> tuple[str, dict[str, str], Any]:
    """A backend issues SHOP=value: who answered, the client's cookies, and the response."""
    for backend in lab.backends:
        backend.extra = [f"Set-Cookie: SHOP={value}; {attributes}"]
    answer = await lab.ask("/login", headers=jar(sent) if sent else [])
    for backend in lab.backends:
        backend.extra = []
    return answer.backend, cookies(answer), answer


def sharded(**changes: Any) -> dict[str, Any]:
    companion = {"shards": {"prefix": "PIN-", "size": 4096, "count": 4}, "expires": "7d"}
    return {"mode": "app-cookie", "application": {"name": "SHOP"}, "duration": "1h", "companion": companion} | changes


def ticket(**changes: Any) -> dict[str, Any]:
    twin = {"name": "PINCORS", "secure": True, "same_site": "None"}
    companion = {"name": "PIN", "carries": "ticket", "lifetime": "application", "twin": twin}
    return {"mode": "app-cookie", "application": {"name": "SHOP"}, "companion": companion} | changes


async def where(lab: Any, cookies: dict[str, str], times: int = 4) -> set[str]:
    return {(await lab.ask(headers=jar(cookies))).backend for _ in range(times)}


@given(st.text("abc", max_size=2000), st.integers(60, 400), st.integers(1, 5))
def test_shards_are_full_few_and_whole(value: str, size: int, count: int) -> None:
    shards = Shards("LONG-", size, count)
    pieces = shards.cut(value)
    room = size - len("LONG-0=")
    if len(value) > room * count:
        assert pieces == []
        return
    assert "".join(pieces) == value
    assert all(len(piece) == room for piece in pieces[:-1])
    assert len(pieces) <= count


def test_both_cookies_are_needed_and_any_value_of_the_applications_will_do(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        assert cookies(await lab.ask()) == {}, "nothing without the application's cookie"
        home, own, answer = await login(lab, "s1")
        assert set(own) == {"SHOP", "PIN-0"}
        assert "SHOP=s1; Path=/" in answer.all("set-cookie"), "the application's passes as it is"
        assert await where(lab, own) == {home}
        assert await where(lab, own | {"SHOP": "another"}) == {home}
        assert len(await where(lab, {"SHOP": "s1"})) > 1
        assert len(await where(lab, {"PIN-0": own["PIN-0"]})) > 1
        again = await lab.ask(headers=jar(own))
        assert set(cookies(again)) == {"PIN-0"} and cookies(again)["PIN-0"] != own["PIN-0"], "renewed"
        assert lab.backend(home).seen[-1].get("cookie") == "SHOP=s1", "kept from the backends"

    run_lab(scenario, affinity=sharded())


def test_a_long_value_comes_in_shards_none_of_which_may_be_missing(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        home, own, answer = await login(lab, "x" * 3900)
        assert set(own) == {"SHOP", "PIN-0", "PIN-1"}
        lines = [line.partition(";")[0] for line in answer.all("set-cookie") if line.startswith("PIN-")]
        assert len(lines[0]) == 4096 and len(lines[1]) < 4096
        assert await where(lab, own) == {home}
        assert await where(lab, dict(reversed(own.items()))) == {home}, "the order of the header does not matter"
        for lost in ("PIN-0", "PIN-1"):
            rest = {name: value for name, value in own.items() if name != lost}
            assert len(await where(lab, rest)) > 1, lost
        assert len(await where(lab, own | {"PIN-0": own["PIN-1"], "PIN-1": own["PIN-0"]})) > 1
        bad = await lab.ask(headers=jar(own | {"PIN-1": "nonsense"}))
        assert {"PIN-0", "PIN-1"} <= set(cookies(bad)), "and is replaced"
        _, short, answer = await login(lab, "s", **own)
        assert "PIN-1" not in short
        assert any(line.startswith("PIN-1=; Expires=Thu, 01 Jan 1970") for line in answer.all("set-cookie"))
        assert await where(lab, own | short) == {answer.backend}, "old shards behind a shorter value do not hurt"

    run_lab(scenario, affinity=sharded())


def test_a_value_that_is_too_long_is_not_issued(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        _, own, _ = await login(lab, "x" * 20000)
        assert set(own) == {"SHOP"}

    run_lab(scenario, affinity=sharded())


def test_the_pin_in_the_cookie_ends_by_its_own_clock(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        home, own, _ = await login(lab, "s1")
        await lab.service.advance_clock(3599)
        answer = await lab.ask(headers=jar(own))
        assert answer.backend == home
        own |= cookies(answer)
        await lab.service.advance_clock(3599)
        assert await where(lab, own, 1) == {home}
        await lab.service.advance_clock(3601)
        assert len(await where(lab, own)) > 1

    run_lab(scenario, affinity=sharded())


def test_a_ticket_lives_as_the_applications_cookie_does(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        home, own, answer = await login(lab, "s1", "Path=/; Max-Age=60; HttpOnly")
        lines = {line.partition("=")[0]: line for line in answer.all("set-cookie")}
        assert "Max-Age=60" in lines["PIN"] and "HttpOnly" in lines["PIN"] and "Secure" not in lines["PIN"]
        assert "SameSite=None" in lines["PINCORS"] and "Secure" in lines["PINCORS"]
        assert own["PIN"] == own["PINCORS"]
        again = await lab.ask(headers=jar(own))
        assert again.backend == home and cookies(again) == {}, "no cookie without one of the application's"
        await lab.service.advance_clock(10 * 86400)
        assert await where(lab, own) == {home}, "only clients end it"
        lab.backend(home).extra = ["Set-Cookie: SHOP=; Path=/; Max-Age=0"]
        ending = await lab.ask(headers=jar(own))
        assert any(line.startswith("PIN=; Expires=Thu, 01 Jan 1970") for line in ending.all("set-cookie"))
        lab.backend(home).extra = []
        assert len(await where(lab, own)) > 1, "gone with the application's"

    run_lab(scenario, affinity=ticket())


def test_a_ticket_moves_with_its_session_and_made_up_ones_mean_nothing(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        home, own, _ = await login(lab, "s1")
        await lab.backend(home).stop()
        await lab.until_health(**{home: False})
        other = await where(lab, own)
        assert len(other) == 1 and other != {home}
        await lab.backend(home).start()
        await lab.until_health(**{home: True})
        assert await where(lab, own) == other, "no fail-back"
        made_up = {"SHOP": "s1", "PIN": "0" * 48}
        before = lab.service.site.parts.binding_store.count()
        assert len(await where(lab, made_up)) > 1
        assert lab.service.site.parts.binding_store.count() == before

    run_lab(scenario, affinity=ticket())
