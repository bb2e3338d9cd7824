"""What the trials say: which behaviours rejected a fault, which did not and why, and what no fault has shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limpet.harness.model.verdict import ExitCode, Result, Verdict
from limpet.harness.network.site import Name
from limpet.harness.selftest.faults import Fault
from limpet.harness.selftest.trials import Trial, Trials, Unfit

_KNOWN = (Verdict.HELD, Verdict.BROKEN, Verdict.OBSERVED)


@dataclass(frozen=True)
class Outcome:
    """A trial that was run."""

    trial: Trial
    right: Result
    wrong: Result
    activated: bool

    @property
    def noticed(self) -> bool:
        """Whether the faulty balancer was told from the right one, by whatever violation."""
        told_apart = self.wrong.verdict is Verdict.BROKEN and self.right.verdict is Verdict.HELD
        return told_apart and self.activated

    @property
    def rejected(self) -> bool:
        """Whether it was, by the violation that the fault has to provoke."""
        return self.noticed and any(each.kind in self.trial.fault.provokes for each in self.wrong.violations)

    @property
    def why_not(self) -> str:
        """Why that is no rejection ("" when it is one)."""
        if self.rejected:
            return ""
        if self.right.verdict is not Verdict.HELD:
            return f"on the right balancer it is {self.right.verdict}: {self.right.reason}"
        if self.wrong.verdict is Verdict.HELD:
            return "it held" if self.activated else "it held, and the fault was never activated"
        if self.wrong.verdict is not Verdict.BROKEN:
            return f"{self.wrong.verdict}: {self.wrong.reason}"
        if not self.activated:
            return f"broken, but the fault was never activated: {self.wrong.reason}"
        kinds = ", ".join(dict.fromkeys(each.kind for each in self.wrong.violations))
        return f"broken by {kinds}, not by {' or '.join(self.trial.fault.provokes)}: {self.wrong.reason}"


@dataclass(frozen=True)
class Catch:
    """What a declared catcher said about a fault on one target."""

    target: str
    catcher: str
    by: tuple[str, ...]
    why_not: str


@dataclass(frozen=True)
class FaultReport:
    """All that is known about one fault.

    Attributes:
        catches: one for each target and declared catcher.
        also: names of other behaviours that noticed it.
    """

    fault: Fault
    catches: tuple[Catch, ...]
    also: tuple[str, ...]

    @property
    def rejected(self) -> bool:
        """Whether every declared catcher rejected it."""
        return all(each.by for each in self.catches)


def report(fault: Fault, outcomes: Sequence[Outcome], unfit: Iterable[Unfit]) -> FaultReport:
    """What became of one fault."""
    mine = [each for each in outcomes if each.trial.fault is fault]
    missing = {(each.target, each.catcher): each.why for each in unfit if each.fault is fault}
    catches = []
    for target in fault.targets:
        for catcher in fault.caught_by:
            tried = [each for each in mine if each.right.target == target and each.trial.catcher == catcher]
            by = tuple(each.right.name for each in tried if each.rejected)
            reasons = [missing.get((target, catcher), "")] if not tried else [each.why_not for each in tried]
            catches.append(Catch(target, catcher, by, "" if by else "; ".join(dict.fromkeys(reasons))))
    others = {each.right.name for each in mine if each.noticed and not each.trial.catcher}
    return FaultReport(fault, tuple(catches), tuple(sorted(others)))


def missed(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The trials of declared catchers that rejected nothing, whatever variant of theirs was tried."""
    found: dict[tuple[str, str, str], list[Outcome]] = {}
    for each in outcomes:
        if each.trial.catcher:
            found.setdefault((each.trial.fault.name, each.right.target, each.trial.catcher), []).append(each)
    return [each for tried in found.values() if not any(one.rejected for one in tried) for each in tried]


def undrawn(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The trials that were only to cover a row whose events are drawn, where no fault was noticed by it: the faults did
    act, and what is drawn the next time may show it."""
    noticed = {each.right.key for each in outcomes if each.noticed}
    return [
        each
        for each in outcomes
        if not each.trial.catcher
        and each.trial.wrong.behaviour.lengthy
        and each.activated
        and each.right.key not in noticed
    ]


@dataclass(frozen=True)
class Report:
    """All that a selftest found.

    Attributes:
        again: what catchers missed with the first seed, after which they were given another one.
        accused: results of behaviours that reject the right balancer.
        undecided: results on the right balancer that say nothing.
        unproven: names of behaviours, each variant for itself, that are promised on these faults' targets (in a full
            selftest: on any target of the reference balancer) and that no fault has broken.
        blind: the behaviours among them of which no variant was broken by any fault.
        whole: all faults were tried, so that being blind is a shortcoming.
        network: where they were.
    """

    seed: int
    full: bool
    faults: tuple[FaultReport, ...]
    outcomes: tuple[Outcome, ...]
    accused: tuple[Result, ...]
    undecided: tuple[Result, ...]
    unproven: tuple[str, ...]
    blind: tuple[str, ...] = ()
    whole: bool = False
    again: tuple[Outcome, ...] = ()
    network: Name = "loopback"

    @property
    def code(self) -> ExitCode:
        """0, or 1 when anything is not as it must be; 3 and 4 when nothing is known because nothing could be run."""
        results = [each.wrong for each in self.outcomes] + [each.right for each in self.outcomes]
        blind = self.blind if self.full and self.whole else ()
        if not self.accused and not blind and all(each.rejected for each in self.faults):
            return ExitCode.HELD
        if results and all(each.verdict is Verdict.SETUP_FAILED for each in results):
            return ExitCode.SETUP
        if results and all(each.verdict is Verdict.HARNESS_ERROR for each in results):
            return ExitCode.HARNESS
        return ExitCode.BROKEN


def conclude(
    seed: int,
    faults: Sequence[Fault],
    planned: Trials,
    outcomes: Sequence[Outcome],
    *,
    again: Sequence[Outcome] = (),
    full: bool,
    whole: bool = False,
    network: Name = "loopback",
) -> Report:
    """The whole report, from the outcomes that count and those ``again`` that another seed's took the place of."""
    rights = {each.right.key: each.right for each in outcomes}
    # Whatever another seed says, of what the right balancer was once accused it was accused.
    accused = {each.right.key: each.right for each in (*again, *outcomes) if each.right.verdict is Verdict.BROKEN}
    promised = {name for names in planned.promised.values() for name in names}
    proven = {each.right.name for each in outcomes if each.noticed}
    return Report(
        seed=seed,
        full=full,
        faults=tuple(report(fault, outcomes, planned.unfit) for fault in faults),
        outcomes=tuple(outcomes),
        accused=tuple(accused.values()),
        undecided=tuple(each for each in rights.values() if each.verdict not in _KNOWN),
        unproven=tuple(sorted(promised - proven)),
        blind=tuple(sorted({_behaviour(each) for each in promised} - {_behaviour(each) for each in proven})),
        whole=whole,
        again=tuple(again),
        network=network,
    )


def missed_at_first(each: Outcome) -> str:
    """A sentence about a trial that got a second seed."""
    return f"{each.trial.fault.name} by {each.right.name} on {each.right.target}: {each.why_not}"


def together(names: Iterable[str]) -> list[str]:
    """Variants of one behaviour as one word: ``failover.modes[hang, reset]``."""
    variants: dict[str, list[str]] = {}
    for name in names:
        behaviour, _, variant = name.removesuffix("]").partition("[")
        variants.setdefault(behaviour, []).extend([variant] if variant else [])
    return [f"{behaviour}[{', '.join(own)}]" if own else behaviour for behaviour, own in variants.items()]


def outcome(trial: Trial, results: dict[str, Result]) -> Outcome | None:
    """A trial with its results, as soon as both are there."""
    right, wrong = results.get(trial.right.key), results.get(trial.wrong.key)
    if right is None or wrong is None:
        return None
    return Outcome(trial, right, wrong, trial.evidence.exists())


def _behaviour(name: str) -> str:
    """``failover.modes`` of ``failover.modes[hang]``."""
    return name.partition("[")[0]
