"""Keys whose backend is computed: by a hash of the address, or by a name in the application's cookie."""

from __future__ import annotations

from typing import Any

import pytest
from limpet_oracle_tale import Tale, contract, kinds, last

from limpet.harness.model.violation import Kind

HASHED = {"recovered": "return", "added": "remap", "bad_cookie": None}


def hashed(kind: str) -> Any:
    return contract("source-ip", hash={"kind": kind}, **HASHED)


def on_others(verb: str, back: str) -> Tale:
    """Somebody on `a`; `b` goes, and he is met on `back`."""
    tale = Tale()
    tale.ask(1.0, None, "a")
    tale.do(2.0, verb, "b")
    tale.ask(4.0, None, back)
    return tale


@pytest.mark.parametrize("verb", ["kill", "drain", "remove"])
def test_on_a_ring_nobody_moves_when_another_closes(verb: str) -> None:
    assert kinds(on_others(verb, "a").judge(hashed("consistent"))) == []
    assert kinds(on_others(verb, "c").judge(hashed("consistent"))) == [Kind.MOVED]
    assert kinds(on_others(verb, "c").judge(hashed("modulo"))) == [], "another divisor"


def test_on_a_ring_the_lost_go_to_one_other_and_come_home() -> None:
    tale = Tale()
    tale.ask(1.0, None, "a")
    tale.do(2.0, "kill", "a")
    tale.ask(4.0, None, "b")
    tale.do(5.0, "revive", "a")
    tale.ask(7.0, None, "a")
    assert kinds(tale.judge(hashed("consistent"))) == []
    tale.records = tale.records[:-2]
    tale.ask(7.0, None, "b")
    assert kinds(tale.judge(hashed("consistent"))) == [Kind.NOT_RETURNED]


def test_a_new_member_may_take_anybody_on_a_ring() -> None:
    tale = Tale()
    tale.ask(1.0, None, "a")
    tale.do(2.0, "add", "d")
    tale.ask(4.0, None, "d")
    tale.ask(5.0, None, "a")
    assert kinds(tale.judge(hashed("consistent"))) == [Kind.MOVED]


def marked(form: str, **changes: Any) -> Any:
    application = {"name": "S", "mark": {"form": form}}
    return contract("app-cookie", application=application, bad_cookie=["replace", "accept"], **changes)


def test_all_users_of_one_server_may_have_one_rewritten_value() -> None:
    tale = Tale()
    tale.ask(1.0, None, "a", sets="A", client="x")
    tale.ask(1.5, None, "a", sets="A", client="y")
    tale.do(2.0, "kill", "a")
    tale.ask(4.0, "A", "b", sets="B", client="x")
    tale.ask(4.5, "A", "c", sets="C", client="y")
    tale.ask(5.0, "B", "b", client="x")
    tale.ask(5.5, "C", "c", client="y")
    assert kinds(tale.judge(marked("rewrite"))) == []
    tale.ask(6.0, "C", "b", client="y")
    assert kinds(tale.judge(marked("rewrite"))) == [Kind.MOVED]


def test_a_name_that_another_server_hands_out_is_wrong() -> None:
    tale = Tale()
    tale.ask(1.0, None, "a", sets="A", client="x")
    tale.ask(2.0, None, "b", sets="A", client="y")
    assert kinds(tale.judge(marked("rewrite"))) == [Kind.MOVED]


def test_a_route_stays_good_while_its_server_is_away() -> None:
    promised = marked("route", unhealthy="reroute", recovered="return")
    tale = Tale()
    tale.ask(1.0, None, "a", sets="s.a")
    tale.do(2.0, "kill", "a")
    tale.ask(4.0, "s.a", "b")
    tale.ask(5.0, "s.a", "c")
    tale.do(6.0, "revive", "a")
    tale.ask(8.0, "s.a", "a")
    assert kinds(tale.judge(promised)) == []
    tale.ask(9.0, "s.a", "b")
    verdicts = tale.judge(promised)
    assert last(verdicts).violation is not None


@pytest.mark.parametrize("said", ["ignore", "replace"])
def test_a_session_that_was_forgotten_may_stay_unknown_where_only_the_application_makes_sessions(said: str) -> None:
    tale = Tale()
    tale.ask(1.0, None, "a", sets="k")
    tale.ask(2.0, "k", "a")
    tale.ask(9.0, "k", "b")
    tale.ask(9.1, "k", "c")
    timed = {"value": "3s", "clock": "idle", "kept_by": "balancer", "after": "rebalance"}
    promised = contract("app-cookie", application={"name": "S"}, duration=timed, bad_cookie=said)
    assert kinds(tale.judge(promised)) == ([] if said == "ignore" else [Kind.MOVED])
    tale.ask(9.2, "k", "c", sets="k2")
    tale.ask(9.3, "k2", "b")
    assert Kind.MOVED in kinds(tale.judge(promised)), "a new session is one"
