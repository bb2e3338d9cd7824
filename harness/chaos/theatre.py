"""Where walks are played: each on a fresh copy of a scenario's target, judged by the oracle for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from limpet.harness.chaos.walk import Step
from limpet.harness.chaos.walk_play import Play, Told
from limpet.harness.engine.copies import child_of, require_copies
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.engine.steady import restore
from limpet.harness.model.history import Record
from limpet.harness.model.violation import Kind, Violation


@dataclass(frozen=True)
class Performance:
    """What came of one play.

    Attributes:
        steps: what was played.
        told: each step, as it went.
        violations: what was wrong, oldest first.
        decided: how many requests could have shown a violation.
        requests: how many were sent.
        records: its history.
        begin: when it began, seconds of CLOCK_MONOTONIC.
        where: the step of the first violation, -1 without one.
    """

    steps: tuple[Step, ...]
    told: tuple[Told, ...]
    violations: tuple[Violation, ...]
    decided: int
    requests: int
    records: tuple[Record, ...]
    begin: float
    where: int

    @property
    def kind(self) -> Kind | None:
        """What was wrong first; None when nothing was."""
        return self.violations[0].kind if self.violations else None

    def essence(self) -> tuple[Step, ...]:
        """The steps up to the first violation, without those that had no sense."""
        played = {each.step for each in self.told if each.played}
        return tuple(step for number, step in enumerate(self.steps[: self.where + 1]) if number in played)


class Theatre:
    """Plays walks for a scenario.

    A balancer that limpet started is copied for each play. One that runs already is there once: it is brought back to
    a steady state before each play, and each has users of its own, because it may remember the earlier ones.

    Args:
        scenario: whose target it is; its own deployment stays as it is where copies can be made.
        seed: what users, their names and addresses, are drawn from; the same for each play on a copy.
    """

    def __init__(self, scenario: Scenario, seed: str) -> None:
        self._scenario = scenario
        self._seed = seed
        self._plays = 0
        try:
            require_copies(scenario)
            self.fresh = True
        except NotCheckable:
            self.fresh = False

    def play(self, steps: Sequence[Step]) -> Performance:
        """Plays a walk and judges it.

        Raises:
            SetupFault: the balancer could not be started or steered.
        """
        self._plays += 1
        with self._stage() as deployment:
            name = f"play{self._plays}"
            seed = self._seed if self.fresh else f"{self._seed}/{name}"
            child = child_of(self._scenario, deployment, name, seed=seed, cast=self._seed)
            play = Play(child)
            try:
                play.run(steps)
                return self._judged(child, play, tuple(steps))
            finally:
                child.close()
                deployment.deafen()
                self._scenario.waited += child.waited
                self._scenario.recorder.count_in(child.requests)
                child.recorder.close()
                child.recorder.path.unlink(missing_ok=True)  # what is to be kept goes into the scenario's own

    @contextmanager
    def _stage(self) -> Iterator[Deployment]:
        system = self._scenario.system
        if not self.fresh:
            if self._plays > 1:
                restore(system)
            yield system
            return
        deployment = system.copy(system.loaded)
        try:
            deployment.start()
            yield deployment
        finally:
            deployment.stop()

    def _judged(self, child: Scenario, play: Play, steps: tuple[Step, ...]) -> Performance:
        ended = not child.system.target.alive()
        if ended:
            child.broken(
                Kind.ERROR, f"the balancer's process ended; its last lines: {child.system.target.last_lines()}"
            )
        verdicts = child.judge()
        violations = sorted([*verdicts.violations, *child.violations], key=lambda each: each.t)
        arrived = child.arrived() if child.system.loaded.target.backends.owner == "limpet" else []
        return Performance(
            steps=steps,
            told=tuple(play.told),
            violations=tuple(violations),
            decided=verdicts.decided,
            requests=child.requests,
            records=(*child.recorder.records, *arrived),
            begin=play.told[0].t if play.told else 0.0,
            where=play.step_at(violations[0].t) if violations else -1,
        )
