from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.reference_lb.parts.marks import Mark, Prefix, Rewritten, RouteSuffix, changed
from limpet.reference_lb.parts.records import Member
from limpet.reference_lb.settings.load import check
from limpet.reference_lb.settings.problems import ConfigError

POOL = [Member(f"{name}@h:1", name, "h", 1) for name in ("b1", "b1.x", "x", "a~b", "ü b")]
OCTETS = st.text("abc123-_.~%=!", min_size=1, max_size=20)


@given(OCTETS, st.sampled_from(POOL))
def test_a_prefix_comes_off_again_and_names_its_member(value: str, member: Member) -> None:
    for separator in "~.-":
        mark = Prefix(separator)
        marked = mark.marked(value, member)
        assert marked.isascii() and not set(marked) & set(' ",;\\')
        assert mark.bare(marked) == value
        assert mark.server(marked, POOL) is member


@given(OCTETS, st.sampled_from(POOL))
def test_a_route_names_the_member_of_the_longest_name(value: str, member: Member) -> None:
    mark = RouteSuffix()
    text = f"{value}.{member.name}"
    longest = POOL[1] if text.endswith(".b1.x") else member
    assert mark.server(text, POOL) is longest
    assert mark.marked(value, member) == mark.bare(value) == value
    assert mark.anew(value, member) is None


def test_a_rewritten_value_is_the_name_alone() -> None:
    mark = Rewritten()
    assert mark.server(mark.marked("secret", POOL[4]), POOL) is POOL[4]
    assert "secret" not in mark.marked("secret", POOL[0])


@pytest.mark.parametrize(
    ("piece", "after"),
    [
        (b"N=v", b"N=V"),
        (b' N = "v" ', b' N = "V" '),
        (b"N=", b"N="),
        (b"N", b"N"),
        (b"XN=v", b"XN=v"),
        (b"n=v", b"n=v"),
    ],
)
def test_only_the_value_changes(piece: bytes, after: bytes) -> None:
    assert changed(piece, b"N", str.upper) == after


def marked(mark: str, **changes: Any) -> dict[str, Any]:
    reaction = {"unhealthy": "reroute", "recovered": "return", "draining": "keep", "bad_cookie": "ignore"}
    own = {"reaction": reaction} if mark == "route" else {}
    return {"mode": "app-cookie", "application": {"name": "SHOP", "mark": mark}} | own | changes


async def login(lab: Any, value: str) -> Any:
    for backend in lab.backends:
        route = value.replace("{}", backend.name)
        backend.extra = [f"Set-Cookie: SHOP={route}; Path=/; HttpOnly", "Set-Cookie: OTHER=a~b"]
    answer = await lab.ask()
    for backend in lab.backends:
        backend.extra = []
    return answer


def test_a_prefix_is_put_on_taken_off_and_written_anew(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await login(lab, "s1")
        home = first.backend
        assert first.all("set-cookie") == [f"SHOP={home}~s1; Path=/; HttpOnly", "OTHER=a~b"]
        for _ in range(4):
            answer = await lab.ask(headers=[f"Cookie: x=1~2; SHOP={home}~s1; y=3"])
            assert (answer.backend, answer.all("set-cookie")) == (home, [])
        assert lab.backend(home).seen[-1].get("cookie") == "x=1~2; SHOP=s1; y=3"
        next(each for each in lab.service.site.parts.pool.members() if each.name == home).drain = True
        moved = await lab.ask(headers=[f"Cookie: SHOP={home}~s1"])
        assert moved.backend != home
        assert moved.all("set-cookie") == [f"SHOP={moved.backend}~s1; Path=/"]
        unmarked = await lab.ask(headers=["Cookie: SHOP=s9"])
        assert unmarked.all("set-cookie") == [f"SHOP={unmarked.backend}~s9; Path=/"]
        gone = await lab.ask(headers=["Cookie: SHOP=gone~s9"])
        assert gone.all("set-cookie") == [f"SHOP={gone.backend}~s9; Path=/"]
        assert lab.service.site.parts.binding_store.count() == 0

    run_lab(scenario, affinity=marked("prefix"))


def test_a_rewritten_value_is_a_name(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await login(lab, "s1")
        assert first.all("set-cookie")[0] == f"SHOP={first.backend}; Path=/; HttpOnly"
        for _ in range(4):
            assert (await lab.ask(headers=[f"Cookie: SHOP={first.backend}"])).backend == first.backend
        assert lab.backend(first.backend).seen[-1].get("cookie") == f"SHOP={first.backend}"

    run_lab(scenario, affinity=marked("rewrite"))


def test_a_route_is_only_read(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        first = await login(lab, "s1.{}")
        cookie = f"SHOP=s1.{first.backend}"
        assert first.all("set-cookie")[0] == f"{cookie}; Path=/; HttpOnly"
        for _ in range(4):
            answer = await lab.ask(headers=[f"Cookie: {cookie}"])
            assert (answer.backend, answer.all("set-cookie")) == (first.backend, [])
        assert lab.backend(first.backend).seen[-1].get("cookie") == cookie
        strangers = {(await lab.ask(headers=["Cookie: SHOP=s1.nobody"])).backend for _ in range(6)}
        assert len(strangers) > 1

    run_lab(scenario, affinity=marked("route"))


@pytest.mark.parametrize(
    ("affinity", "key", "words"),
    [
        (marked("prefix", mode="url", url={"query": "q"}), "affinity.application.mark", 'needs mode = "app-cookie"'),
        (marked("prefix", duration="5s"), "affinity.duration", "remembers nothing"),
        (marked("prefix", clock="absolute"), "affinity.clock", "remembers nothing"),
        (marked("prefix", table_size=5), "affinity.table_size", "leave it out"),
        (marked("prefix", reaction={"ip_change": "invalidate"}), "affinity.reaction.ip_change", 'use "keep"'),
        (marked("prefix", reaction={"recovered": "return"}), "affinity.reaction.recovered", 'use "stay"'),
        (marked("rewrite", reaction={"unhealthy": "reroute"}), "affinity.reaction.recovered", 'use "return"'),
        (marked("route", reaction={}), "affinity.reaction.unhealthy", 'use "reroute"'),
        (marked("route", reaction={}), "affinity.reaction.draining", 'use "keep"'),
        (marked("route", reaction={}), "affinity.reaction.bad_cookie", 'use "ignore"'),
        (
            marked("rewrite", application={"name": "S", "mark": "rewrite", "separator": "~"}),
            "affinity.application.separator",
            'needs mark = "prefix"',
        ),
    ],
)
def test_settings_that_a_mark_cannot_have(affinity: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check({"listener": {"port": 0}, "affinity": affinity})
    found = {problem.key: problem.text for problem in caught.value.problems}
    assert words in found[key]


def test_the_three_marks_fit_the_protocol() -> None:
    marks: list[Mark] = [Prefix(), Rewritten(), RouteSuffix()]
    assert all(mark.server("nobody", POOL) is None for mark in marks)
