"""What failover, recovery and membership may do to a pin. One rule a test, on hand-written histories."""

from __future__ import annotations

import itertools

from limpet_oracle_tale import Tale, contract, kinds

from limpet.harness.model.history import Arrived
from limpet.harness.model.violation import Kind

# Failover and recovery.


def test_after_a_failover_it_is_one_new_backend(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.ask(3.0, "k", "b")
    pinned.ask(4.0, "k", "c")
    assert kinds(pinned.judge(contract())) == [Kind.NOT_REPINNED]
    assert kinds(pinned.judge(contract(unhealthy="reroute"))) == []
    assert kinds(pinned.judge(contract(unhealthy=None))) == []


def test_who_asks_no_backend_how_it_is_may_meet_a_dead_one_again_when_its_time_is_over(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    for t in (3.0, 3.5, 4.05, 4.6):  # the third one's connection was begun a little before it was sent
        pinned.ask(t, "k", "", status=502)
    verdicts = pinned.judge(contract(in_request="may-fail"), notices_health=False, retried=1.0)
    assert [each.request for each in verdicts.violations] == ["r4", "r6"]
    assert set(kinds(verdicts)) == {Kind.NO_FAILOVER}


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


def test_nobody_says_where_home_is_once_the_first_one_was_removed(pinned: Tale) -> None:
    pinned.do(2.0, "kill", "a")
    pinned.ask(3.0, "k", "b")
    pinned.do(4.0, "remove", "a")
    pinned.ask(5.0, "k", "b")
    pinned.do(6.0, "kill", "b")
    pinned.ask(7.0, "k", "c")
    pinned.do(8.0, "revive", "b")
    stays, goes = pinned, Tale()
    goes.records, goes._ids = list(pinned.records), itertools.count(50)
    stays.ask(9.0, "k", "c")
    goes.ask(9.0, "k", "b")
    for each in (stays, goes):
        assert kinds(each.judge(contract(recovered="return"))) == []


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


def test_the_name_of_another_server_goes_on_naming_that_one() -> None:
    """Many users have it: that one of them got it as a stand-in's name says nothing about who has it of old."""

    def told(value: str | None) -> list[Kind]:
        tale = Tale()
        tale.ask(0.0, None, "a", sets="ka")
        tale.ask(0.5, None, "b", sets="kb", client="y")
        tale.ask(1.0, "kb", "b", client="y")
        tale.do(2.0, "kill", "a")
        tale.ask(3.0, "ka", "b", sets="kb")
        tale.do(4.0, "revive", "a")
        tale.ask(6.0, "kb", "a", client="y")
        promised = contract(unhealthy=["repin", "reroute"], cookie={"name": "S", "value": value})
        return kinds(tale.judge(promised))

    assert told("server-id") == [Kind.MOVED]
    assert told(None) == []
