"""Which documented statements are really checked: requirement by behaviour by target.

A requirement and one of its behaviours, a *pair*, is covered when both are on record: the behaviour decided something
on a target of the reference balancer with one of the requirement's profiles (so the check does run), and there some
fault made it *broken* (so the check can fail). What is only observed can break nothing: of a requirement of level
*observe*, and where each row was *observed*, the first is enough, and of the level *observe* that the row looked at
answers and said what it saw: there is nothing for it to decide. What no client can see counts as covered, with its
reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from limpet.harness.model.contract.catalogue import Catalogue, Requirement
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Result, Verdict
from limpet.harness.selftest.document import Document
from limpet.harness.targets.load import LoadedTarget, load, names

_DECIDING = (Verdict.HELD, Verdict.BROKEN, Verdict.OBSERVED)


@dataclass(frozen=True)
class Decided:
    """What one target's rows say of a pair.

    Attributes:
        target: the target.
        verdicts: of each row (variant) that decided something; empty where none did.
        why_not: the verdicts and reasons of the others.
    """

    target: str
    verdicts: tuple[str, ...]
    why_not: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """One behaviour of one requirement.

    Attributes:
        profiles: of the requirement, as ``product/profile``.
        targets: one for each target of the reference balancer with one of them.
        faults: that the behaviour rejected on one of these targets, by name.
    """

    requirement: Requirement
    behaviour: str
    profiles: tuple[str, ...]
    targets: tuple[Decided, ...]
    faults: tuple[str, ...]

    @property
    def only_observed(self) -> bool:
        """Whether it can break nothing: by its level, or since each row of it was observed wherever it decided any."""
        said = {verdict for each in self.targets for verdict in each.verdicts}
        return self.requirement.level == "observe" or said == {str(Verdict.OBSERVED)}

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing: ``no target``, ``not decided``, ``no fault``, each with the rest of its sentence."""
        if not self.targets:
            return (f"no target of the reference balancer has the profile {_some(self.profiles)}",)
        found: list[str] = []
        if not any(each.verdicts for each in self.targets):
            where: dict[str, list[str]] = {}
            for each in self.targets:
                for why in each.why_not:
                    where.setdefault(why, []).append(each.target)
            first, *more = (f"{why} ({_some(targets)})" for why, targets in where.items())
            found.append(f"not decided: {first}" + (f", and {len(more)} more reasons" if more else ""))
        if not self.faults and not self.only_observed:
            found.append(f"no fault of {_some(self.profiles)} made it broken")
        return tuple(found)


@dataclass(frozen=True)
class Coverage:
    """All pairs, and the profiles that nobody runs.

    Attributes:
        invisible: requirements that no client can see: covered, with their reason.
        idle: profiles without any target.
        real: profiles whose targets run the product itself, into which no fault can be put: they are not asked about.
    """

    pairs: tuple[Pair, ...]
    invisible: tuple[Requirement, ...]
    idle: tuple[str, ...]
    real: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[Pair, ...]:
        """The pairs that something is missing of."""
        return tuple(each for each in self.pairs if each.gaps)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.gaps and not self.idle


def read_selftest(path: Path) -> Document:
    """Reads a ``selftest.json``.

    Raises:
        UsageFault: there is none, or it is something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Document)
    except OSError as err:
        raise UsageFault(f"cannot be read: {err.strerror}", where=str(path), do="Write it: limpet selftest") from None
    except msgspec.DecodeError as err:
        raise UsageFault(
            f"is no report of a selftest: {err}", where=str(path), do="Write it: limpet selftest"
        ) from None


def reference_targets() -> dict[str, str]:
    """The bundled targets that run the reference balancer, each with its profile."""
    found: Iterable[LoadedTarget] = map(load, names())
    return {each.target.name: each.profile for each in found if _is_reference(each)}


def real_profiles() -> frozenset[str]:
    """The profiles of the bundled targets that run a product itself."""
    return frozenset(each.profile for each in map(load, names()) if not _is_reference(each))


def _is_reference(loaded: LoadedTarget) -> bool:
    return loaded.target.launch is not None and bool(loaded.target.launch.python)


def coverage(
    catalogues: Mapping[str, Catalogue],
    targets: Mapping[str, str],
    results: Sequence[Result],
    selftests: Sequence[Document],
    *,
    profiles: Sequence[str] = (),
    real: frozenset[str] = frozenset(),
) -> Coverage:
    """Joins the catalogue with what the last run and the last selftest have shown.

    Args:
        catalogues: product → its catalogue.
        targets: targets of the reference balancer → their profile.
        results: of `limpet run --all`, and of runs that judged what that leaves out.
        selftests: the last one, and that in a lab.
        profiles: only these, as ``product/profile``; empty for all.
        real: profiles that the products themselves are judged by.
    """
    wanted = [
        full
        for product, catalogue in catalogues.items()
        for name in catalogue.profile
        if (full := f"{product}/{name}") in profiles or not profiles
    ]
    elsewhere = tuple(each for each in wanted if each in real and each not in targets.values())
    wanted = [each for each in wanted if each not in elsewhere]
    broken = _broken(targets, selftests)
    pairs: list[Pair] = []
    invisible: list[Requirement] = []
    for product, catalogue in catalogues.items():
        for each in catalogue.requirement:
            own = tuple(full for name in each.profiles if (full := f"{product}/{name}") in wanted)
            if not own:
                continue
            if each.invisible:
                invisible.append(each)
            for behaviour in each.behaviours:
                shown = each.level == "observe"
                there = [target for target, of in targets.items() if of in own]
                rows = [_decided(target, behaviour, results, shown=shown) for target in there]
                faults = {fault for of, name, fault in broken if of in own and means(behaviour, name)}
                pairs.append(Pair(each, behaviour, own, tuple(rows), tuple(sorted(faults))))
    idle = tuple(each for each in wanted if each not in targets.values())
    return Coverage(tuple(pairs), tuple(invisible), idle, elsewhere)


def means(named: str, behaviour: str) -> bool:
    """A requirement names a whole behaviour (``failover.modes``) or one variant of it (``failover.modes[hang]``)."""
    return named in (behaviour, behaviour.partition("[")[0])


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _decided(target: str, behaviour: str, results: Sequence[Result], *, shown: bool) -> Decided:
    rows = [each for each in results if each.target == target and means(behaviour, each.name)]
    # Where no variant is promised there is one row, by the behaviour's own name.
    rows = rows or [each for each in results if each.target == target and each.name == behaviour.partition("[")[0]]
    if not rows:
        return Decided(target, (), ("was not run",))
    decided = [
        each
        for each in rows
        if (each.verdict in _DECIDING and each.decided > 0)
        or (shown and each.verdict is Verdict.OBSERVED and each.requests > 0)
    ]
    others = [f"{each.verdict}, {each.reason}" for each in rows if each not in decided]
    return Decided(target, tuple(dict.fromkeys(str(each.verdict) for each in decided)), tuple(dict.fromkeys(others)))


def _broken(targets: Mapping[str, str], selftests: Sequence[Document]) -> list[tuple[str, str, str]]:
    """Profile, behaviour (with variant) and fault of each trial that told the faulty balancer from the right one."""
    return [
        (targets[trial.target], trial.behaviour, fault.name)
        for selftest in selftests
        for fault in selftest.faults
        for trial in fault.trials
        if trial.target in targets and trial.activated and trial.right == Verdict.HELD and trial.wrong == Verdict.BROKEN
    ]
