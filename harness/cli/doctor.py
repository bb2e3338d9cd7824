"""`limpet doctor`: what this machine can judge, what it cannot, and the line that changes that."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
import msgspec

import limpet

if TYPE_CHECKING:
    from limpet.harness.cli.machine import Offer
    from limpet.harness.engine.behaviour import Behaviour
    from limpet.harness.engine.plan import Job
    from limpet.harness.targets.installed import Program
    from limpet.harness.targets.load import LoadedTarget


_BY_NAT = ("network.nat-", "network.personas[office]")
"""Rows with users behind NAT, whose gateways a lab makes by nft."""

_BY_MANY_IPV6 = ("network.ipv6[homes]", "network.ipv6[privacy]", "network.personas[privacy-addresses]")
"""Rows with several users by IPv6, for whom loopback has too few addresses."""

_BY_IPV6 = (*_BY_MANY_IPV6, "network.ipv6[pins]")
"""Rows with users who come by IPv6; what a proxy tells of such users comes by IPv4."""


@dataclass
class Found:
    """One program and the bundled targets that start it; ``rows`` are what those targets' contracts promise."""

    program: Program
    version: str = ""
    documented: str = ""
    targets: list[str] = field(default_factory=list)
    rows: int = 0

    @property
    def here(self) -> bool:
        """Whether its targets can be started."""
        return not self.program.reason


@dataclass
class Cost:
    """What something concerns: so many targets, and so many rows of theirs that are promised or observed."""

    targets: int = 0
    rows: int = 0

    def add(self, rows: int) -> None:
        """One target more, if any of its rows is concerned."""
        self.targets += rows > 0
        self.rows += rows

    def __str__(self) -> str:
        """In words; a thing that nothing bundled needs costs nothing."""
        return f"{_many(self.targets, 'target')}, {_many(self.rows, 'row')}" if self.targets else "nothing bundled"


@dataclass
class Examination:
    """What was found."""

    programs: list[Found]
    machine: list[tuple[Offer, Cost]]
    unreadable: dict[str, str]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(as_json: bool) -> int:
    """Say what this machine can judge, and what is missing.

    Each bundled balancer with its version, or with the line that installs it; then what the machine offers, and what
    its lack costs: so many targets, and so many rows of theirs (behaviours and variants that their contracts promise).
    Always exits 0; `limpet matrix` leaves out what is missing.
    """
    found = examine()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_document(found)), indent=1).decode())
    else:
        show(found)
    return 0


def examine() -> Examination:
    """Looks for every bundled target's program, and at the machine."""
    from limpet.harness.cli import machine
    from limpet.harness.engine.collecting import behaviours
    from limpet.harness.model.errors import UsageFault
    from limpet.harness.targets.installed import program
    from limpet.harness.targets.load import load, names
    from limpet.harness.targets.versions import documented_otherwise, version_of

    checks = list(behaviours())
    programs: dict[tuple[str, str, str], Found] = {}
    unreadable: dict[str, str] = {}
    everything, shared, shifted, forged = Cost(), Cost(), Cost(), Cost()
    labs, translated, sixth = Cost(), Cost(), Cost()
    for name in names():
        try:
            loaded = load(name)
        except UsageFault as fault:
            unreadable[name] = fault.reason
            continue
        needed = program(loaded)
        jobs = _jobs(loaded, checks)
        rows = len(jobs)
        entry = programs.get((needed.name, needed.path, needed.reason))
        if entry is None:
            # Asked once: some programs take long to say it.
            version = version_of(loaded) if not needed.reason else ""
            entry = programs[needed.name, needed.path, needed.reason] = Found(needed, version)
        if not needed.reason:
            entry.documented = entry.documented or documented_otherwise(loaded)
        entry.targets.append(loaded.target.name)
        entry.rows += rows
        everything.targets += 1
        everything.rows += rows
        if loaded.target.backends.sessions == "redis":
            shared.targets += 1
            shared.rows += rows
        shifted.add(sum("time-namespace" in job.behaviour.needs for job in jobs))
        alone = loaded.target.launch is not None and loaded.target.launch.own_host
        forged.add(sum("forging" in job.behaviour.needs for job in jobs))
        labs.add(sum(alone or "forging" in job.behaviour.needs or job.name.startswith(_BY_MANY_IPV6) for job in jobs))
        translated.add(sum(alone or job.name.startswith(_BY_NAT) for job in jobs))
        sixth.add(sum(job.name.startswith(_BY_IPV6) for job in jobs))
    return Examination(
        sorted(programs.values(), key=lambda each: (not each.here, each.program.name)),
        [
            (machine.loopback(), everything),
            (machine.redis(), shared),
            (machine.files(), everything),
            (machine.threads(), everything),
            (machine.clocks(), shifted),
            (machine.laboratory(), labs),
            (machine.packets(), forged),
            (machine.gateways(), translated),
            (machine.ipv6(), sixth),
            (machine.root(), Cost()),
            (machine.containers(), Cost()),
        ],
        unreadable,
    )


def _jobs(loaded: LoadedTarget, checks: Sequence[Behaviour]) -> list[Job]:
    """What is promised or observed of a target."""
    from limpet.harness.engine.plan import plan
    from limpet.harness.model.verdict import Verdict

    return [job for job in plan(loaded, checks) if job.settled is not Verdict.NOT_PROMISED]


def show(found: Examination) -> None:
    """Prints it."""
    from limpet.harness.targets.installed import BUNDLED

    cores = len(os.sched_getaffinity(0))
    python = f"Python {platform.python_version()}"
    click.echo(f"limpet {limpet.__version__}, {python}, {platform.system()} {platform.release()}, {cores} cores\n")
    here = [each for each in found.programs if each.here]
    gone = [each for each in found.programs if not each.here]
    width = max((len(each.program.name) for each in found.programs), default=0)
    click.echo("Balancers that start here")
    for each in here:
        own = each.program.name == BUNDLED
        version = each.version or "its version is unknown"
        if each.documented:
            version += f" (judged by the documentation of {each.documented})"
        place = "" if own else f"  {each.program.path}"
        click.echo(f"  {_mark(True)} {each.program.name:<{width}}  {_concerns(each)}, {version}{place}")
    if gone:
        click.echo("\nMissing, and what that leaves out")
    for each in gone:
        click.echo(f"  {_mark(False)} {each.program.name:<{width}}  {_concerns(each)}: {', '.join(each.targets)}")
        click.echo(f"    {' ' * width}  {each.program.install or each.program.reason}")
    for name, reason in found.unreadable.items():
        click.echo(f"  {_mark(False)} {name} does not load: {reason}")
    click.echo("\nThis machine")
    width = max(len(offer.name) for offer, _ in found.machine)
    for offer, cost in found.machine:
        click.echo(f"  {_mark(offer.there)} {offer.name:<{width}}  {offer.found}")
        if not offer.there:
            cure = f"; {offer.do}" if offer.do else ""
            click.echo(f"    {' ' * width}  needed by: {cost}{cure}")
    targets = sum(len(each.targets) for each in here)
    every = sum(len(each.targets) for each in found.programs) + len(found.unreadable)
    rows, all_rows = sum(each.rows for each in here), sum(each.rows for each in found.programs)
    click.echo(
        f"\n{targets} of {every} bundled targets start here, {rows} of {all_rows} rows. Compare them: limpet matrix"
    )


def _concerns(each: Found) -> str:
    return str(Cost(len(each.targets), each.rows))


def _mark(there: bool) -> str:
    import sys

    marks = ("✔", "✘") if (sys.stdout.encoding or "").lower().startswith("utf") else ("+", "-")
    return marks[0] if there else marks[1]


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


class _ProgramRecord(msgspec.Struct):
    name: str
    found: bool
    version: str
    path: str
    reason: str
    install: str
    targets: list[str]
    rows: int
    documented: str


class _OfferRecord(msgspec.Struct):
    name: str
    there: bool
    found: str
    do: str
    targets: int
    rows: int


class _Document(msgspec.Struct):
    limpet: str
    python: str
    cores: int
    programs: list[_ProgramRecord]
    machine: list[_OfferRecord]
    unreadable: dict[str, str]


def _document(found: Examination) -> _Document:
    return _Document(
        limpet.__version__,
        platform.python_version(),
        len(os.sched_getaffinity(0)),
        [
            _ProgramRecord(
                each.program.name, each.here, each.version, each.program.path, each.program.reason,
                each.program.install, each.targets, each.rows, each.documented,
            )
            for each in found.programs
        ],
        [
            _OfferRecord(offer.name, offer.there, offer.found, offer.do, cost.targets, cost.rows)
            for offer, cost in found.machine
        ],
        found.unreadable,
    )  # fmt: skip


COMMANDS = (doctor,)
