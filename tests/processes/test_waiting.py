from __future__ import annotations

from collections.abc import Callable

import pytest

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.waiting import NotYet, wait_until


def test_the_first_value_that_is_met_is_returned() -> None:
    values = iter([None, None, 0])
    assert wait_until(lambda: next(values), timeout=5, what="a number", interval=0) == 0


def test_false_is_not_met() -> None:
    values = iter([False, True])
    assert wait_until(lambda: next(values), timeout=5, what="truth", interval=0) is True


def _raise(err: Exception) -> Callable[[], None]:
    def condition() -> None:
        raise err

    return condition


@pytest.mark.parametrize(
    ("condition", "seen"),
    [
        (lambda: None, "nothing"),
        (lambda: False, "not so"),
        (_raise(NotYet("status 502")), "status 502"),
        (_raise(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (_raise(TimeoutError()), "TimeoutError"),
    ],
)
def test_a_timeout_says_what_was_waited_for_and_last_seen(condition: Callable[[], object], seen: str) -> None:
    with pytest.raises(SetupFault, match=rf"waited 0\.01 s for the moon.*{seen}"):
        wait_until(condition, timeout=0.01, what="the moon", interval=0.001)


def test_other_faults_of_the_condition_are_not_swallowed() -> None:
    with pytest.raises(SetupFault, match="dead"):
        wait_until(_raise(SetupFault("it is dead")), timeout=60, what="life")
