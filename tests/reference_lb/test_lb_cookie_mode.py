from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import Any


def seconds_of_expires(response: Any, name: str = "LIMPET") -> float:
    line = next(line for line in response.all("set-cookie") if line.startswith(name + "="))
    expires = next(p[8:] for p in line.split("; ") if p.startswith("Expires="))
    return (parsedate_to_datetime(expires) - parsedate_to_datetime(response.get("date"))).total_seconds()


def test_pin_holds_and_values_differ(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        values, cookie = [], first.cookie()
        for _ in range(8):
            again = await lab.ask(cookie=cookie)
            assert again.backend == first.backend
            cookie = again.cookie()
            values.append(cookie)
        assert len(set(values)) == 8
        assert {(await lab.ask()).backend for _ in range(6)} == {"b1", "b2", "b3"}

    run_lab(scenario, affinity=affinity())


def test_every_request_of_a_connection_is_looked_at(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        pins = {(r := await lab.ask()).backend: r.cookie() for _ in range(3)}
        async with lab.connection() as connection:
            for name, cookie in [*pins.items(), *reversed(pins.items())] * 2:
                assert (await connection.ask(headers=[f"Cookie: LIMPET={cookie}"])).backend == name
        assert sum(backend.connections for backend in lab.backends) <= 3  # kept and reused

    run_lab(scenario, affinity=affinity())


def test_idle_duration_is_checked_by_the_balancer(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        old = await lab.ask()
        cookie = old.cookie()
        assert seconds_of_expires(old) == 7 * 86400
        for _ in range(4):
            await lab.service.advance_clock(1100)
            again = await lab.ask(cookie=cookie)
            assert again.backend == old.backend
            assert seconds_of_expires(again) == 7 * 86400
            cookie = again.cookie()
        await lab.service.advance_clock(1201)
        assert {(await lab.ask(cookie=cookie)).backend for _ in range(3)} == {"b1", "b2", "b3"}

    run_lab(scenario, affinity=affinity(cookie={"expires": "7d"}))


def test_absolute_duration_does_not_restart(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        old = await lab.ask()
        assert abs(seconds_of_expires(old) - 1200) <= 1
        await lab.service.advance_clock(1000)
        again = await lab.ask(cookie=old.cookie())
        assert again.backend == old.backend
        assert abs(seconds_of_expires(again) - 200) <= 1
        await lab.service.advance_clock(201)
        assert {(await lab.ask(cookie=again.cookie())).backend for _ in range(3)} == {"b1", "b2", "b3"}

    run_lab(scenario, affinity=affinity(clock="absolute", kept_by="both"))


def test_client_kept_pin_is_not_checked(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        old = await lab.ask()
        assert seconds_of_expires(old) == 1200
        await lab.service.advance_clock(100_000)
        assert all([(await lab.ask(cookie=old.cookie())).backend == old.backend for _ in range(4)])

    run_lab(scenario, affinity=affinity(kept_by="client"))


def test_twin_alone_keeps_the_pin_and_differs_as_configured(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        lines = first.all("set-cookie")
        assert first.cookie("LIMPET") == first.cookie("TWIN")
        assert "SameSite" not in lines[0] and "Secure" not in lines[0] and "Path=/" in lines[0]
        assert lines[1].endswith("Path=/; Secure; SameSite=None")
        for _ in range(4):
            assert (await lab.ask(headers=[f"Cookie: TWIN={first.cookie('TWIN')}"])).backend == first.backend

    run_lab(scenario, affinity=affinity(cookie={"twin": {"name": "TWIN", "same_site": "None", "secure": True}}))


def test_odd_cookie_headers_are_read_and_stripped(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        v = (first := await lab.ask()).cookie()
        pin = first.backend
        headers = [
            [f"Cookie: a=1; LIMPET={v}; b=2"],
            [f'Cookie: a=1;LIMPET="{v}"'],
            ["Cookie: a=1", f"cookie:   LIMPET =  {v} ;b=2"],
            [f"Cookie: XLIMPET=x; LIMPETX=x; limpet=x; LIMPET={v}"],
            [f"Cookie: LIMPET=stale; LIMPET={v}"],
            [f"Cookie: =; ;;LIMPET; LIMPET={v}"],
        ]
        for lines in headers * 2:
            assert (await lab.ask(headers=lines)).backend == pin, lines
        sent = [";".join(m.all("cookie")) for m in lab.backend(pin).seen if m.all("cookie")]
        assert sent and not any(v in line for line in sent)
        assert "a=1; b=2" in sent
        assert "XLIMPET=x; LIMPETX=x; limpet=x" in sent
        seen = len(lab.backend(pin).seen)
        misses = [(await lab.ask(headers=[f"Cookie: limpet={v}"])).backend for _ in range(3)]
        assert set(misses) == {"b1", "b2", "b3"}
        assert len(lab.backend(pin).seen) == seen + 1

    run_lab(scenario, affinity=affinity())


def test_first_live_duplicate_wins(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        old = await lab.ask()
        await lab.service.advance_clock(1300)
        live, other = await lab.ask(), await lab.ask()
        assert len({old.backend, live.backend, other.backend}) == 3
        for _ in range(3):
            line = f"Cookie: LIMPET={old.cookie()}; LIMPET={live.cookie()}; LIMPET={other.cookie()}"
            assert (await lab.ask(headers=[line])).backend == live.backend

    run_lab(scenario, affinity=affinity())


def test_bad_cookies_are_replaced_ignored_or_refused(run_lab: Any, affinity: Any) -> None:
    bad = ["", "x", "A" * 100, "%00%0d%0a", "é", "A" * 9000]

    async def replaced(lab: Any) -> None:
        for value in bad:
            answer = await lab.ask(headers=[f"Cookie: LIMPET={value}"])
            assert answer.status == 200
            assert (await lab.ask(cookie=answer.cookie())).backend == answer.backend
        v = (first := await lab.ask()).cookie()
        flipped = v[:20] + ("A" if v[20] != "A" else "B") + v[21:]
        assert {(await lab.ask(cookie=flipped)).backend for _ in range(3)} == {"b1", "b2", "b3"}, first

    async def ignored(lab: Any) -> None:
        answer = await lab.ask(cookie="x")
        assert answer.status == 200 and answer.cookie() is None
        assert (await lab.ask()).cookie() is not None

    async def refused(lab: Any) -> None:
        assert (await lab.ask(cookie="x")).status == 400
        assert (await lab.ask()).status == 200

    run_lab(replaced, affinity=affinity())
    run_lab(ignored, affinity=affinity(reaction={"bad_cookie": "ignore"}))
    run_lab(refused, affinity=affinity(reaction={"bad_cookie": "refuse"}))


def test_issue_rules(run_lab: Any, affinity: Any) -> None:
    async def first_response(lab: Any) -> None:
        first = await lab.ask()
        assert (await lab.ask(cookie=first.cookie())).cookie() is None
        await lab.service.rotate_keys()
        again = await lab.ask(cookie=first.cookie())
        assert again.backend == first.backend and again.cookie() is None

    async def on_change(lab: Any) -> None:
        first = await lab.ask()
        assert (await lab.ask(cookie=first.cookie())).cookie() is None
        await lab.service.rotate_keys()
        again = await lab.ask(cookie=first.cookie())
        assert again.backend == first.backend and again.cookie() not in (None, first.cookie())

    run_lab(first_response, affinity=affinity(clock="absolute", cookie={"issued": "first-response"}))
    run_lab(on_change, affinity=affinity(clock="absolute", cookie={"issued": "on-change"}))


def test_toggle_keeps_old_pins_valid(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        await lab.service.set_affinity(False)
        off = [await lab.ask(cookie=first.cookie()) for _ in range(3)]
        assert {answer.backend for answer in off} == {"b1", "b2", "b3"}
        assert not any(answer.cookie() for answer in off)
        await lab.service.set_affinity(True)
        assert all([(await lab.ask(cookie=first.cookie())).backend == first.backend for _ in range(4)])

    run_lab(scenario, affinity=affinity())


def test_pins_survive_a_restart_and_another_node_when_keys_are_configured(run_lab: Any, affinity: Any) -> None:
    keys = {"keys": ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]}
    other = {"keys": ["MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", *keys["keys"]]}

    async def scenario(lab: Any) -> None:
        from limpet.reference_lb.main import identity
        from limpet.reference_lb.service import Service
        from limpet.reference_lb.settings.load import check

        first = await lab.ask()
        lab.service.stop()
        raw = lab.config | {"listener": {"port": 0}, "pool": {"member": list(reversed(lab.members()))}}
        lab.service = Service(check(raw | {"affinity": affinity(cookie=other)}), identity)
        lab.port = (await lab.service.start()).port
        for _ in range(4):
            assert (await lab.ask(cookie=first.cookie())).backend == first.backend

    run_lab(scenario, affinity=affinity(cookie=keys), health={"enabled": False})


def test_source_tied_pin_is_invalidated_by_an_address_change(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask(source="127.1.1.1")
        for _ in range(3):
            assert (await lab.ask(source="127.1.1.2", cookie=first.cookie())).backend == first.backend
        moved = [(await lab.ask(source="127.1.2.1", cookie=first.cookie())).backend for _ in range(3)]
        assert set(moved) == {"b1", "b2", "b3"}

    section = affinity(key_prefix={"v4": 24, "v6": 64}, reaction={"ip_change": "invalidate"})
    run_lab(scenario, affinity=section)


def test_concurrent_requests_share_the_pin(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        answers = await asyncio.gather(*(lab.ask(cookie=first.cookie()) for _ in range(20)))
        assert {answer.backend for answer in answers} == {first.backend}
        assert all(member.in_flight == 0 for member in lab.service.site.parts.pool.members())

    run_lab(scenario, affinity=affinity())
