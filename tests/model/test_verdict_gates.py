"""What a gate demands: a glob what is promised, a name that is written out that very thing."""

from __future__ import annotations

import pytest

from limpet.harness.model.verdict import ExitCode, Gate, Result, Verdict, judge_run


def result(name: str, verdict: Verdict) -> Result:
    behaviour, _, variant = name.partition("[")
    return Result(
        target="t", product="p", profile="p/q", behaviour=behaviour, variant=variant.rstrip("]"), verdict=verdict,
        reason="so it is",
    )  # fmt: skip


def code(pattern: str, *results: Result) -> ExitCode:
    return judge_run(results, [Gate(pattern)]).code


HELD = result("affinity.holds", Verdict.HELD)
UNPROMISED = (Verdict.NOT_PROMISED, Verdict.OBSERVED)


@pytest.mark.parametrize("verdict", UNPROMISED)
def test_a_glob_passes_over_what_is_not_promised(verdict: Verdict) -> None:
    assert code("affinity.*", HELD, result("affinity.spread", verdict)) is ExitCode.HELD
    assert code("affinity.s*", HELD, result("affinity.spread", verdict)) is ExitCode.UNDECIDED, "nothing of it is held"


@pytest.mark.parametrize("verdict", UNPROMISED)
def test_a_name_that_is_written_out_must_be_held(verdict: Verdict) -> None:
    assert code("affinity.spread", HELD, result("affinity.spread", verdict)) is ExitCode.UNDECIDED
    assert code("affinity.holds", HELD, result("affinity.spread", verdict)) is ExitCode.HELD


def test_a_glob_may_ask_for_one_variant_of_all() -> None:
    hang = result("failover.modes[hang]", Verdict.INCONCLUSIVE)
    kill = result("failover.modes[kill]", Verdict.HELD)
    assert code("failover.*[hang]", hang, kill) is ExitCode.UNDECIDED
    assert code("failover.*[kill]", hang, kill) is ExitCode.HELD


@pytest.mark.parametrize("pattern", ["failover.modes", "failover.modes[hang]"])
def test_the_brackets_of_a_variant_are_no_glob(pattern: str) -> None:
    kill = result("failover.modes[kill]", Verdict.HELD)
    assert code(pattern, kill, result("failover.modes[hang]", Verdict.HELD)) is ExitCode.HELD
    assert code(pattern, kill, result("failover.modes[hang]", Verdict.OBSERVED)) is ExitCode.UNDECIDED
    assert code("failover.modes[kill]", kill, result("failover.modes[hang]", Verdict.OBSERVED)) is ExitCode.HELD


@pytest.mark.parametrize("pattern", ["affinity.*", "affinity.spread"])
def test_a_known_deviation_satisfies_a_gate_and_an_undecided_row_does_not(pattern: str) -> None:
    assert code(pattern, result("affinity.spread", Verdict.KNOWN_DEVIATION)) is ExitCode.HELD
    assert code(pattern, HELD, result("affinity.spread", Verdict.INCONCLUSIVE)) is ExitCode.UNDECIDED


def test_an_interrupted_run_says_so_before_anything_else_and_is_no_success() -> None:
    silent = [result(f"cookie.{number}", Verdict.NOT_PROMISED) for number in range(5)]
    cut = judge_run([HELD, *silent], cut_from=48)
    assert cut.summary == "interrupted, 1 of 43 planned rows judged: held 1 of 1 promised"
    assert cut.code is ExitCode.UNDECIDED
    broken = judge_run([HELD, result("cookie.parser", Verdict.BROKEN)], cut_from=48)
    assert broken.code is ExitCode.BROKEN and broken.summary.startswith("interrupted, 2 of 48")
    assert judge_run([HELD]).summary == "held 1 of 1 promised"


@pytest.mark.parametrize("verdict", [Verdict.HELD, Verdict.OBSERVED, Verdict.INCONCLUSIVE])
def test_an_interrupted_run_does_not_deny_what_it_judged(verdict: Verdict) -> None:
    silent = result("cookie.parser", Verdict.NOT_PROMISED)
    cut = judge_run([result("affinity.holds", verdict), silent], cut_from=48)
    assert cut.reasons == ("interrupted: what was not judged may be broken",)
    assert judge_run([silent], cut_from=48).reasons == ("interrupted: nothing was judged yet",)


def test_a_run_without_a_held_row_says_what_it_had_instead() -> None:
    def why(*verdicts: Verdict) -> str:
        (reason,) = judge_run([result(f"a.{each}", each) for each in verdicts]).reasons
        return reason

    assert why() == why(Verdict.NOT_PROMISED) == why(Verdict.NOT_CHECKABLE) == "nothing was checked"
    assert "nothing is promised" in why(Verdict.OBSERVED)
    assert "could be decided" in why(Verdict.OBSERVED, Verdict.INCONCLUSIVE)
    assert why(Verdict.SETUP_FAILED).startswith("nothing could be started")
    assert why(Verdict.SETUP_FAILED, Verdict.INCONCLUSIVE).startswith("1 rows could not"), "another one was started"
