"""Runs a selftest: all trials side by side, on the timeline that `limpet run` uses too."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from limpet.harness.chaos.proxies.wires import embedded
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.model.contract.catalogue import Catalogue
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.events import Event, ScenarioFinished
from limpet.harness.model.verdict import Result
from limpet.harness.network.site import Name
from limpet.harness.selftest.faults import Fault
from limpet.harness.selftest.outcomes import FaultReport, Outcome, Report, conclude, missed, outcome, report, undrawn
from limpet.harness.selftest.trials import Trial, Trials, anew, arrange, sampled

JSON = "selftest.json"
TABLE = "selftest.md"
MISSES = 0.01
"""The share of the trials that may be missed with one seed and are then tried with another one. Behaviours state with
which probability luck hides a fault from them; over a thousand trials that happens. A blind one misses it again."""

DEALS = 10
"""How often a catcher that plays what is drawn from its seed (a walk, a mixture of outages) may be dealt anew until it
comes upon the sequence of events that a fault needs. One run sees some of them; none is to be out of its reach."""

COVER_DEALS = 3
"""How often at the most that is done for a row which no catcher declares and somebody has to show able to fail."""

_AT_ONCE = 400
_LAST = 80
"""How many scenarios of a batch may still run when the next one begins: the last ones only wait."""

_OURS = (JSON, TABLE, "histories", "activated")


class Progress(Protocol):
    """Who is told how far it is."""

    def began(self, seed: int, trials: Trials) -> None:
        """The plan is made."""

    def result(self, result: Result, done: int, planned: int) -> None:
        """One scenario has its verdict."""

    def again(self, missed: Sequence[Outcome]) -> None:
        """These few trials are played once more, with another luck."""

    def fault(self, found: FaultReport) -> None:
        """Everything about one fault is known."""


@dataclass(frozen=True)
class Selftest:
    """What to run.

    Attributes:
        faults: to be rejected.
        behaviours: that have to reject them.
        out: where histories, evidence and `selftest.json` go.
        seed: None for a fresh one.
        full: every promised behaviour against every fault, and none may be there that no fault breaks.
        whole: all faults are tried, so that what none has broken means something.
        cover: the catalogues whose requirements are to be covered; None for a sample of other behaviours instead.
        network: where it is played. In a lab there is neither a sample nor a cover: those are loopback's.
    """

    faults: Sequence[Fault]
    behaviours: Sequence[Behaviour]
    out: Path
    seed: int | None = None
    full: bool = False
    whole: bool = False
    cover: Mapping[str, Catalogue] | None = None
    network: Name = "loopback"

    def run(self, progress: Progress) -> Report:
        """Runs it. Ctrl-C ends it and everything that it started.

        Raises:
            SetupFault: the output directory cannot be written.
        """
        evidence = _prepare(self.out)
        seed = self.seed if self.seed is not None else secrets.randbelow(1_000_000_000)
        planned = arrange(
            self.faults, self.behaviours, evidence, full=self.full, seed=seed, cover=self.cover, network=self.network,
            sample=sampled(len(self.faults)) if self.network == "loopback" else 0,
        )  # fmt: skip
        for trial in planned.trials:
            trial.evidence.parent.mkdir(parents=True, exist_ok=True)
        progress.began(seed, planned)
        follower = _Follower(self.faults, planned, progress)
        self._play(planned.jobs, seed, follower)
        outcomes, again = self._deal_anew(follower.outcomes, planned, seed, progress)
        for fault in follower.kept_back:
            progress.fault(report(fault, outcomes, planned.unfit))
        return conclude(
            seed, self.faults, planned, outcomes, again=again, full=self.full, whole=self.whole, network=self.network
        )

    def _deal_anew(
        self, outcomes: list[Outcome], planned: Trials, seed: int, progress: Progress
    ) -> tuple[list[Outcome], list[Outcome]]:
        """The outcomes that count, and those of earlier seeds whose place they took."""
        replaced: list[Outcome] = []
        for deal in range(DEALS):
            again = missed(outcomes)
            by_luck = [each for each in again if not each.trial.wrong.behaviour.lengthy]
            if deal or len(by_luck) > MISSES * len(planned.trials):
                again = [each for each in again if each not in by_luck]
            if self.cover is not None and deal < COVER_DEALS:
                again += undrawn(outcomes)
            if not again:
                break
            progress.again(again)
            once_more = _Follower((), replace(planned, trials=[anew(each.trial) for each in again]), progress)
            self._play(once_more.planned.jobs, seed, once_more)
            outcomes = [each for each in outcomes if each not in again] + once_more.outcomes
            replaced += again
        return outcomes, replaced

    def _play(self, jobs: Sequence[Job], seed: int, follower: _Follower) -> None:
        runners: list[Runner] = []
        with Lab(seed, [job.loaded for job in jobs], wires=embedded, network=self.network) as lab:
            try:
                for batch in _batches(jobs):
                    runners.append(Runner(lab, batch, self.out, follower.handle, name=f"b{len(runners) + 1}"))
                    runners[-1].start()
                    for before in runners[:-1]:
                        before.wait_for_all_but(0)
                    runners[-1].wait_for_all_but(_LAST)
                for runner in runners:
                    runner.wait_for_all_but(0)
            except BaseException:
                for runner in runners:
                    runner.cancel()
                raise


def _batches(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """Each scenario has a thread and maybe processes: a full selftest has thousands of scenarios."""
    for begin in range(0, len(jobs), _AT_ONCE):
        yield jobs[begin : begin + _AT_ONCE]


class _Follower:
    """Joins results to outcomes as they come, and tells of each fault as soon as it was rejected by all its catchers.

    Attributes:
        kept_back: the faults that were not, which may meet those catchers once more.
    """

    def __init__(self, faults: Sequence[Fault], planned: Trials, progress: Progress) -> None:
        self.planned = planned
        self.kept_back: list[Fault] = []
        self._progress = progress
        self._results: dict[str, Result] = {}
        self._total = len(planned.jobs)
        self._open: dict[str, list[Trial]] = {}
        self._waiting = {fault.name: 0 for fault in faults}  # who is not in it is told of by nobody
        self._faults = {fault.name: fault for fault in faults}
        self.outcomes: list[Outcome] = []
        for trial in planned.trials:
            if trial.fault.name in self._waiting:
                self._waiting[trial.fault.name] += 1
            for job in (trial.right, trial.wrong):
                self._open.setdefault(job.key, []).append(trial)
        for name, waiting in self._waiting.items():
            if not waiting:
                self._complete(name)

    def handle(self, event: Event) -> None:
        """Takes note of a result."""
        if not isinstance(event, ScenarioFinished):
            return
        key = event.result.key
        self._results[key] = event.result
        self._progress.result(event.result, len(self._results), self._total)
        for trial in self._open.pop(key, []):
            found = outcome(trial, self._results)
            if found is None:
                continue
            self.outcomes.append(found)
            name = trial.fault.name
            if name in self._waiting:
                self._waiting[name] -= 1
                if not self._waiting[name]:
                    self._complete(name)

    def _complete(self, name: str) -> None:
        found = report(self._faults[name], self.outcomes, self.planned.unfit)
        if found.rejected:
            self._progress.fault(found)
        else:
            self.kept_back.append(found.fault)


def _prepare(out: Path) -> Path:
    """Makes the output directory, without an earlier selftest's results; the folder for evidence."""
    try:
        for name in _OURS:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        evidence = out / "activated"
        evidence.mkdir(parents=True)
    except OSError as err:
        raise SetupFault(f"cannot be written: {err.strerror}", where=str(out), do="choose another --out") from err
    return evidence
