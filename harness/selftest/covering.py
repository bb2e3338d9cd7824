"""What declared catchers leave open, and how to close it: of each documented statement, that its check can fail.

A fault is put into the targets that it names, and each of its catchers must reject it there. A requirement of another
profile may name the same behaviour, which nobody has seen fail *there*. For such a pair those faults are tried that
the behaviour rejects elsewhere, the likeliest first: same variant, same kind of key, same layer. Beside them is tried
what another behaviour of the same requirement rejects on this very target, for that breaks the same sentence. A
behaviour that is drawn from its seed gets more of the latter: it meets the sequence of events that the former need in
few of its runs. All this decides in a few hundred trials what everything against everything decides in thousands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from limpet.harness.engine.plan import Job
from limpet.harness.model.contract.catalogue import Catalogue
from limpet.harness.selftest.coverage import means
from limpet.harness.selftest.faults import Fault
from limpet.harness.selftest.trials import Trial

EACH = 3
"""Faults tried for each pair that the behaviour rejects elsewhere."""
BESIDE = 1
"""Faults tried for each pair that other behaviours of its requirement reject here."""


@dataclass(frozen=True)
class Uncovered:
    """A behaviour that a requirement names, and that no declared catcher breaks on any target of its profiles.

    Attributes:
        open: the jobs there that could be broken.
        beside: the other behaviours of the requirement.
    """

    requirement: str
    behaviour: str
    open: tuple[Job, ...]
    beside: tuple[str, ...] = ()


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
                beside = tuple(one for one in each.behaviours if one != behaviour)
                found.append(Uncovered(each.id, behaviour, mine, beside))
    return found


def covering(pairs: Sequence[Uncovered], declared: Sequence[Trial]) -> Iterator[tuple[Fault, Job]]:
    """For each pair the likeliest faults, each with the job that may be broken by it; the same one never twice."""
    seen: set[tuple[str, str]] = set()
    for pair in pairs:
        elsewhere: list[tuple[int, Fault, Job]] = []
        here: list[tuple[int, Fault, Job]] = []
        for trial in declared:
            for job in pair.open if trial.catcher else ():
                if means(pair.behaviour, trial.right.name):
                    elsewhere.append((-_likeness(trial.right, job), trial.fault, job))
                elif trial.right.loaded.target.name == job.loaded.target.name:
                    # What a requirement names first says most of it.
                    places = [number for number, one in enumerate(pair.beside) if means(one, trial.right.name)]
                    here += [(place, trial.fault, job) for place in places[:1]]
        drawn = any(job.behaviour.lengthy for job in pair.open)
        found = [*_best(_spread(here), BESIDE + drawn), *_best(elsewhere, EACH - drawn)]
        for fault, job in found:
            if (fault.name, job.key) not in seen:
                seen.add((fault.name, job.key))
                yield fault, job


def _spread(ranked: Sequence[tuple[int, Fault, Job]]) -> list[tuple[int, Fault, Job]]:
    """One fault of each rank before the second one of any: what breaks a sentence in the same way is found alike."""
    turns: Counter[int] = Counter()
    found = []
    for rank, fault, job in sorted(ranked, key=lambda each: (each[0], each[1].name)):
        found.append((turns[rank], rank, fault, job))
        turns[rank] += 1
    found.sort(key=lambda each: each[:2])
    return [(place, fault, job) for place, (_, _, fault, job) in enumerate(found)]


def _best(ranked: Sequence[tuple[int, Fault, Job]], count: int) -> list[tuple[Fault, Job]]:
    """The faults of the lowest rank, each once."""
    found: dict[str, tuple[Fault, Job]] = {}
    for _, fault, job in sorted(ranked, key=lambda each: (each[0], each[1].name)):
        found.setdefault(fault.name, (fault, job))
    return list(found.values())[:count]


def _can_break(job: Job) -> bool:
    return job.settled is None and not job.observed_only


def _likeness(known: Job, job: Job) -> int:
    """How likely it is that what breaks the one breaks the other; a clock that can be moved costs less time."""
    one, two = known.loaded.contract, job.loaded.contract
    alike = (known.variant == job.variant, one.affinity == two.affinity, one.layer == two.layer)
    weights = (8, 4, 2)
    quick = bool(job.loaded.target.control.advance_clock)
    return sum(weight for weight, same in zip(weights, alike, strict=True) if same) + quick
