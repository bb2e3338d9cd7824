"""Keys in a header and in the URL."""

from __future__ import annotations

from typing import Any

import pytest

from limpet.reference_lb.parts.carried_keys import HeaderKey, UrlKey
from limpet.reference_lb.parts.clock import OffsetClock
from limpet.reference_lb.parts.key_readers import ApplicationKey
from limpet.reference_lb.parts.records import RequestHead
from limpet.reference_lb.settings.load import check
from limpet.reference_lb.settings.problems import ConfigError


def header(**changes: Any) -> dict[str, Any]:
    return {"mode": "header", "header": {"name": "X-User", **changes}}


def url(**changes: Any) -> dict[str, Any]:
    return {"mode": "url", "url": {"path_parameter": "jsessionid", "query": "sid", **changes}}


async def met(lab: Any, target: str = "/", times: int = 4, *, headers: list[str] | None = None) -> set[str | None]:
    return {(await lab.ask(target, headers=headers or [])).backend for _ in range(times)}


def test_a_header_pins_at_its_first_use_whatever_the_case_of_its_name(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        homes = {name: (await lab.ask(headers=[f"X-User: {name}"])).backend for name in ("ann", "ben", "cat")}
        assert len(set(homes.values())) == 3
        for name, home in homes.items():
            assert await met(lab, headers=[f"x-uSeR:   {name} "]) == {home}
        assert len(await met(lab, headers=["X-User: "], times=3)) == 3, "an empty key is none"
        assert len(await met(lab, headers=["X-User: ANN"], times=2)) == 1, "values are compared as they are"
        assert lab.service.site.parts.binding_store.count() == 4

    run_lab(scenario, affinity=header())


def test_a_minted_header_is_learned_from_the_response(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        for backend in lab.backends:
            backend.extra = [f"x-user: by-{backend.name}"]
        first = await lab.ask()
        second = await lab.ask()
        for backend in lab.backends:
            backend.extra = []
        for answer in (first, second):
            assert await met(lab, headers=[f"X-User: by-{answer.backend}"]) == {answer.backend}
        assert first.backend != second.backend

    run_lab(scenario, affinity=header(minted=True))


def test_a_header_of_the_response_means_nothing_where_keys_are_not_minted(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        for backend in lab.backends:
            backend.extra = ["X-User: everybody"]
        await lab.ask()
        assert lab.service.site.parts.binding_store.count() == 0

    run_lab(scenario, affinity=header())


def test_a_minted_id_moves_with_its_dead_backend_and_stays_there(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        for backend in lab.backends:
            backend.extra = [f"X-User: by-{backend.name}"]
        first = await lab.ask()
        for backend in lab.backends:
            backend.extra = []
        key = [f"X-User: by-{first.backend}"]
        await lab.backend(first.backend).stop()
        await lab.until_health(**{first.backend: False})
        moved = await met(lab, headers=key)
        assert len(moved) == 1 and first.backend not in moved
        await lab.backend(first.backend).start()
        await lab.until_health(**{first.backend: True})
        assert await met(lab, headers=key) == moved

    run_lab(scenario, affinity=header(minted=True))


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        ("/shop;jsessionid=a1", ["a1"]),
        ("/shop;jsessionid=a1?x=1", ["a1"]),
        ("/a;jsessionid=a1/b/c.html", ["a1"]),
        ("/a;v=2;jsessionid=a1;w=3", ["a1"]),
        ("/?sid=a1", ["a1"]),
        ("/?x=1&sid=a1&y=2", ["a1"]),
        ("/shop;jsessionid=a1?sid=b2", ["a1", "b2"]),
        ("/?sid=a%2F1%3d%26", ["a/1=&"]),
        ("/;jsession%69d=a1", ["a1"]),
        ("http://example.test/x;jsessionid=a1", ["a1"]),
        ("/shop", []),
        ("/;jsessionid", []),
        ("/;jsessionid=", []),
        ("/?sid=&x", []),
        ("/;JSESSIONID=a1", []),
        ("/;xjsessionid=a1;jsessionidx=a1", []),
        ("/?jsessionid=a1", []),
        ("/x?y=;jsessionid=a1", []),
        ("/;jsessionid=%zz", ["%zz"]),
        ("*", []),
    ],
)
def test_where_the_url_holds_the_id(target: str, ids: list[str]) -> None:
    assert UrlKey("jsessionid", "sid").read(RequestHead("127.0.0.1", 1, target=target.encode())) == ids


def test_url_and_cookie_have_their_order() -> None:
    request = RequestHead("127.0.0.1", 1, target=b"/;jsessionid=u", headers=[(b"Cookie", b"S=c")])
    application = ApplicationKey("S", OffsetClock())
    read = {
        word: list(UrlKey("jsessionid", application=application, cookie=word).read(request))
        for word in ("unread", "after", "before")
    }
    assert read == {"unread": ["u"], "after": ["u", "c"], "before": ["c", "u"]}


def test_several_lines_of_the_header_are_several_keys() -> None:
    request = RequestHead("127.0.0.1", 1, headers=[(b"X-User", b" a "), (b"x-user", b""), (b"X-USER", b"b,c")])
    assert list(HeaderKey("X-User").read(request)) == ["a", "b,c"]


def test_a_url_id_is_learned_from_the_applications_cookie(run_lab: Any) -> None:
    async def scenario(lab: Any) -> None:
        for backend in lab.backends:
            backend.extra = [f"Set-Cookie: S=by-{backend.name}; Path=/"]
        first, second = await lab.ask(), await lab.ask()
        for backend in lab.backends:
            backend.extra = []
        for answer in (first, second):
            assert await met(lab, f"/x;jsessionid=by-{answer.backend}") == {answer.backend}
            assert await met(lab, f"/y?sid=by-{answer.backend}") == {answer.backend}
        both = [f"Cookie: S=by-{second.backend}"]
        assert await met(lab, f"/x;jsessionid=by-{first.backend}", headers=both) == {first.backend}
        assert await met(lab, "/x", headers=both) == {second.backend}
        lab.backend(first.backend).extra = ["Set-Cookie: S=; Max-Age=0"]
        await lab.ask(f"/logout;jsessionid=by-{first.backend}")
        assert lab.service.site.parts.binding_store.find(f"by-{first.backend}") is None

    run_lab(scenario, affinity=url(minted=True, cookie="after") | {"application": {"name": "S"}})


def test_an_unknown_id_is_pinned_or_left_and_ends_with_its_duration(run_lab: Any) -> None:
    async def pinned(lab: Any) -> None:
        home = await met(lab, "/?sid=mine")
        assert len(home) == 1
        await lab.service.advance_clock(59)
        assert await met(lab, "/;jsessionid=mine") == home, "one id, wherever it stands"
        await lab.service.advance_clock(61)
        assert await met(lab, "/?sid=mine", 1) != home  # round robin: it is another one's turn

    async def left(lab: Any) -> None:
        assert len(await met(lab, "/?sid=mine", 3)) == 3

    run_lab(pinned, affinity=url() | {"duration": "60s"})
    run_lab(left, affinity=url() | {"reaction": {"bad_cookie": "ignore"}})


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"mode": "header"}, "affinity.header.name"),
        (header(name="a b"), "affinity.header.name"),
        (header(name="Connection"), "affinity.header.name"),
        (header(name="cookie"), "affinity.header.name"),
        (header() | {"mode": "source-ip"}, "affinity.header"),
        (header() | {"clock": "session"}, "affinity.clock"),
        (header() | {"kept_by": "client"}, "affinity.kept_by"),
        (header() | {"reaction": {"bad_cookie": "refuse"}}, "affinity.reaction.bad_cookie"),
        (header() | {"application": {"name": "S"}}, "affinity.application"),
        ({"mode": "url"}, "affinity.url"),
        ({"mode": "url", "url": {"minted": False}}, "affinity.url"),
        (url(query="s=d"), "affinity.url.query"),
        (url(minted=True), "affinity.url.minted"),
        (url(cookie="after"), "affinity.url.cookie"),
        (url() | {"mode": "none"}, "affinity.url"),
    ],
)
def test_forbidden_combinations_of_keys(section: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check({"listener": {"port": 1}, "affinity": section})
    assert [problem.key for problem in caught.value.problems] == [key]


def test_keys_of_http_need_http() -> None:
    for section in (header(), url()):
        with pytest.raises(ConfigError) as caught:
            check({"listener": {"port": 1, "protocol": "tcp"}, "affinity": section})
        assert [problem.key for problem in caught.value.problems] == ["affinity.mode"]
    assert check({"listener": {"port": 1}, "affinity": header()}).affinity.span == 1200
