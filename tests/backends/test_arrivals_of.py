"""A scenario finds its own requests among those of all that share its backend."""

from __future__ import annotations

from limpet.harness.backends.recorder import HistoryTail, Recorder
from limpet.harness.model.history import Arrived


def _write(recorder: Recorder, *requests: str) -> None:
    for number, request in enumerate(requests):
        recorder.record(Arrived(request, float(number), "b1", "i1", "c1", "127.0.0.1:1"))


def test_only_the_requests_of_this_prefix_and_in_their_order(tmp_path):
    recorder, tail = Recorder(tmp_path / "history", keep=False), HistoryTail(tmp_path / "history")
    _write(recorder, "w1s1-1", "w1s11-1", "w1s1-2", "", "w1s1copy1-1", "w1s1-x-3", "w1s1")
    assert [each.id for each in tail.records_of("w1s1")] == ["w1s1-1", "w1s1-2", "w1s1-x-3"]
    assert [each.id for each in tail.records_of("w1s1-x")] == ["w1s1-x-3"]
    assert [each.id for each in tail.records_of("w1s11")] == ["w1s11-1"]
    assert tail.records_of("w1") == []
    for prefix in ("w1s1", "w1s1-x", "w1s11", "w1", "w1s1copy1"):  # what looking through all of them would find
        assert tail.records_of(prefix) == [each for each in tail.records() if each.id.startswith(f"{prefix}-")]


def test_what_comes_later_is_found_and_what_is_forgotten_is_not(tmp_path):
    recorder, tail = Recorder(tmp_path / "history", keep=False), HistoryTail(tmp_path / "history")
    _write(recorder, "s1-1")
    assert len(tail.records_of("s1")) == 1
    _write(recorder, "s1-2")
    assert [each.id for each in tail.records_of("s1")] == ["s1-1", "s1-2"]
    tail.forget()
    assert tail.records_of("s1") == []
    _write(recorder, "s1-3")
    assert [each.id for each in tail.records_of("s1")] == ["s1-3"]
