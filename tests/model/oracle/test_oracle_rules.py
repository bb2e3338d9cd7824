"""What binds and what counts: keys, failures, connections, deliveries. One rule a test, on hand-written histories."""

from __future__ import annotations

from typing import Any

import pytest
from limpet_oracle_tale import ABC, Tale, contract, kinds, last

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Arrived, Received, Sent
from limpet.harness.model.oracle import delivered
from limpet.harness.model.violation import Kind

# Strength: a pinned client in a quiet world.


@pytest.mark.parametrize("affinity", ["lb-cookie", "source-ip", "app-cookie"])
def test_every_request_after_the_first_is_decided_by_exactly_one_backend(tale: Tale, affinity: str) -> None:
    tale.ask(0.0, None, "b", sets="k")
    for number in range(1, 20):
        tale.ask(number, "k", "b")
    verdicts = tale.judge(contract(affinity, application={"name": "S"} if affinity == "app-cookie" else None))
    assert [each.allowed for each in verdicts.judged[1:]] == [frozenset({"b"})] * 19
    assert verdicts.decided == 19
    assert all(each.must_answer for each in verdicts.judged)


def test_a_jar_that_gets_a_new_value_with_every_answer_is_decided_too(tale: Tale) -> None:
    tale.ask(0.0, None, "b", sets="k0")
    for number in range(10):
        tale.ask(number + 1, f"k{number}", "b", sets=f"k{number + 1}")
    verdicts = tale.judge(contract(duration={"value": "60s", "clock": "idle", "kept_by": "balancer"}))
    assert {each.allowed for each in verdicts.judged[1:]} == {frozenset({"b"})}


def test_one_move_is_told_once_and_excuses_no_other(pinned: Tale) -> None:
    pinned.ask(2.0, "k", "b")
    pinned.ask(3.0, "k", "a")
    pinned.ask(4.0, "k", "c")
    verdicts = pinned.judge(contract())
    assert kinds(verdicts) == [Kind.MOVED, Kind.MOVED]
    assert [each.seen for each in verdicts.violations] == ["b", "c"]


def test_overlapping_movers_do_not_excuse_each_other(pinned: Tale) -> None:
    pinned.ask(2.0, "k", "b", till=3.0)
    pinned.ask(2.1, "k", "b", till=2.9)
    assert kinds(pinned.judge(contract())) == [Kind.MOVED, Kind.MOVED]


def test_the_answer_to_another_request_is_wrong_even_from_the_right_backend(pinned: Tale) -> None:
    silent = pinned.ask(2.0, "k", "a")  # whoever says nothing is no backend of limpet's
    own, wrong = (f"r{int(silent[1:]) + number}" for number in (1, 2))
    pinned.ask(3.0, "k", "a", answers=own)
    pinned.ask(4.0, "k", "a", answers=own)
    verdicts = pinned.judge(contract())
    assert kinds(verdicts) == [Kind.WRONG_ANSWER]
    assert verdicts.violations[0].request == wrong
    assert "was given the answer of a to another request" in verdicts.violations[0].text


# Keys.


def test_an_invented_value_never_binds(tale: Tale) -> None:
    for number, backend in enumerate("abcab"):
        tale.ask(number, "made-up", backend)
    verdicts = tale.judge(contract())
    assert verdicts.violations == []
    assert verdicts.decided == 0


def test_an_invented_value_binds_where_any_value_is_promised_to_be_accepted(tale: Tale) -> None:
    tale.ask(0.0, "made-up", "a")
    tale.ask(1.0, "made-up", "b")
    assert kinds(tale.judge(contract(bad_cookie="accept"))) == [Kind.MOVED]
    assert kinds(tale.judge(contract(bad_cookie="replace"))) == []


def test_the_value_decides_whoever_sends_it(pinned: Tale) -> None:
    pinned.ask(2.0, "k", "b", client="thief")
    assert [each.client for each in pinned.judge(contract()).violations] == ["thief"]


def test_of_several_values_any_may_win_unless_the_contract_says_which(pinned: Tale) -> None:
    pinned.ask(1.5, None, "b", sets="m", client="y")
    pinned.ask(2.0, "k+m", "b")
    pinned.ask(3.0, "k", "a")
    pinned.ask(4.0, "m", "b")
    assert kinds(pinned.judge(contract())) == []
    assert kinds(pinned.judge(contract(duplicates="first"))) == [Kind.MOVED]
    assert kinds(pinned.judge(contract(duplicates="last"))) == []
    pinned.ask(5.0, "m", "a")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED], "the request with both bound neither anew"


def test_a_twin_alone_decides_only_where_that_is_promised(tale: Tale) -> None:
    def promise(**twin: Any) -> Contract:
        return contract(cookie={"name": "S", "twins": [{"name": "T", **twin}]})

    tale.ask(0.0, None, "a", sets="k")
    tale.ask(1.0, "k", "b", name="T")
    assert kinds(tale.judge(promise())) == []
    assert kinds(tale.judge(promise(alone_keeps=True))) == [Kind.MOVED]
    tale.ask(2.0, "k", "b")
    assert kinds(tale.judge(promise())) == [Kind.MOVED]


def test_an_application_cookie_with_a_companion_needs_both(tale: Tale) -> None:
    promised = contract("app-cookie", application={"name": "APP"}, cookie={"name": "S"})
    tale.ask(0.0, None, "a", sets="k")
    tale.ask(1.0, "k", "b")
    tale.records.append(Sent("both", 2.0, "x", "", "10.0.0.1", headers=(("Cookie", "APP=1; S=k"),)))
    tale.records.append(Received("both", 2.1, 200, "b"))
    assert [each.request for each in tale.judge(promised).violations] == ["both"]


def test_addresses_of_one_prefix_are_one_client(tale: Tale) -> None:
    tale.ask(0.0, None, "a", source="10.0.0.1")
    tale.ask(1.0, None, "b", source="10.0.0.200")
    tale.ask(2.0, None, "b", source="10.0.1.1")
    assert kinds(tale.judge(contract("source-ip", key_prefix={"v4": 24}))) == [Kind.MOVED]
    assert kinds(tale.judge(contract("source-ip"))) == []


def test_first_requests_that_race_may_split_but_then_it_is_one_of_them(tale: Tale) -> None:
    tale.ask(0.0, None, "a", till=1.0)
    tale.ask(0.1, None, "b", till=1.1)
    tale.ask(2.0, None, "b")
    tale.ask(3.0, None, "a")
    verdicts = tale.judge(contract("source-ip"))
    assert verdicts.judged[2].allowed == {"a", "b"}
    assert kinds(verdicts) == [Kind.MOVED]


def test_a_deleted_cookie_promises_nothing_more(tale: Tale) -> None:
    tale.ask(0.0, None, "a", sets="k")
    tale.ask(1.0, "k", "a", sets="x; Max-Age=0")
    tale.ask(2.0, "k", "b")
    assert kinds(tale.judge(contract())) == []


def test_a_value_handed_out_by_the_wrong_backend_is_told(tale: Tale) -> None:
    tale.ask(0.0, None, "a", sets="id-a")
    tale.ask(1.0, None, "b", sets="id-a", client="y")
    verdicts = tale.judge(contract())
    assert kinds(verdicts) == [Kind.MOVED]
    assert "id-a" in verdicts.violations[0].text


def test_values_that_an_application_gives_to_many_are_no_wrong_values(tale: Tale) -> None:
    tale.ask(0.0, None, "a", sets="dark")
    tale.ask(1.0, None, "b", sets="dark", client="y")
    tale.ask(2.0, "dark", "a")
    assert kinds(tale.judge(contract("app-cookie", application={"name": "S"}))) == []


# Failures.


def test_failures_are_excused_while_a_change_settles_and_not_after(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a", done=4.0)
    pinned.ask(3.0, "k", "", error="reset")
    pinned.ask(5.0, "k", "", error="timeout")
    pinned.ask(6.0, "k", "", status=503)
    assert kinds(pinned.judge(contract())) == [Kind.NO_FAILOVER, Kind.NO_FAILOVER]


def test_a_failure_of_a_client_whose_backend_is_well_is_an_error(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "b", done=4.0)
    pinned.ask(3.0, "k", "", status=502)
    assert kinds(pinned.judge(contract())) == [Kind.ERROR]


def test_errors_that_a_backend_made_are_answers(pinned: Tale) -> None:
    pinned.ask(2.0, "k", "a", status=500)
    pinned.ask(3.0, "k", "b", status=500)
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]


def test_who_is_unknown_decides_nothing(pinned: Tale) -> None:
    pinned.ask(2.0, "k", "", status=200)
    verdicts = pinned.judge(contract())
    assert verdicts.violations == []
    assert not last(verdicts).decided


def test_what_is_odd_on_purpose_may_fail_but_not_move(pinned: Tale) -> None:
    pinned.ask(2.0, "k", "", status=400, note="odd")
    pinned.ask(3.0, "k", "b", note="odd")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]


def test_a_request_without_an_end_is_not_judged_but_may_have_bound(tale: Tale) -> None:
    tale.records.append(Sent("lost", 0.0, "x", "", "10.0.0.1"))
    tale.ask(1.0, None, "a")
    tale.ask(2.0, None, "b")
    verdicts = tale.judge(contract("source-ip"))
    assert [each.exchange.sent.id for each in verdicts.judged] == ["r1", "r2"]
    assert verdicts.violations == []


def test_nobody_left_may_fail(pinned: Tale) -> None:
    for name in ABC:
        pinned.do(2.0, "kill", name, done=3.0)
    pinned.ask(4.0, "k", "", status=503)
    pinned.ask(5.0, None, "", status=503)
    assert pinned.judge(contract()).violations == []


def test_a_refused_client_must_not_be_answered_by_another(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.ask(3.0, "k", "", status=503)
    pinned.ask(4.0, "k", "b")
    verdicts = pinned.judge(contract(unhealthy="refuse"))
    assert kinds(verdicts) == [Kind.MOVED]
    assert verdicts.judged[2].decided


# Below layer 7.


def test_a_connection_is_placed_once_and_later_lines_decide_nothing(tale: Tale) -> None:
    promised = contract("source-ip", layer=4, protocol="tcp", draining="repin")
    tale.ask(0.0, None, "a", connection="one")
    tale.do(1.0, "drain", "a")
    tale.ask(2.0, None, "a", connection="one")
    tale.ask(3.0, None, "b", connection="two")
    tale.ask(4.0, None, "a", connection="one")
    tale.ask(5.0, None, "b", connection="three")
    verdicts = tale.judge(promised)
    assert verdicts.violations == []
    assert [each.decided for each in verdicts.judged] == [False, False, True, False, True]


def test_the_first_line_of_a_connection_is_placed_even_where_it_failed(tale: Tale) -> None:
    promised = contract("source-ip", layer=4, protocol="tcp")
    tale.ask(0.0, None, "a", connection="one")
    tale.ask(1.0, None, "", error="reset", connection="two")
    tale.ask(2.0, None, "b", connection="two")
    assert kinds(tale.judge(promised)) == [Kind.ERROR, Kind.MOVED]


# Deliveries.


def test_deliveries_tell_who_received_a_request_and_how_often(tale: Tale) -> None:
    once = tale.ask(0.0, None, "a")
    for t, backend in ((2.0, "b"), (1.0, "a"), (3.0, "b")):
        tale.records.append(Arrived("post", t, backend, backend, "c", "127.0.0.1"))
    found = delivered(tale.records, "post")
    assert (found.times, found.by_backend) == (3, {"a": 1, "b": 2})
    assert [each.backend for each in found.arrived] == ["a", "b", "b"]
    assert delivered(tale.records, once).times == 0
