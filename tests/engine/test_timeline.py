"""Waits overlap, slots bound the traffic, and a cancelled run lets nobody wait."""

from __future__ import annotations

import threading
import time

import pytest

from limpet.harness.engine.timeline import Cancelled, Timeline


def run_all(timeline: Timeline, works: list[object], priority: int = 1) -> list[threading.Thread]:
    def body(work: object) -> None:
        try:
            with timeline.slot(priority):
                work()  # type: ignore[operator]
        except Cancelled:
            pass

    threads = [threading.Thread(target=body, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_waits_overlap_although_there_is_one_slot() -> None:
    timeline = Timeline(1)
    begin = time.monotonic()
    join(run_all(timeline, [lambda: timeline.wait(0.4)] * 20))
    wall = time.monotonic() - begin
    assert timeline.waited >= 20 * 0.4
    assert wall < timeline.waited / 2, "the waits were not waited together"


def test_no_more_than_the_slots_send_traffic_at_once() -> None:
    timeline = Timeline(2)
    inside, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.001)
            with lock:
                inside -= 1
            timeline.wait(0.002)

    join(run_all(timeline, [work] * 12))
    assert most == 2


def test_who_comes_back_from_a_wait_goes_before_who_has_not_begun() -> None:
    timeline = Timeline(1)
    order: list[str] = []
    waiting, free = threading.Event(), threading.Event()

    def returns() -> None:
        waiting.set()
        timeline.wait(0.05)
        order.append("returned")

    def holds() -> None:
        waiting.wait(10)
        free.wait(10)

    first = run_all(timeline, [returns])
    assert waiting.wait(10)
    second = run_all(timeline, [holds])
    deadline = time.monotonic() + 10
    while timeline._free > 0 and time.monotonic() < deadline:  # until `holds` has the slot
        time.sleep(0.001)
    third = run_all(timeline, [lambda: order.append("began")])
    while len(timeline._queue) < 2 and time.monotonic() < deadline:  # both stand in the queue
        time.sleep(0.001)
    free.set()
    join([*first, *second, *third])
    assert order == ["returned", "began"]


def test_cancel_ends_waits_and_starts_nothing_new() -> None:
    timeline = Timeline(1)
    reached: list[str] = []

    def work() -> None:
        timeline.check()
        timeline.wait(3600)
        reached.append("after the wait")

    threads = run_all(timeline, [work] * 3)
    deadline = time.monotonic() + 10
    while timeline._free < 1 and time.monotonic() < deadline:
        time.sleep(0.001)
    timeline.cancel()
    join(threads)
    assert reached == []
    with pytest.raises(Cancelled), timeline.slot():
        timeline.check()
