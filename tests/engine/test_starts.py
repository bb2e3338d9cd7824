"""Whether a balancer refused its configuration, or limpet ended it, is told by who ended it and not by a watch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from limpet.harness.engine import copies
from limpet.harness.engine.outcome import Inconclusive
from limpet.harness.model.errors import EndedFault, SetupFault


def attempt(monkeypatch: pytest.MonkeyPatch, fault: SetupFault | None, code: int | None) -> copies.Start:
    """What comes of a copy whose start raises that and whose process has that exit code."""

    def start() -> None:
        if fault is not None:
            raise fault

    target = SimpleNamespace(last_lines=lambda: "60d is above the maximum", exit_code=lambda: code)
    deployment = SimpleNamespace(start=start, stop=lambda: None, target=target)
    scenario: Any = SimpleNamespace(system=SimpleNamespace(copy=lambda _loaded: deployment))
    monkeypatch.setattr(copies, "require_copies", lambda _scenario: None)
    loaded: Any = None
    return copies.try_to_start(scenario, loaded)


def test_a_balancer_that_ended_with_a_code_refused_however_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    start = attempt(monkeypatch, EndedFault("the balancer ended while starting"), 1)
    assert start.refused and start.exit_code == 1 and "above the maximum" in start.words


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (EndedFault("the balancer ended while starting"), -9),
        (EndedFault("the balancer ended while starting"), 0),
        (SetupFault("the balancer was not ready after 10 s"), 1),  # it took limpet's signal for an error
        (SetupFault("its fingerprint is not there"), 1),
    ],
)
def test_a_balancer_that_limpet_or_a_signal_ended_refused_nothing(
    monkeypatch: pytest.MonkeyPatch, fault: SetupFault, code: int
) -> None:
    with pytest.raises(Inconclusive):
        attempt(monkeypatch, fault, code)


def test_what_was_never_launched_is_a_fault_of_the_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupFault, match="no such binary"):
        attempt(monkeypatch, SetupFault("no such binary"), None)
