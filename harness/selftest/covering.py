"""What declared catchers leave open, and how to close it: of each documented statement, that its check can fail.

A fault is put into the targets that it names, and each of its catchers must reject it there. A requirement of another
profile may name the same behaviour, which nobody has seen fail *there*. For such a pair those faults are tried that
the behaviour rejects elsewhere, the likeliest first: same variant, same kind of key, same layer. That decides in a few
hundred trials what everything against everything decides in thousands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from limpet.harness.engine.plan import Job
from limpet.harness.model.contract.catalogue import Catalogue
from limpet.harness.selftest.coverage import means
from limpet.harness.selftest.faults import Fault
from limpet.harness.selftest.trials import Trial

EACH = 3
"""Faults tried for each pair."""


@dataclass(frozen=True)
class Uncovered:
    """A behaviour that a requirement names, and that no declared catcher breaks on any target of its profiles.

    Attributes:
        open: the jobs there that could be broken.
    """

    requirement: str
    behaviour: str
    open: tuple[Job, ...]


def uncovered(
    catalogues: Mapping[str, Catalogue], planned: Mapping[str, Sequence[Job]], declared: Sequence[Trial]
) -> list[Uncovered]:
    """The pairs that declared catchers leave open; what is only observed can break nothing.

    Args:
        catalogues: product → its catalogue.
        planned: target of the reference balancer → its jobs.
        declared: the trials of declared catchers.
    """
    broken = {(trial.right.loaded.profile, trial.right.name) for trial in declared if trial.catcher}
    found: list[Uncovered] = []
    for product, catalogue in catalogues.items():
        for each in catalogue.requirement:
            own = {f"{product}/{name}" for name in each.profiles}
            here = [job for jobs in planned.values() for job in jobs if job.loaded.profile in own and _can_break(job)]
            for behaviour in each.behaviours if each.level != "observe" else ():
                if any(profile in own and means(behaviour, name) for profile, name in broken):
                    continue
                mine = tuple(job for job in here if means(behaviour, job.name))
                found.append(Uncovered(each.id, behaviour, mine))
    return found


def covering(pairs: Sequence[Uncovered], declared: Sequence[Trial]) -> Iterator[tuple[Fault, Job]]:
    """For each pair the likeliest faults, each with the job that may be broken by it; the same one never twice."""
    seen: set[tuple[str, str]] = set()
    for pair in pairs:
        ranked: dict[str, tuple[int, Fault, Job]] = {}
        for trial in declared:
            if not trial.catcher or not means(pair.behaviour, trial.right.name):
                continue
            for job in pair.open:
                score = _likeness(trial.right, job)
                if trial.fault.name not in ranked or ranked[trial.fault.name][0] < score:
                    ranked[trial.fault.name] = score, trial.fault, job
        best = sorted(ranked.values(), key=lambda each: (-each[0], each[1].name))
        for _, fault, job in best[:EACH]:
            if (fault.name, job.key) not in seen:
                seen.add((fault.name, job.key))
                yield fault, job


def _can_break(job: Job) -> bool:
    return job.settled is None and not job.observed_only


def _likeness(known: Job, job: Job) -> int:
    """How likely it is that what breaks the one breaks the other; a clock that can be moved costs less time."""
    one, two = known.loaded.contract, job.loaded.contract
    alike = (known.variant == job.variant, one.affinity == two.affinity, one.layer == two.layer)
    weights = (8, 4, 2)
    quick = bool(job.loaded.target.control.advance_clock)
    return sum(weight for weight, same in zip(weights, alike, strict=True) if same) + quick
