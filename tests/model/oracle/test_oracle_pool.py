from __future__ import annotations

from limpet.harness.model.history import Control
from limpet.harness.model.oracle.pool import Pool


def test_a_change_is_possible_from_its_beginning_and_certain_once_settled() -> None:
    pool = Pool(["a", "b"], [Control("kill", 10.0, 12.0, "a")])
    before, meanwhile, after = pool.view(8, 9), pool.view(9, 11), pool.view(12, 13)
    assert before.sure_open == {"a", "b"}
    assert meanwhile.sure_open == {"b"}
    assert meanwhile.maybe_open == {"a", "b"}
    assert after.sure_open == {"b"}
    assert after.maybe_open == {"b"}
    assert after.mute == {"a"}


def test_windows_with_the_same_changes_share_a_view_and_others_do_not() -> None:
    pool = Pool(["a"], [Control("drain", 10.0, 12.0, "a")])
    assert pool.view(1, 2) is pool.view(3, 9.9)
    assert pool.view(1, 10) is not pool.view(1, 9.9)
    assert pool.view(12, 13) is not pool.view(11.9, 13)


def test_a_failing_health_path_silences_nobody_and_counts_only_where_it_is_looked_at() -> None:
    controls = [Control("health", 1.0, 2.0, "a", 503)]
    noticing, blind = Pool(["a"], controls).view(3, 4), Pool(["a"], controls, notices_health=False).view(3, 4)
    assert "a" in noticing.sure_down
    assert "a" in noticing.answering
    assert "a" in blind.maybe_down - blind.sure_down


def test_reviving_a_process_says_nothing_about_its_health_path() -> None:
    controls = [Control("health", 1, 2, "a", 503), Control("kill", 3, 4, "a"), Control("revive", 5, 6, "a")]
    view = Pool(["a"], controls).view(7, 8)
    assert "a" in view.maybe_down - view.sure_down
    assert "a" not in Pool(["a"], [*controls, Control("health", 9, 10, "a", 200)]).view(11, 12).maybe_down
    assert "a" not in Pool(["a"], [*controls, Control("normal", 9, 10, "a")]).view(11, 12).maybe_down


def test_slow_and_failing_backends_may_be_taken_for_dead_until_they_are_normal() -> None:
    pool = Pool(["a"], [Control("slow", 1, 2, "a", 5.0), Control("normal", 8, 9, "a")])
    assert "a" in pool.view(3, 4).maybe_down - pool.view(3, 4).sure_down
    assert "a" in pool.view(10, 11).sure_open


def test_a_backend_whose_partition_ends_before_its_latency_may_answer_again() -> None:
    cut = [Control("blackhole", 1, 2, "a", detail="partition"), Control("impair", 3, 4, "a", 0.05, detail="latency")]
    assert "a" in Pool(["a"], cut).view(5, 6).mute
    after = Pool(["a"], [*cut, Control("mend", 7, 8, "a")]).view(7.5, 7.6)
    assert "a" in after.maybe_open - after.sure_open and "a" in after.answering
    assert "a" in Pool(["a"], [*cut, Control("mend", 7, 8, "a", 1)]).view(9, 10).mute, "the partition is left"
    assert "a" in Pool(["a"], [*cut, Control("mend", 7, 8, "a"), Control("normal", 9, 10, "a")]).view(11, 12).sure_open


def test_replacing_is_leaving_and_joining_in_one() -> None:
    pool = Pool(["a"], [Control("replace", 5, 6, "a")])
    assert "a" in pool.view(5, 5.5).maybe_out - pool.view(5, 5.5).sure_out
    assert "a" in pool.view(4, 7).maybe_out
    assert "a" in pool.view(6, 7).sure_open


def test_a_backend_is_unknown_before_it_may_have_joined() -> None:
    pool = Pool(["a"], [Control("add", 5, 6, "b")])
    assert pool.view(1, 4).known == {"a"}
    assert pool.view(1, 5).maybe_open == {"a", "b"}
    assert pool.view(6, 7).sure_open == {"a", "b"}


def test_stopping_the_balancer_itself_counts_as_its_restart() -> None:
    view = Pool(["a"], [Control("kill", 5, 6), Control("start", 7, 8)]).view(6.5, 6.6)
    assert view.disturbed
    assert "restart" in Pool(["a"], [Control("kill", 5, 6), Control("start", 7, 8)]).view(1, 9).verbs


def test_a_later_change_wins_even_where_an_earlier_one_settles_after_it() -> None:
    pool = Pool(["a"], [Control("kill", 1, 9, "a"), Control("revive", 2, 3, "a")])
    assert "a" in pool.view(4, 5).sure_open
    assert "a" in pool.view(10, 11).sure_open
