"""What a selftest will run: each behaviour against a faulty balancer, and with the same luck against the right one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.plan import Job, matches, plan
from limpet.harness.model.contract.catalogue import Catalogue
from limpet.harness.model.contract.validation import nearest
from limpet.harness.network.site import Name
from limpet.harness.selftest.faults import Fault
from limpet.harness.targets.load import LoadedTarget, load, names
from limpet.harness.targets.override import Override

ENTRY = "limpet.harness.selftest.entry:main"

_SAMPLED = 400
_SAMPLED_OF_ONE = 4


@dataclass(frozen=True)
class Trial:
    """One behaviour, or one variant of it, against one fault.

    Attributes:
        wrong: it on the faulty balancer. right: it on the right one, with the same luck.
        catcher: the glob of `Fault.caught_by` that means it ("" for a behaviour that is only tried).
        evidence: the file that exists when the fault was activated in this very run.
    """

    fault: Fault
    right: Job
    wrong: Job
    catcher: str
    evidence: Path


@dataclass(frozen=True)
class Unfit:
    """A declared catcher that cannot even be tried on a target, and why."""

    fault: Fault
    target: str
    catcher: str
    why: str


@dataclass
class Trials:
    """Everything that will be run.

    Attributes:
        promised: for each target, the names of the jobs that the right balancer can be judged by.
    """

    trials: list[Trial] = field(default_factory=list)
    unfit: list[Unfit] = field(default_factory=list)
    promised: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def jobs(self) -> list[Job]:
        """Each job once: many faults share one run of the right balancer."""
        found = {job.key: job for trial in self.trials for job in (trial.right, trial.wrong)}
        return list(found.values())


def anew(trial: Trial) -> Trial:
    """The same trial with another luck; that the fault was activated has to be shown again."""
    trial.evidence.unlink(missing_ok=True)
    luck = f"{trial.right.luck or trial.right.key} again"
    return replace(trial, right=replace(trial.right, luck=luck), wrong=replace(trial.wrong, luck=luck))


def sampled(faults: int) -> int:
    """How many behaviours beside its catchers each fault is tried with: few enough to keep a whole selftest short."""
    return max(1, min(_SAMPLED_OF_ONE, _SAMPLED // max(faults, 1)))


def arrange(
    faults: Sequence[Fault],
    behaviours: Sequence[Behaviour],
    evidence: Path,
    *,
    full: bool,
    sample: int = 0,
    seed: int = 0,
    cover: Mapping[str, Catalogue] | None = None,
    network: Name = "loopback",
) -> Trials:
    """The trials of these faults.

    Args:
        evidence: the folder for what shows that faults were activated.
        full: try every behaviour that is promised on a fault's target, not only its declared catchers.
        sample: else, of the others so many for each fault, drawn by ``seed``.
        cover: instead of these: what shows of each requirement of these catalogues that its behaviours can fail.
        network: where they are played.
    """
    found = Trials()
    loaded = {name: load(name) for fault in faults for name in fault.targets}
    planned = {name: plan(target, behaviours, network=network) for name, target in loaded.items()}
    for name, jobs in planned.items():
        found.promised[name] = _promised(jobs)
    if full:  # a behaviour that is promised elsewhere only is as blind as one that no fault has broken
        others = [load(name) for name in names() if name not in loaded]
        ours = [each for each in others if each.target.launch is not None and each.target.launch.python]
        found.promised |= {each.target.name: _promised(plan(each, behaviours)) for each in ours}
    for fault in faults:
        for name in fault.targets:
            _arrange_one(found, fault, loaded[name], planned[name], evidence / fault.name / name, full=full)
        if not full and cover is None:
            _arrange_sample(found, fault, planned, evidence / fault.name, random.Random(f"{seed}/{fault.name}"), sample)
    if cover is not None:
        _arrange_cover(found, cover, behaviours, planned, evidence)
    return found


def _arrange_cover(
    found: Trials,
    catalogues: Mapping[str, Catalogue],
    behaviours: Sequence[Behaviour],
    planned: Mapping[str, Sequence[Job]],
    evidence: Path,
) -> None:
    # Imported here, since it looks at trials itself.
    from limpet.harness.selftest.coverage import reference_targets
    from limpet.harness.selftest.covering import covering, uncovered

    everywhere = {name: planned.get(name) or plan(load(name), behaviours) for name in reference_targets()}
    declared = tuple(found.trials)
    for fault, job in covering(uncovered(catalogues, everywhere, declared), declared):
        proof = evidence / fault.name / job.loaded.target.name / f"{job.name}.txt"
        found.trials.append(Trial(fault, job, _in_wrong_place(job, fault, proof), "", proof))


def _promised(jobs: Sequence[Job]) -> tuple[str, ...]:
    return tuple(job.name for job in jobs if job.settled is None and not job.observed_only)


def _arrange_sample(
    found: Trials, fault: Fault, planned: dict[str, list[Job]], evidence: Path, luck: random.Random, sample: int
) -> None:
    """Behaviours that need not notice the fault: what they say shows whether the catchers are well chosen."""
    tried = {trial.right.key for trial in found.trials if trial.fault is fault}
    open_ = [
        job
        for name in fault.targets
        for job in planned[name]
        if job.settled is None and not job.observed_only and job.key not in tried and _is_quick(job)
    ]
    for job in luck.sample(open_, min(sample, len(open_))):
        proof = evidence / job.loaded.target.name / f"{job.name}.txt"
        found.trials.append(Trial(fault, job, _in_wrong_place(job, fault, proof), "", proof))


def _is_quick(job: Job) -> bool:
    """Whether it waits for nothing but a clock that can be moved, and is no long one in itself."""
    return not job.behaviour.lengthy and (bool(job.loaded.target.control.advance_clock) or not job.behaviour.waits)


def _arrange_one(
    found: Trials, fault: Fault, loaded: LoadedTarget, planned: Sequence[Job], evidence: Path, *, full: bool
) -> None:
    for catcher in fault.caught_by:
        why = _unfit(catcher, planned)
        if why:
            found.unfit.append(Unfit(fault, loaded.target.name, catcher, why))
    for job in planned:
        if job.settled is not None or job.observed_only:
            continue
        catcher = next((glob for glob in fault.caught_by if matches(glob, job)), "")
        if catcher or (full and not job.behaviour.lengthy):
            proof = evidence / f"{job.name}.txt"
            found.trials.append(Trial(fault, job, _in_wrong_place(job, fault, proof), catcher, proof))


def _unfit(catcher: str, planned: Sequence[Job]) -> str:
    """Why no behaviour that this glob means can reject anything here ("" when one can)."""
    meant = [job for job in planned if matches(catcher, job) or job.behaviour.id == catcher.partition("[")[0]]
    if not meant:
        return f"there is no such behaviour; {nearest(catcher, {job.behaviour.id for job in planned})}"
    fit = [job for job in meant if matches(catcher, job)]
    if not fit:
        return f"has no such variant here; {nearest(catcher, {job.name for job in meant})}"
    if any(job.settled is None and not job.observed_only for job in fit):
        return ""
    settled = fit[0].settled
    return "is only observed here" if settled is None else f"is {settled} here: {fit[0].reason}"


def _in_wrong_place(right: Job, fault: Fault, evidence: Path) -> Job:
    """The same job on the faulty balancer, in a deployment that it shares with nobody: activation is proven by job."""
    target = right.loaded.target
    wrong = target.model_copy(update={"name": f"{target.name}+{fault.name}"})
    override = Override(ENTRY, before=(str(fault.path), str(evidence.resolve())))
    return replace(right, loaded=replace(right.loaded, target=wrong, override=override), luck=right.key)
