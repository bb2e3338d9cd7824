"""On a machine where everybody is late nobody is accused of what being late explains, and of everything else still."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from limpet.harness.engine.excuses import MOST, accusing
from limpet.harness.model.violation import Kind, Violation
from limpet.harness.processes.crowding import EVERY, STRETCH, Crowding

CORES = len(os.sched_getaffinity(0))


def crowd(*stretches: tuple[float, float, float]) -> Crowding:
    """From, until, processes for each core; nothing is looked at by itself."""
    found = Crowding(Path("/nonexistent"))
    for begin, end, each in stretches:
        when = begin
        while when < end:
            found.note(when, round(each * CORES))
            when += EVERY
    return found


def test_a_crowd_is_an_average_over_a_stretch_and_not_a_moment() -> None:
    moment = crowd((0, 20, 1), (20, 20.3, 60), (20.3, 40, 1))
    assert moment.worst(0, 40) < MOST
    assert crowd((0, 20, 1), (20, 30, 50), (30, 40, 1)).worst(0, 40) == pytest.approx(50, abs=2)
    assert crowd((0, STRETCH / 4, 50)).worst(0, 40) == 0.0, "too short to be said"


def test_the_crowd_of_another_time_excuses_nothing() -> None:
    crowded = crowd((0, 30, 50), (30, 300, 1))
    late = Violation(Kind.MOVED, "moved", t=250.0)
    assert accusing([late], crowded, 0.0) == ([late], "")
    early = Violation(Kind.MOVED, "moved", t=25.0)
    standing, why = accusing([early, late], crowded, 0.0)
    assert standing == [late] and "50 processes" in why


def test_what_stands_in_a_response_is_wrong_on_any_machine() -> None:
    crowded = crowd((0, 30, 50))
    wrong = Violation(Kind.COOKIE_ATTRIBUTE, "no HttpOnly", t=20.0)
    standing, why = accusing([Violation(Kind.ERROR, "timeout", t=19.0), wrong], crowded, 0.0)
    assert standing == [wrong] and why
    assert accusing([wrong], crowded, 0.0) == ([wrong], "")


def test_a_quiet_machine_and_one_that_cannot_be_looked_at_excuse_nothing() -> None:
    late = Violation(Kind.ERROR, "timeout", t=20.0)
    assert accusing([late], crowd((0, 60, MOST - 1)), 0.0) == ([late], "")
    assert accusing([late], crowd(), 0.0) == ([late], "")


def test_the_kernels_count_is_read(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(f"cpu 1 2 3\nprocs_running {30 * CORES}\nprocs_blocked 0\n")
    looking = Crowding(stat)
    looking.watch()
    try:
        begin = time.monotonic()
        while looking.worst(begin, time.monotonic()) == 0.0:
            assert time.monotonic() < begin + 60
            time.sleep(0.1)
        assert looking.worst(begin, time.monotonic()) == pytest.approx(30)
    finally:
        looking.close()
