"""Known deviations in the judgement of a run: accepted where they happen, a failure where they no longer do."""

from __future__ import annotations

import pytest

from limpet.harness.model.verdict import Deviation, ExitCode, Result, Verdict, judge_run
from limpet.harness.model.violation import Kind, Violation

ENTRY = Deviation("failover.modes[hang]", "it keeps them", "1", "not reported")


def result(verdict: Verdict, deviation: Deviation | None = ENTRY) -> Result:
    return Result(
        target="t", product="p", profile="p/q", behaviour="failover.modes", variant="hang", verdict=verdict,
        reason="no longer happens", deviation=deviation,
    )  # fmt: skip


OTHER = Result(target="t", product="p", profile="p/q", behaviour="a.b", verdict=Verdict.HELD, reason="so it is")


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Verdict.KNOWN_DEVIATION, ExitCode.HELD),
        (Verdict.HELD, ExitCode.BROKEN),
        (Verdict.BROKEN, ExitCode.BROKEN),
        (Verdict.INCONCLUSIVE, ExitCode.HELD),
        (Verdict.NOT_CHECKABLE, ExitCode.HELD),
        (Verdict.SETUP_FAILED, ExitCode.SETUP),
    ],
)
def test_the_exit_code_of_a_run_with_an_entry(verdict: Verdict, code: ExitCode) -> None:
    assert judge_run([OTHER, result(verdict)]).code is code


def test_a_stale_entry_is_named_although_the_row_is_held() -> None:
    judgement = judge_run([OTHER, result(Verdict.HELD)])
    assert judgement.reasons == ("known deviation: t failover.modes[hang]: no longer happens",)
    assert judgement.summary == "held 2 of 2 promised"
    assert judge_run([OTHER, result(Verdict.HELD, None)]).code is ExitCode.HELD


def test_a_stale_entry_fails_an_interrupted_run_too() -> None:
    assert judge_run([OTHER, result(Verdict.HELD)], cut_from=9).code is ExitCode.BROKEN


def test_an_entry_names_rows_with_literal_brackets() -> None:
    assert ENTRY.names("failover.modes[hang]") and not ENTRY.names("failover.modesh")
    every = Deviation("failover.modes[*]", "", "", "")
    assert every.names("failover.modes[hang]") and not every.names("failover.modes")


def test_an_entry_may_accept_some_kinds_only() -> None:
    moved, error = Violation(Kind.MOVED, "x"), Violation(Kind.ERROR, "y")
    strict = Deviation("a.b", "", "", "", kinds=(Kind.MOVED,))
    assert strict.accepts([moved]) and not strict.accepts([moved, error])
    assert ENTRY.accepts([moved, error])
