"""How a fault is told: over lines to people, on one line in tables, and several of them at once."""

from __future__ import annotations

import pytest

from limpet.harness.model.errors import SetupFault, UsageFault, together


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (SetupFault("it ended"), "it ended"),
        (SetupFault("it ended", where="lb"), "lb: it ended"),
        (SetupFault("no answer", where="lb", do="Is it running?"), "lb: no answer. Is it running?"),
        (SetupFault("no answer.", do="Is it running?"), "no answer. Is it running?"),
        (SetupFault("command not found", where="lb", do="install it"), "lb: command not found; install it"),
        (UsageFault("2 problems\n  a: is missing\n  b: no", where="t"), "t: 2 problems: a: is missing; b: no"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_sentences_of_a_reason_are_separated(fault: SetupFault | UsageFault, reason: str) -> None:
    assert fault.reason == reason
    assert fault.detail == ""


def test_of_a_programs_output_a_table_gets_the_last_line() -> None:
    fault = SetupFault("it ended", where="lb", do="The balancer's last output:\n    one\n    two")
    assert fault.reason == "lb: it ended. The balancer's last output: … two"
    assert SetupFault("it ended", do="Its last output:\n    one\n").reason == "it ended. Its last output: one"
    assert SetupFault("it ended", do="  one\ntwo\n").reason == "it ended. … two"
    assert fault.detail.endswith("one\n    two") and fault.detail in str(fault)


def test_several_faults_are_one_that_tells_each_once() -> None:
    first, second = UsageFault("is wrong", where="a", do="Mend it."), UsageFault("is missing", where="b")
    assert together([first, UsageFault("is wrong", where="a", do="Mend it.")]) is not second
    assert str(together([first])) == str(first)
    assert str(together([first, second, first])) == f"{first}\n{second}"
    with pytest.raises(ValueError, match="no fault"):
        together([])
