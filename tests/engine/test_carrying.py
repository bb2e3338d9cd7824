"""Users whose key is in a header or in the URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

import pytest

from limpet.harness.clients import Exchange
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.carrying import Carrying, invented
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.contract import Contract
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.targets.load import load


def judged(tmp_path: Path, test: Callable[[Scenario], None], target: str) -> Result:
    loaded = load(target)
    sentence = (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),)
    job = Job(loaded, Behaviour("some.behaviour", test, 0.0, 999), "", sentence)
    with Lab(1, [loaded]) as lab:
        runner = Runner(lab, [job], tmp_path, lambda _event: None)
        runner.start()
        return runner.result(job.key)


def contract(**key: Mapping[str, object]) -> Contract:
    (affinity,) = key
    return Contract.model_validate(
        {"title": "t", "layer": 7, "affinity": affinity, "application": {"name": "S"}, **key}
    )


def lines(exchange: Exchange, name: str) -> list[str]:
    return [value for key, value in exchange.sent.headers if key.lower() == name]


@pytest.mark.parametrize(
    ("key", "in_query", "path", "carried"),
    [
        ({"path_parameter": "p"}, False, "/a/b?x=1", "/a/b;p=k%2F1?x=1"),
        ({"path_parameter": "p"}, True, "/", "/;p=k%2F1"),
        ({"query": "q"}, False, "/", "/?q=k%2F1"),
        ({"path_parameter": "p", "query": "q"}, True, "/a?x=1", "/a?x=1&q=k%2F1"),
        ({"path_parameter": "p", "query": "q"}, False, "/a?x=1", "/a;p=k%2F1?x=1"),
    ],
)
def test_the_id_gets_into_the_url(key: dict[str, str], in_query: bool, path: str, carried: str) -> None:
    one = Carrying(contract(url=key), keeps=True, own="k/1", in_query=in_query)
    assert one.path(path, one.value) == carried
    assert one.path(path, "") == path
    assert one.headers(one.value) == ()


def test_who_keeps_nothing_and_who_is_handed_a_key_begins_without_one() -> None:
    header = {"name": "X-Session"}
    assert Carrying(contract(header=header), keeps=True, own="k").headers("k") == (("X-Session", "k"),)
    assert Carrying(contract(header=header), keeps=False, own="k").value == ""
    assert Carrying(contract(header=header | {"minted": True}), keeps=True, own="k").value == ""
    assert Carrying(contract(header=header | {"minted": False}), keeps=True, own="k").value == "k"
    assert invented("seed", 1) == invented("seed", 1) != invented("seed", 2)


def test_a_user_makes_up_a_key_and_all_of_its_connections_send_it(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        user = s.pinned()
        sent = [user.last or user.visit(), user.visit(), user.another().visit()]
        with user.raw() as connection:
            sent.append(user.over(connection))
        assert {tuple(lines(each, "x-session")) for each in sent} == {(user.key,)}
        assert {each.backend for each in sent} == {user.backend}
        assert lines(user.visit(key=""), "x-session") == []
        assert lines(user.visit(key="other"), "x-session") == ["other"]
        assert lines(s.client(cookies=False).visit(), "x-session") == []
        assert s.pinned().key != user.key

    result = judged(tmp_path, test, "reference-header")
    assert result.verdict is Verdict.HELD, result.reason


def test_a_user_is_handed_an_id_and_keeps_it(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        user = s.client()
        first = user.visit()
        assert lines(first, "mcp-session-id") == [] and user.issued(first) == (user.key,) != ("",)
        user.freeze()
        again = user.visit()
        assert lines(again, "mcp-session-id") == [user.key] and not user.issued(again)
        stranger = s.client(cookies=False)
        assert stranger.issued(stranger.visit()) and not stranger.key
        assert lines(stranger.visit(), "mcp-session-id") == []

    result = judged(tmp_path, test, "reference-header-minted")
    assert result.verdict is Verdict.HELD, result.reason


def test_an_id_in_the_url_comes_from_the_cookie_that_is_not_kept(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        seen = []
        for user in (s.client(), s.client()):
            first = user.visit()
            assert user.issued(first) == (user.key,) and user.cookie_header() == ""
            second = user.visit()
            assert lines(second, "cookie") == []
            seen.append(unquote(second.sent.path).replace(user.key, "ID"))
            user.request(
                "POST", "/login", body=b"user=ann", headers=(("Content-Type", "application/x-www-form-urlencoded"),)
            )
            assert "SHOPSESSION" in user.cookie_header(), "any other cookie is kept"
            assert user.visit().json()["user"] == "ann"  # type: ignore[index, call-overload]
        assert sorted(seen) == ["/;jsessionid=ID", "/?sid=ID"]

    result = judged(tmp_path, test, "reference-url")
    assert result.verdict is Verdict.HELD, result.reason
