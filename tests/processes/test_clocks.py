"""Processes whose machine seems to have been started at another time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from limpet.harness.processes import clocks
from limpet.harness.processes.keeper import Keeper

AHEAD = 5_000_000.0
SAYS = "import time; print(time.monotonic(), flush=True)"


@pytest.mark.skipif(bool(clocks.no_time_namespace()), reason=clocks.no_time_namespace())
def test_its_clock_runs_ahead_and_its_signals_reach_it(tmp_path: Path, keeper: Keeper) -> None:
    plain = keeper.spawn([sys.executable, "-c", SAYS], output=tmp_path / "plain")
    ahead = keeper.spawn(clocks.shifted([sys.executable, "-c", SAYS], AHEAD), output=tmp_path / "ahead")
    assert [each.wait(30) for each in (plain, ahead)] == [0, 0]
    difference = float(ahead.last_lines()) - float(plain.last_lines())
    assert difference == pytest.approx(AHEAD, abs=600)
    sleeps = keeper.spawn(clocks.shifted(["sleep", "600"], AHEAD), output=tmp_path / "sleeps")
    sleeps.signal(15)
    assert sleeps.wait(30) == -15, "the process itself has the signal, not a parent in between"


def test_a_machine_without_them_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "PROGRAM", "no-such-program")
    clocks.no_time_namespace.cache_clear()
    try:
        assert clocks.no_time_namespace().startswith("this machine gives no time namespace: ")
    finally:
        clocks.no_time_namespace.cache_clear()
