"""What was undecided beside other scenarios is played once more by itself; what was decided never is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.crew import Crew
from limpet.harness.engine.outcome import Inconclusive
from limpet.harness.engine.plan import Job
from limpet.harness.engine.scenario import Scenario
from limpet.harness.engine.second_look import AT_LEAST
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.events import Event, ScenarioFinished
from limpet.harness.model.verdict import RequirementRef, Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.targets.load import load

REQUIREMENT = RequirementRef("X-1", "must", "some sentence", ("docs/x.md",))
LOADED = load("reference-lb-cookie-idle")
Test = Callable[[Scenario], None]


def decides(s: Scenario) -> None:
    user = s.pinned()
    for _ in range(3):
        user.visit()


def plays(folder: Path, name: str, first: Test, then: Test = decides) -> Test:
    """A scenario that leaves a line each time that it is played, and goes on as ``first`` the first time only."""

    def test(s: Scenario) -> None:
        path = folder / name
        before = path.exists()
        with path.open("a") as file:
            file.write("played\n")
        (then if before else first)(s)

    return test


def decides_little(s: Scenario) -> None:
    s.pinned().visit()


def undecided(_: Scenario) -> None:
    raise Inconclusive("too slow")


def fails(_: Scenario) -> None:
    raise SetupFault("nothing answers")


def breaks(s: Scenario) -> None:
    s.broken(Kind.MOVED, "moved", s.pinned().visit())


def run(folder: Path, tests: dict[str, Test], sees: float | None = None) -> tuple[dict[str, Result], list[Event]]:
    jobs = [
        Job(LOADED, Behaviour(name, test, 0.0, 99, touches="backends", sees=sees), "", (REQUIREMENT,))  # type: ignore[arg-type]
        for name, test in tests.items()
    ]
    events: list[Event] = []
    crew = Crew(1, jobs, folder / "out", events.append, processes=2)
    crew.start()
    try:
        return {each.behaviour.id: crew.result(each.key) for each in jobs}, events
    finally:
        crew.close()


def times(folder: Path, name: str) -> int:
    return len((folder / name).read_text().splitlines())


@pytest.mark.parametrize(("first", "was"), [(undecided, "inconclusive"), (fails, "setup failed")])
def test_what_was_undecided_is_played_again_and_says_so(tmp_path: Path, first: Test, was: str) -> None:
    results, events = run(tmp_path, {"own.slow": plays(tmp_path, "slow", first), "own.other": decides})
    slow = results["own.slow"]
    assert slow.verdict is Verdict.HELD
    assert times(tmp_path, "slow") == 2
    assert slow.at_first.startswith(was) and slow.at_first in slow.reason
    assert results["own.other"].at_first == ""
    finished = [each.result.key for each in events if isinstance(each, ScenarioFinished)]
    assert sorted(finished) == sorted({*finished}), "each result is told once"


def test_what_is_undecided_twice_stays_so(tmp_path: Path) -> None:
    results, _ = run(tmp_path, {"own.slow": plays(tmp_path, "slow", undecided, undecided), "own.other": decides})
    assert results["own.slow"].verdict is Verdict.INCONCLUSIVE
    assert times(tmp_path, "slow") == 2


def test_what_breaks_the_second_time_is_broken(tmp_path: Path) -> None:
    results, _ = run(tmp_path, {"own.slow": plays(tmp_path, "slow", undecided, breaks), "own.other": decides})
    assert results["own.slow"].verdict is Verdict.BROKEN


def test_what_was_decided_is_never_played_again(tmp_path: Path) -> None:
    results, _ = run(
        tmp_path, {"own.bad": plays(tmp_path, "bad", breaks), "own.good": plays(tmp_path, "good", decides)}
    )
    assert results["own.bad"].verdict is Verdict.BROKEN
    assert (times(tmp_path, "bad"), times(tmp_path, "good")) == (1, 1)


def test_what_held_on_less_than_it_says_it_needs_is_played_again_and_says_so(tmp_path: Path) -> None:
    test = plays(tmp_path, "weak", decides_little)
    results, _ = run(tmp_path, {"own.weak": test, "own.other": decides}, sees=0.7)
    weak, other = results["own.weak"], results["own.other"]
    assert (weak.verdict, other.verdict) == (Verdict.HELD, Verdict.HELD)
    assert times(tmp_path, "weak") == 2
    assert weak.at_first.startswith("held") and not weak.falls_short
    assert other.at_first == "", "three decisive answers show what spoils 0.63 of all"


def test_what_held_on_little_and_breaks_by_itself_is_broken(tmp_path: Path) -> None:
    test = plays(tmp_path, "weak", decides_little, breaks)
    results, _ = run(tmp_path, {"own.weak": test, "own.other": decides}, sees=0.7)
    assert results["own.weak"].verdict is Verdict.BROKEN


def test_what_ran_by_itself_is_not_played_again(tmp_path: Path) -> None:
    results, _ = run(tmp_path, {"own.slow": plays(tmp_path, "slow", undecided)})
    assert results["own.slow"].verdict is Verdict.INCONCLUSIVE
    assert times(tmp_path, "slow") == 1


def test_a_run_that_mostly_fails_is_not_played_twice(tmp_path: Path) -> None:
    many = AT_LEAST + 3
    results, _ = run(tmp_path, {f"own.{n}": plays(tmp_path, f"{n}", undecided, undecided) for n in range(many)})
    assert {each.verdict for each in results.values()} == {Verdict.INCONCLUSIVE}
    assert sum(times(tmp_path, f"{n}") for n in range(many)) == many + AT_LEAST
