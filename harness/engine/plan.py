"""What a run will do: every behaviour on every target, with its variants, and whether it is promised at all."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limpet.harness.backends.redis_server import missing as no_redis
from limpet.harness.engine.behaviour import Behaviour, Need
from limpet.harness.engine.upgrade import expectation
from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.catalogue import Known
from limpet.harness.model.verdict import Deviation, RequirementRef, Verdict, literal_brackets
from limpet.harness.network.site import NO_FORGING, Name
from limpet.harness.processes.clocks import no_time_namespace
from limpet.harness.targets.abilities import why_not
from limpet.harness.targets.launching import NO_HOST
from limpet.harness.targets.load import LoadedTarget

_VERBS: dict[Need, str] = {
    "backend-history": "backend-history",
    "kill": "kill",
    "hang": "hang",
    "faults": "backend-faults",
    "add": "add",
    "remove": "remove",
    "drain": "drain",
    "weight": "weight",
    "reorder": "reorder",
    "replace": "replace",
    "reload": "reload",
    "change": "change",
    "restart": "restart",
    "affinity": "affinity",
    "rotate-keys": "rotate_keys",
}


@dataclass(frozen=True)
class Job:
    """One behaviour, or one variant of it, on one target.

    ``settled`` is the verdict where none has to be run for it, with its ``reason``; None where it has to be run.
    ``luck`` is what its seed is drawn from; jobs that share it send the same traffic. "" for a luck of its own.
    ``observed_only``: nothing is promised firmly enough to be broken. ``deviation`` is what is known of this row.
    """

    loaded: LoadedTarget
    behaviour: Behaviour
    variant: str
    requirements: tuple[RequirementRef, ...]
    settled: Verdict | None = None
    reason: str = ""
    luck: str = ""
    deviation: Deviation | None = None

    @property
    def name(self) -> str:
        """``failover.modes[hang]``, or the behaviour alone."""
        return f"{self.behaviour.id}[{self.variant}]" if self.variant else self.behaviour.id

    @property
    def key(self) -> str:
        """Unique in a run."""
        return f"{self.loaded.target.name}/{self.loaded.profile}/{self.name}"

    @property
    def paired(self) -> bool:
        """Whether another job with the same luck shows what the machine alone does to it."""
        return bool(self.luck)

    @property
    def observed_only(self) -> bool:
        """Whether its result is shown and can fail nothing."""
        if not self.requirements:
            return self.behaviour.only_cited
        return all(each.level == "observe" for each in self.requirements)


def plan(
    loaded: LoadedTarget, behaviours: Iterable[Behaviour], globs: Sequence[str] = (), network: Name = "loopback"
) -> list[Job]:
    """The jobs of one target, in the order of the behaviours; with ``globs``, those whose name matches one."""
    jobs: list[Job] = []
    for behaviour in behaviours:
        if "upgrade" in behaviour.needs and loaded.newer is None:
            continue  # a question that nobody asked
        found = _jobs(loaded, behaviour, network)
        jobs += [job for job in found if not globs or any(matches(glob, job) for glob in globs)]
    return jobs


def matches(glob: str, job: Job) -> bool:
    """Whether a glob means this job: by its name, or by its behaviour's."""
    return matches_name(glob, job.name) or matches_name(glob, job.behaviour.id)


def matches_name(glob: str, name: str) -> bool:
    """Whether a glob means a behaviour or a variant of this name."""
    return fnmatch.fnmatchcase(name, literal_brackets(glob))


def known_names(behaviours: Iterable[Behaviour]) -> Known:
    """The behaviours by name, each with its variants: what a requirement may name."""
    return {each.id: None if callable(each.variants) else tuple(each.variants) for each in behaviours}


def rows_of(behaviours: Iterable[Behaviour], contract: Contract) -> Known:
    """The behaviours by name, each with the variants that it has under this contract."""
    known = dict(known_names(behaviours))
    for each in behaviours:
        if not each.unpromised(contract):
            known[each.id] = tuple(filter(None, each.variants_for(contract)))
    return known


def known_deviation(loaded: LoadedTarget, name: str) -> Deviation | None:
    """What is known of the row of this name. Nothing of a program that stands in the target's place."""
    if loaded.override is not None or not loaded.sticky:
        return None
    return next((each for each in loaded.deviations if each.names(name)), None)


def _jobs(loaded: LoadedTarget, behaviour: Behaviour, network: Name) -> list[Job]:
    contract = loaded.contract
    unpromised = behaviour.unpromised(contract)
    if unpromised:
        return [Job(loaded, behaviour, "", (), Verdict.NOT_PROMISED, unpromised)]
    jobs: list[Job] = []
    for variant in behaviour.variants_for(contract):
        name = f"{behaviour.id}[{variant}]" if variant else behaviour.id
        requirements = requirements_of(loaded, name)
        if not requirements and "upgrade" in behaviour.needs:
            requirements = (expectation(loaded),)
        if not requirements and loaded.documented:
            reason = f"no requirement of {loaded.profile} names it"
            jobs.append(Job(loaded, behaviour, variant, (), Verdict.NOT_PROMISED, reason))
            continue
        this = behaviour.for_variant(variant)
        if reason := _evenly_weighted(loaded, this.weights_for(variant)):
            jobs.append(Job(loaded, behaviour, variant, (), Verdict.NOT_PROMISED, reason))
            continue
        missing = uncheckable(loaded, this, network)
        verdict = Verdict.NOT_CHECKABLE if missing else None
        deviation = None if missing else known_deviation(loaded, name)
        jobs.append(Job(loaded, this, variant, requirements, verdict, missing, deviation=deviation))
    if all(job.settled is Verdict.NOT_PROMISED for job in jobs):
        return [Job(loaded, behaviour, "", (), Verdict.NOT_PROMISED, jobs[0].reason)]
    return jobs


def _evenly_weighted(loaded: LoadedTarget, wanted: Sequence[int]) -> str:
    """Why a check of weights says nothing here: this deployment fixes them and makes no difference."""
    backends = loaded.target.backends
    fixed = backends.weights or tuple(member.weight for member in backends.member)
    if len(set(wanted)) > 1 and fixed and len(set(fixed)) == 1:
        return "this deployment gives all of its backends the same weight"
    return ""


def requirements_of(loaded: LoadedTarget, name: str) -> tuple[RequirementRef, ...]:
    """The requirements that stand behind a behaviour here; a contract of the user's own may have none."""
    return tuple(
        RequirementRef(each.id, each.level, each.text, each.sources, each.status)
        for each in loaded.catalogue.requirements(loaded.profile_name, name)
    )


def uncheckable(loaded: LoadedTarget, behaviour: Behaviour, network: Name = "loopback") -> str:
    """Why this target, on this network, does not offer what the behaviour needs ("" when it does)."""
    target = loaded.target
    if reason := why_not(target, "identity"):
        return reason
    if target.backends.sessions == "redis" and (reason := no_redis()):
        return f"its backends share their sessions, and {reason}"
    if target.launch is not None and target.launch.own_host and network != "namespace":
        return NO_HOST
    for need in behaviour.needs:
        if need in _VERBS:
            reason = why_not(target, _VERBS[need])
        elif need == "launch":
            reason = "" if target.launch is not None else f"limpet did not start {target.name}"
        elif need == "forging":
            reason = NO_FORGING if network == "loopback" else ""
        elif need == "time-namespace":
            reason = no_time_namespace()
        elif need == "sessions":
            shop = target.backends.owner == "limpet" or target.backends.sessions != "memory"
            reason = "" if shop else "the shop is in limpet's own backends"
        elif need == "health":
            checked = target.backends.health_checked
            reason = "" if checked else f"{target.name} does not look at its backends' health path"
            reason = reason or why_not(target, "backend-faults")
        if reason:
            return reason
    return ""
