"""A row that an entry names: what was found is called what it is, and nothing else is excused."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.plan import Job, plan
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.verdict import Deviation, RequirementRef, Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.targets.load import LoadedTarget, load
from limpet.harness.targets.override import Override

ENTRY = Deviation("some.behaviour", "it moves people", "1", "not reported", file="k.toml")
STRICT = Deviation("some.behaviour", "it moves people", "1", "not reported", kinds=(Kind.MOVED,))


def holds(s: Scenario) -> None:
    s.pinned().visit()


def moves(s: Scenario) -> None:
    holds(s)
    s.broken(Kind.MOVED, "Ana was sent to b2")


def fails(s: Scenario) -> None:
    holds(s)
    s.broken(Kind.ERROR, "Ana got nothing")


def undecided(s: Scenario) -> None:
    raise Inconclusive("too few")


def uncheckable(s: Scenario) -> None:
    raise NotCheckable("no such thing")


def ends(s: Scenario) -> None:
    moves(s)
    s.system.target.signal(signal.SIGSEGV)
    assert s.until(lambda: not s.system.target.alive(), 10)


@pytest.fixture(scope="module")
def loaded() -> LoadedTarget:
    return load("reference-lb-cookie-idle")


def judged(loaded: LoadedTarget, out: Path, test: Callable[[Scenario], None], known: Deviation, level: str) -> Result:
    spec = Behaviour("some.behaviour", test, 0.0, 99, alone=True)
    job = Job(loaded, spec, "", (RequirementRef("X-1", level, "some sentence", ("docs/x.md",)),), deviation=known)
    with Lab(1, [loaded]) as lab:
        runner = Runner(lab, [job], out, lambda _event: None)
        runner.start()
        return runner.result(job.key)


@pytest.mark.parametrize(
    ("test", "known", "level", "verdict", "reason"),
    [
        (moves, ENTRY, "must", Verdict.KNOWN_DEVIATION, "it moves people"),
        (moves, ENTRY, "should", Verdict.KNOWN_DEVIATION, "it moves people"),
        (moves, STRICT, "must", Verdict.KNOWN_DEVIATION, "it moves people"),
        (fails, STRICT, "must", Verdict.BROKEN, "Ana got nothing; no known deviation, which is moved"),
        (moves, ENTRY, "observe", Verdict.OBSERVED, "Ana was sent to b2"),
        (holds, ENTRY, "must", Verdict.HELD, 'no longer happens: remove the entry "some.behaviour" from k.toml'),
        (undecided, ENTRY, "must", Verdict.INCONCLUSIVE, "too few"),
        (uncheckable, ENTRY, "must", Verdict.NOT_CHECKABLE, "no such thing"),
        (ends, ENTRY, "must", Verdict.BROKEN, "no known deviation: its process ended"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", ""),
)
def test_verdicts_of_a_row_that_an_entry_names(
    loaded: LoadedTarget,
    tmp_path: Path,
    test: Callable[[Scenario], None],
    known: Deviation,
    level: str,
    verdict: Verdict,
    reason: str,
) -> None:
    result = judged(loaded, tmp_path, test, known, level)
    assert result.verdict is verdict and reason in result.reason
    assert result.deviation == known
    assert result.stale is (test is holds)
    if verdict is Verdict.KNOWN_DEVIATION:
        assert [each.kind for each in result.violations] == [Kind.MOVED], "what was seen stays"


def test_the_plan_joins_rows_with_entries_and_not_for_a_faulty_balancer(loaded: LoadedTarget) -> None:
    behaviour = Behaviour("affinity.holds", holds, 0.0, 99)
    known = replace(loaded, deviations=(Deviation("affinity.holds", "x", "1", "not reported"),))
    assert [job.deviation for job in plan(known, [behaviour])] == list(known.deviations)
    assert [job.deviation for job in plan(loaded, [behaviour])] == [None]
    for other in (replace(known, override=Override("a:b")), replace(known, sticky=False)):
        assert [job.deviation for job in plan(other, [behaviour])] == [None]
