"""Between two batches of very many clients limpet waits for ends that are still to come, and for no others."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from limpet.harness.engine import swarming
from limpet.harness.engine.scenario import Scenario


def looks_until_at_rest(counts: Iterator[int]) -> int:
    """How often the connections of a balancer were counted before it was at rest; each count is the next of these."""
    looks = 0

    def connections() -> int:
        nonlocal looks
        looks += 1
        return next(counts)

    def until(condition: Callable[[], bool], _timeout: float) -> bool:
        for _ in range(10_000):
            if condition():
                return True
            time.sleep(0.001)
        raise AssertionError("never at rest")

    servers = SimpleNamespace(connections=connections)
    scenario = SimpleNamespace(until=until, system=SimpleNamespace(_servers=servers))
    swarming._come_to_rest(cast(Scenario, scenario))
    return looks


def test_who_ends_its_connections_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarming, "_STILL", math.inf)
    assert looks_until_at_rest(iter([3000, 2000, 2000, 700, 60, 50, 0])) == 6


def test_who_keeps_some_for_later_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarming, "_STILL", 0.01)
    assert looks_until_at_rest(itertools.chain([3000, 400], itertools.repeat(128))) > 3
