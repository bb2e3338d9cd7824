"""Keyless crowds, users who share a raw connection, and what is merely observed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from limpet.harness.engine import crowd as crowds
from limpet.harness.engine.answers import cookies_of, main_cookies
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.crowd import crowd, hands_of, recognises_nobody
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.outcome import Observed
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Sent, read
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.targets.load import load

IDLE = "reference-lb-cookie-idle"


def judged(tmp_path: Path, test: Callable[[Scenario], None], target: str = IDLE, **facts: object) -> Result:
    loaded = load(target)
    job = Job(
        loaded,
        Behaviour("some.behaviour", test, 0.0, 999, **facts),  # type: ignore[arg-type]
        "",
        (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),),
    )
    with Lab(1, [loaded]) as lab:
        runner = Runner(lab, [job], tmp_path, lambda _event: None)
        runner.start()
        return runner.result(job.key)


def test_a_crowd_brings_no_cookies_and_comes_in_a_random_order(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        users = [s.client() for _ in range(4)]
        hands = hands_of(crowd(s, users, 15))
        assert {name: hand.total() for name, hand in hands.items()} == {user.name: 15 for user in users}
        recognises_nobody(s, hands, "the crowd", 1e-6)

    result = judged(tmp_path, test)
    assert (result.verdict, result.decided) == (Verdict.HELD, 60), result.reason
    sent = [each for each in read((tmp_path / result.history).open("rb")) if isinstance(each, Sent)]
    assert not [each for each in sent if any(name == "Cookie" for name, _ in each.headers)]
    assert len({each.connection for each in sent}) == 60
    order = [each.client for each in sent]
    assert order != sorted(order, key=order.index)


def test_a_load_carries_the_cookies_of_its_users_and_brings_new_ones(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        users = [user for group in s.pinned_to_each(3).values() for user in group]
        homes = {user.name: user.backend for user in users}
        before = {user.name: user.key for user in users}
        for each in crowds.load(s, users, 4):
            s.expect(each.backend == homes[each.client], Kind.MOVED, f"{each.client} moved")
        assert all(user.key != before[user.name] for user in users), "each answer gives a new value"

    result = judged(tmp_path, test)
    assert (result.verdict, result.violations) == (Verdict.HELD, ()), result.reason


def test_a_load_keeps_sessions_of_the_application(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        users = [user for group in s.pinned_to_each(2).values() for user in group]
        homes = {user.name: user.backend for user in users}
        for each in crowds.load(s, users, 3):
            s.expect(each.backend == homes[each.client] and not each.set_cookies, Kind.MOVED, f"{each.client} moved")

    assert judged(tmp_path, test, "reference-app-cookie").verdict is Verdict.HELD


def test_open_requests_keep_a_balancer_that_counts_them_even(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        counts = sum(hands_of(crowd(s, [s.client() for _ in range(30)], 1)).values(), Counter())
        s.expect(max(counts.values()) - min(counts.values()) <= 3, Kind.NOT_BALANCED, f"uneven: {counts}")

    assert judged(tmp_path, test, "reference-least-connections").verdict is Verdict.HELD


def test_two_users_on_one_connection_keep_each_their_own_cookies(tmp_path: Path) -> None:
    def test(s: Scenario) -> None:
        first, second = s.pinned("b1"), s.pinned("b2")
        with first.raw() as connection:
            for _ in range(3):
                before = first.key
                assert first.over(connection).backend == "b1"
                assert second.over(connection).backend == "b2"
                assert first.key not in (before, second.key)
            assert first.last is not None
            names = [each.name for each in cookies_of(first.last, s.contract)]
            assert [each.name for each in main_cookies(first.last, s.contract)] == names[:1]

    result = judged(tmp_path, test)
    assert (result.verdict, result.decided) == (Verdict.HELD, 6), result.reason


def test_what_nothing_promises_is_observed_unless_something_else_is_broken(tmp_path: Path) -> None:
    def sees(s: Scenario) -> None:
        s.pinned().visit()
        raise Observed("it was blue")

    def breaks(s: Scenario) -> None:
        s.broken(Kind.ERROR, "and it fell down")
        raise Observed("it was blue")

    result = judged(tmp_path / "sees", sees)
    assert (result.verdict, result.reason) == (Verdict.OBSERVED, "it was blue")
    assert judged(tmp_path / "breaks", breaks).verdict is Verdict.BROKEN


def test_a_verb_that_only_one_variant_needs_is_asked_for_in_it(tmp_path: Path) -> None:
    result = judged(tmp_path, lambda s: s.need("rotate_keys"), "reference-source-ip")
    assert result.verdict is Verdict.NOT_CHECKABLE
    assert "rotate_keys" in result.reason


def test_weights_may_belong_to_a_variant() -> None:
    spec = Behaviour("some.behaviour", lambda _s: None, 0.0, 9, weights={"weighted": (1, 2, 3)})
    assert spec.weights_for("weighted") == (1, 2, 3)
    assert spec.weights_for("equal") == (1, 1, 1)


def test_an_empty_list_states_nothing() -> None:
    spec = Behaviour("some.behaviour", lambda _s: None, 0.0, 9, fields=("cookie.twins",))
    assert not spec.unpromised(load(IDLE).contract)
    assert "cookie.twins" in spec.unpromised(load("reference-lb-cookie-absolute").contract)
