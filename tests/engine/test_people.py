"""How long users of a certain backend are looked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from limpet.harness.engine import people
from limpet.harness.engine.people import People


@pytest.mark.parametrize(("each", "tries"), [(1 / 1024, 450), (1 / 16, 30 + 161), (1.0, 90)])
def test_a_balancer_that_answers_fast_is_asked_more_often(
    monkeypatch: pytest.MonkeyPatch, each: float, tries: int
) -> None:
    """Ninety times with three members whatever that takes, and as often as fits into ten seconds after the pause."""
    now, pauses = 0.0, 0

    def pause() -> None:
        nonlocal now, pauses
        now += 5.0
        pauses += 1

    monkeypatch.setattr(people, "time", SimpleNamespace(monotonic=lambda: now))
    scenario: Any = SimpleNamespace(n=3, _bide=pause)
    made = 0
    for _ in People._draws(scenario, 1):
        made += 1
        now += each
    assert (made, pauses) == (tries, 1)
