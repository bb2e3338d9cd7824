from __future__ import annotations

import asyncio
from typing import Any

import pytest


async def moved_off(lab: Any, first: Any) -> Any:
    """Kill the pinned backend; the first answer from another one."""
    await lab.backend(first.backend).stop()
    await lab.until_health(**{first.backend: False})
    return await lab.ask(cookie=first.cookie())


def test_repins_once_with_a_new_cookie_and_stays(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        second = await moved_off(lab, first)
        assert second.status == 200 and second.backend != first.backend
        for _ in range(4):
            assert (await lab.ask(cookie=second.cookie())).backend == second.backend
        await lab.backend(first.backend).start()
        await lab.until_health(**{first.backend: True})
        for _ in range(4):
            assert (await lab.ask(cookie=second.cookie())).backend == second.backend
        assert first.backend in {(await lab.ask()).backend for _ in range(6)}

    run_lab(scenario, affinity=affinity())


def test_returns_home_when_promised(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        second = await moved_off(lab, first)
        await lab.backend(first.backend).start()
        await lab.until_health(**{first.backend: True})
        third = await lab.ask(cookie=second.cookie())
        assert third.backend == first.backend
        assert (await lab.ask(cookie=third.cookie())).backend == first.backend

    run_lab(scenario, affinity=affinity(reaction={"recovered": "return"}))


def test_reroutes_without_touching_the_pin(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        second = await moved_off(lab, first)
        assert second.status == 200 and second.cookie() is None
        await lab.backend(first.backend).start()
        await lab.until_health(**{first.backend: True})
        assert (await lab.ask(cookie=first.cookie())).backend == first.backend

    run_lab(scenario, affinity=affinity(reaction={"unhealthy": "reroute"}))


@pytest.mark.parametrize(("reaction", "status"), [("refuse", 503), ("stay", 502)])
def test_strict_pins_never_move(run_lab: Any, affinity: Any, reaction: str, status: int) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        for _ in range(3):
            assert (await moved_off(lab, first)).status == status
        assert (await lab.ask()).status == 200

    run_lab(scenario, affinity=affinity(reaction={"unhealthy": reaction, "in_request": "retry"}))


def test_refused_connection_marks_down_and_may_fail_once(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        await lab.backend(first.backend).stop()
        answers = [await lab.ask(cookie=first.cookie()) for _ in range(4)]
        assert [answer.status for answer in answers] == [502, 200, 200, 200]
        assert all(answer.backend != first.backend for answer in answers)

    # The checks are too rare to notice anything: only the refused connection can.
    run_lab(scenario, affinity=affinity(), health={"interval": "1h"})


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_connection_is_retried_for_any_method(run_lab: Any, affinity: Any, method: str) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        await lab.backend(first.backend).stop()
        answer = await lab.ask(cookie=first.cookie(), method=method, body=b"cart")
        assert answer.status == 200 and answer.backend != first.backend and answer.body == b"cart"
        assert (await lab.ask(cookie=answer.cookie())).backend == answer.backend

    run_lab(scenario, affinity=affinity(reaction={"in_request": "retry"}), health={"interval": "1h"})


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("PUT", 200), ("POST", 502)])
def test_sent_request_is_repeated_only_when_idempotent(run_lab: Any, affinity: Any, method: str, status: int) -> None:
    async def scenario(lab: Any) -> None:
        async def slam(_: Any) -> None:
            return None

        first = await lab.ask()
        lab.backend(first.backend).answer = slam
        before = sum(len(backend.seen) for backend in lab.backends)
        answer = await lab.ask(cookie=first.cookie(), method=method, body=b"cart")
        assert answer.status == status
        if method == "POST":
            assert sum(len(backend.seen) for backend in lab.backends) == before + 1
        else:
            assert answer.body == b"cart" and answer.backend != first.backend

    run_lab(scenario, affinity=affinity(reaction={"in_request": "retry"}))


def test_hanging_backend_times_out_and_idempotent_requests_move(run_lab: Any, affinity: Any) -> None:
    async def hang(_: Any) -> None:
        await asyncio.sleep(3600)

    async def gives_up(lab: Any) -> None:
        first = await lab.ask()
        lab.backend(first.backend).answer = hang
        assert (await lab.ask(cookie=first.cookie())).status == 504

    async def moves(lab: Any) -> None:
        first = await lab.ask()
        lab.backend(first.backend).answer = hang
        answer = await lab.ask(cookie=first.cookie())
        assert answer.status == 200 and answer.backend != first.backend
        assert (await lab.ask(cookie=first.cookie(), method="POST", body=b"x")).status == 504

    run_lab(gives_up, affinity=affinity(), timeouts={"response": "300ms"})
    run_lab(moves, affinity=affinity(reaction={"in_request": "retry"}), timeouts={"response": "300ms"})


def test_failing_health_check_moves_clients_and_all_down_is_503(run_lab: Any, affinity: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await lab.ask()
        lab.backend(first.backend).healthy = False
        await lab.until_health(**{first.backend: False})
        assert (await lab.ask(cookie=first.cookie())).backend != first.backend
        for backend in lab.backends:
            backend.healthy = False
        await lab.until_health(b1=False, b2=False, b3=False)
        answer = await lab.ask(cookie=first.cookie())
        assert answer.status == 503 and answer.cookie() is None and len(answer.body) < 200
        lab.backend("b2").healthy = True
        await lab.until_health(b2=True)
        assert (await lab.ask(cookie=first.cookie())).backend == "b2"

    run_lab(scenario, affinity=affinity())


def test_truncated_response_is_cut_not_ended(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        async def short(_: Any) -> bytes:
            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(lab.backends[0].stop()))
            return b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"

        lab.backends[0].answer = short
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await lab.ask()

    run_lab(scenario, count=1)


def test_stale_kept_connection_costs_nobody_an_error(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        backend = lab.backends[0]

        async def once(request: Any) -> bytes | None:
            return None if len(backend.seen) == 2 else await backend.usual(request)

        backend.answer = once
        assert [(await lab.ask()).status for _ in range(3)] == [200, 200, 200]

    run_lab(scenario, count=1)
