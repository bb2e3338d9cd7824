"""One rule a test, on hand-written histories. A line is (sent, received, client, cookie sent, backend, cookie set)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Arrived, Control, Received, Record, Sent
from limpet.harness.model.oracle import Judged, Oracle, Verdicts, delivered
from limpet.harness.model.violation import Kind

ABC = ("a", "b", "c")
PROMISES = {
    "unhealthy": "repin", "removed": "repin", "draining": "repin", "recovered": "stay", "added": "keep",
    "restart": "keep", "reload": "keep", "toggled": "keep", "bad_cookie": "replace", "all_down": "5xx",
}  # fmt: skip


def contract(affinity: str = "lb-cookie", **changes: Any) -> Contract:
    names = ("duration", "cookie", "application", "key_prefix", "layer", "protocol")
    parts: dict[str, Any] = {key: changes.pop(key) for key in names if key in changes}
    data: dict[str, Any] = {"title": "t", "layer": 7, "affinity": affinity, "reaction": PROMISES | changes, **parts}
    if affinity == "lb-cookie":
        data.setdefault("cookie", {"name": "S"})
    return Contract.model_validate(data)


class Tale:
    """Writes a history line by line."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._ids = itertools.count(1)
        self.offset = 0.0

    def ask(
        self, t: float, sends: str | None, backend: str, *, sets: str = "", till: float = 0.0, client: str = "x",
        error: str = "", status: int = 0, source: str = "10.0.0.1", note: str = "", connection: str = "",
        name: str = "S",
    ) -> str:  # fmt: skip
        id = f"r{next(self._ids)}"
        headers = (("Cookie", "; ".join(f"{name}={each}" for each in sends.split("+"))),) if sends else ()
        given = (("Set-Cookie", f"{name}={sets}"),) if sets else ()
        self.records.append(Sent(id, t, client, connection, source, headers=headers, offset=self.offset, note=note))
        status = status or (200 if backend else 0 if error else 502)
        self.records.append(
            Received(id, till or t + 0.1, status, backend, headers=given, error=error, offset=self.offset)
        )
        return id

    def do(self, t: float, verb: Any, backend: str = "", *, done: float = 0.0, value: float = 0.0) -> None:
        self.records.append(Control(verb, t, done or t + 0.5, backend, value, offset=self.offset))

    def judge(self, promised: Contract, members: Sequence[str] = ABC, **more: Any) -> Verdicts:
        return Oracle(promised, members, **more).judge(self.records)


def kinds(verdicts: Verdicts) -> list[Kind]:
    return [each.kind for each in verdicts.violations]


def last(verdicts: Verdicts) -> Judged:
    return verdicts.judged[-1]


@pytest.fixture
def tale() -> Tale:
    return Tale()


@pytest.fixture
def pinned(tale: Tale) -> Tale:
    """Client x holds the value k of backend a."""
    tale.ask(0.0, None, "a", sets="k")
    tale.ask(1.0, "k", "a")
    return tale


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


# Failover and recovery.


def test_after_a_failover_it_is_one_new_backend(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.ask(3.0, "k", "b")
    pinned.ask(4.0, "k", "c")
    assert kinds(pinned.judge(contract())) == [Kind.NOT_REPINNED]
    assert kinds(pinned.judge(contract(unhealthy="reroute"))) == []
    assert kinds(pinned.judge(contract(unhealthy=None))) == []


def test_an_old_value_that_was_replaced_may_go_on_saying_what_it_said(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.ask(3.0, "k", "b", sets="m")
    pinned.ask(4.0, "k", "c", sets="n")
    pinned.ask(4.5, "m", "b")
    pinned.do(5.0, "revive", "a")
    pinned.ask(6.0, "k", "a")
    pinned.ask(7.0, "m", "a")
    assert kinds(pinned.judge(contract())) == [Kind.FAILED_BACK]


def test_an_old_value_shares_what_becomes_of_its_old_home(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.ask(3.0, "k", "b", sets="m")
    pinned.do(4.0, "remove", "a")
    pinned.ask(5.0, "k", "", status=503)
    pinned.ask(6.0, "m", "", status=503)
    assert [each.request for each in pinned.judge(contract(removed="refuse")).violations] == ["r5"]


def test_going_home_is_wrong_right_or_a_duty(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.ask(3.0, "k", "b")
    pinned.do(4.0, "revive", "a")
    home, away = pinned, Tale()
    away.records = list(pinned.records)
    home.ask(5.0, "k", "a")
    away._ids = itertools.count(50)
    away.ask(5.0, "k", "b")
    assert kinds(home.judge(contract(recovered="stay"))) == [Kind.FAILED_BACK]
    assert kinds(away.judge(contract(recovered="stay"))) == []
    assert kinds(home.judge(contract(recovered="return"))) == []
    assert kinds(away.judge(contract(recovered="return"))) == [Kind.NOT_RETURNED]
    for undecided in (None, ["stay", "return"], {"allowed": ["stay", "return"], "status": "conflict"}):
        assert kinds(home.judge(contract(recovered=undecided))) == []
        assert kinds(away.judge(contract(recovered=undecided))) == []


def test_home_is_only_who_is_well_again(tale: Tale) -> None:
    tale.do(0.0, "health", "c", value=503)
    tale.ask(1.0, None, "a", sets="k")
    tale.ask(2.0, "k", "c")
    assert kinds(tale.judge(contract(recovered="return"))) == [Kind.SERVED_BY_UNHEALTHY]


def test_where_the_unhealthy_go_on_serving_they_may_take_new_sessions_too(tale: Tale) -> None:
    tale.do(0.0, "health", "c", value=503)
    tale.ask(1.0, None, "c")
    assert kinds(tale.judge(contract(unhealthy="stay"))) == []
    assert kinds(tale.judge(contract())) == [Kind.SERVED_BY_UNHEALTHY]


def test_a_home_that_a_restart_made_forgotten_calls_nobody_back(pinned: Tale) -> None:
    pinned.do(2.0, "restart")
    pinned.do(3.0, "health", "c", value=503)
    pinned.ask(4.0, "k", "b")
    pinned.do(5.0, "health", "c", value=200)
    pinned.ask(6.0, "k", "b")
    assert kinds(pinned.judge(contract(restart="lose", recovered="return"))) == []


def test_gone_and_back_without_a_request_may_have_been_forgotten(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.do(3.0, "revive", "a")
    pinned.ask(5.0, "k", "b")
    assert kinds(pinned.judge(contract())) == []
    assert kinds(pinned.judge(contract(unhealthy="refuse"))) == [Kind.MOVED]


def test_a_request_under_way_when_the_trouble_begins_may_still_get_the_old_answer(pinned: Tale) -> None:
    pinned.ask(2.0, "k", "a", till=9.0)
    pinned.do(3.0, "kill", "a", done=4.0)
    pinned.ask(5.0, "k", "b")
    pinned.ask(10.0, "k", "b")
    assert kinds(pinned.judge(contract())) == []


def test_a_client_who_gave_up_may_have_been_placed_all_the_same(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a", done=3.0)
    lost = pinned.ask(4.0, "k", "", error="timeout", till=5.0, note="odd")
    pinned.ask(5.2, "k", "b")
    pinned.ask(6.5, "k", "c")
    assert kinds(pinned.judge(contract())) == [], "without the backends' records nobody knows where it went"
    pinned.records.append(Arrived(lost, 4.5, "b", "b1", "c1", "127.0.0.1"))
    assert kinds(pinned.judge(contract())) == [Kind.NOT_REPINNED]
    pinned.records.append(Arrived(lost, 6.0, "c", "c1", "c1", "127.0.0.1"))
    assert kinds(pinned.judge(contract())) == []


def test_others_must_not_move_when_one_backend_dies(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "b")
    pinned.ask(2.2, "k", "a")
    pinned.ask(3.0, "k", "c")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]


# Membership.


def test_who_was_removed_answers_nobody(pinned: Tale) -> None:
    pinned.do(2.0, "remove", "a")
    pinned.ask(3.0, "k", "a")
    pinned.ask(4.0, None, "a", client="new")
    assert kinds(pinned.judge(contract())) == [Kind.SERVED_BY_REMOVED] * 2
    assert kinds(pinned.judge(contract(removed=None))) == []


def test_draining_keeps_or_repins_but_admits_nobody(pinned: Tale) -> None:
    pinned.do(2.0, "drain", "a")
    pinned.ask(3.0, "k", "a")
    pinned.ask(4.0, None, "a", client="new")
    assert kinds(pinned.judge(contract(draining="keep"))) == [Kind.SERVED_BY_DRAINING]
    assert kinds(pinned.judge(contract(draining="repin"))) == [Kind.SERVED_BY_DRAINING] * 2
    assert kinds(pinned.judge(contract(draining=None))) == []
    pinned.ask(5.0, "k", "b")
    assert Kind.MOVED in kinds(pinned.judge(contract(draining="keep")))


def test_a_new_member_moves_nobody_unless_it_may(pinned: Tale) -> None:
    pinned.do(2.0, "add", "d")
    pinned.ask(3.0, "k", "d")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]
    assert kinds(pinned.judge(contract(added="remap"))) == []
    assert kinds(pinned.judge(contract(added=None))) == []


def test_a_server_replaced_at_the_same_address_may_have_lost_its_pins(pinned: Tale) -> None:
    pinned.do(2.0, "replace", "a")
    pinned.ask(3.0, "k", "b")
    assert kinds(pinned.judge(contract())) == []
    pinned.ask(4.0, "k", "a")
    assert kinds(pinned.judge(contract())) == [Kind.FAILED_BACK]


def test_who_was_never_named_is_somebodys_own_backend(tale: Tale) -> None:
    tale.ask(0.0, None, "pod-1", sets="k")
    tale.ask(1.0, "k", "pod-1")
    tale.ask(2.0, "k", "pod-2")
    assert kinds(tale.judge(contract(), members=())) == [Kind.MOVED]


# The balancer's own life.


@pytest.mark.parametrize(("verb", "field"), [("restart", "restart"), ("reload", "reload")])
def test_restarts_lose_pins_only_where_they_may(pinned: Tale, verb: str, field: str) -> None:
    pinned.do(2.0, verb, done=3.0)
    pinned.ask(2.5, "k", "", error="refused")
    pinned.ask(4.0, "k", "b")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]
    assert kinds(pinned.judge(contract(**{field: "lose"}))) == []
    assert kinds(pinned.judge(contract(**dict[str, Any]({field: None})))) == []


def test_a_value_that_was_lost_in_a_restart_is_placed_anew_each_time(pinned: Tale) -> None:
    pinned.do(2.0, "restart")
    pinned.ask(3.0, "k", "b", sets="m")
    pinned.ask(4.0, "k", "c", sets="n")
    pinned.ask(5.0, "m", "c")
    assert [each.request for each in pinned.judge(contract(restart="lose")).violations] == ["r5"]


def test_stickiness_off_and_on_again(pinned: Tale) -> None:
    pinned.do(2.0, "affinity-off")
    pinned.ask(3.0, "k", "b")
    pinned.do(4.0, "affinity-on", done=5.0)
    pinned.ask(4.5, "k", "c")
    pinned.ask(6.0, "k", "a")
    assert kinds(pinned.judge(contract())) == []
    pinned.ask(7.0, "k", "b")
    assert kinds(pinned.judge(contract())) == [Kind.MOVED]


# Time.


def test_a_pin_ends_neither_early_nor_is_it_expected_to_outlive_its_duration(pinned: Tale) -> None:
    duration = {"value": "100s", "clock": "idle", "kept_by": "balancer"}
    pinned.offset = 90.0
    pinned.ask(3.0, "k", "b")
    assert kinds(pinned.judge(contract(duration=duration))) == [Kind.EXPIRED_EARLY]
    pinned.records[-2:] = []
    pinned.offset = 99.5
    pinned.ask(3.0, "k", "b")
    assert kinds(pinned.judge(contract(duration=duration))) == []


def test_an_idle_clock_restarts_and_an_absolute_one_does_not(pinned: Tale) -> None:
    def promise(clock: Any, kept_by: str = "balancer") -> Contract:
        return contract(duration={"value": "100s", "clock": clock, "kept_by": kept_by})

    pinned.offset = 60.0
    pinned.ask(3.0, "k", "a")
    pinned.offset = 120.0
    pinned.ask(5.0, "k", "b")
    assert kinds(pinned.judge(promise("idle"))) == [Kind.EXPIRED_EARLY]
    assert kinds(pinned.judge(promise("absolute"))) == []
    assert kinds(pinned.judge(promise(["idle", "absolute"]))) == []
    assert kinds(pinned.judge(promise("absolute", "client"))) == [Kind.MOVED]
    assert kinds(pinned.judge(promise("session"))) == [Kind.MOVED]


def test_the_clock_of_a_stale_value_may_stand_in_the_value(tale: Tale) -> None:
    duration = {"value": "100s", "clock": "idle", "kept_by": "balancer"}
    tale.ask(0.0, None, "a", sets="k")
    tale.offset = 60.0
    tale.ask(1.0, "k", "a", sets="m")
    tale.offset = 120.0
    tale.ask(2.0, "k", "b", sets="n")
    tale.ask(3.0, "m", "b", sets="o")
    assert [each.request for each in tale.judge(contract(duration=duration)).violations] == ["r4"]


def test_an_absolute_clock_runs_on_in_the_values_that_replace_the_first(tale: Tale) -> None:
    promised = contract(duration={"value": "100s", "clock": "absolute", "kept_by": "balancer"})
    tale.ask(0.0, None, "a", sets="k")
    tale.offset = 60.0
    tale.ask(1.0, "k", "a", sets="m")
    tale.offset = 90.0
    tale.ask(2.0, "m", "a")
    tale.offset = 120.0
    tale.ask(3.0, "m", "b")
    assert kinds(tale.judge(promised)) == []


def test_a_session_that_may_have_begun_anew_near_the_end_of_the_old_one_may_end_by_either() -> None:
    promised = contract("source-ip", duration={"value": "100s", "clock": "absolute", "kept_by": "balancer"})
    for moved, expected in ((190.0, [Kind.EXPIRED_EARLY]), (199.9, [])):
        tale = Tale()
        for t in (0.0, 99.8, 105.0):
            tale.ask(t, None, "a")
        tale.ask(moved, None, "b")
        assert kinds(tale.judge(promised)) == expected


def test_a_home_that_has_expired_calls_nobody_back(pinned: Tale) -> None:
    promised = contract(recovered="return", duration={"value": "100s", "clock": "idle", "kept_by": "balancer"})
    pinned.do(2.0, "health", "c", value=503)
    pinned.offset = 150.0
    pinned.ask(4.0, "k", "b")
    pinned.do(5.0, "health", "c", value=200)
    pinned.ask(6.0, "k", "b")
    assert kinds(pinned.judge(promised)) == []


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
