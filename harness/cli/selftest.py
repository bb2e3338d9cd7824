"""`limpet selftest`: do the checks notice balancers that are wrong on purpose?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from limpet.harness.model.verdict import Result
    from limpet.harness.network.site import Name
    from limpet.harness.selftest.outcomes import FaultReport, Outcome, Report
    from limpet.harness.selftest.trials import Trials


@click.command()
@click.option("--fault", "globs", multiple=True, metavar="GLOB", help="Only these faults; repeatable.")
@click.option("--faults", "folders", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
              help="Faults of your own, besides the bundled ones; repeatable.")  # fmt: skip
@click.option("--suite", "suites", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="Behaviours of your own, besides the bundled ones; repeatable.")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Repeat the selftest of this seed.")
@click.option(
    "--full", is_flag=True, help="Every promised behaviour against every fault; each has to reject one. Takes long."
)
@click.option("--cover", is_flag=True, help="Instead of a sample: what `requirements --coverage` needs to see.")
@click.option("--network", type=click.Choice(["loopback", "namespace"]), default="loopback", show_default=True,
              help="namespace: (as root) what only a lab of network namespaces shows, and nothing else.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("limpet-selftest"),
              show_default=True, help="Where selftest.json, selftest.md and histories go.")  # fmt: skip
def selftest(
    globs: tuple[str, ...],
    folders: tuple[Path, ...],
    suites: tuple[Path, ...],
    seed: int | None,
    full: bool,
    cover: bool,
    network: Name,
    out: Path,
) -> int:
    """Put faults into the bundled balancer and see that the behaviours reject each of them.

    Rejected means: broken by the violation that the fault has to provoke, the fault was really activated, and the same
    seed held on the right balancer. Each fault is tried with its declared catchers and with a few other behaviours,
    drawn by the seed.
    """
    from limpet.harness.cli.catalogues import catalogues
    from limpet.harness.engine.collecting import SUITES, behaviours
    from limpet.harness.model.errors import UsageFault
    from limpet.harness.model.verdict import ExitCode
    from limpet.harness.selftest.document import write
    from limpet.harness.selftest.faults import FAULTY, faults
    from limpet.harness.selftest.run import JSON, TABLE, Selftest
    from limpet.harness.selftest.startable import triable
    from limpet.harness.selftest.table import write_table

    if full and cover:
        raise UsageFault("--full tries everything already", where="--cover", do="Give one of the two.")
    if network == "namespace":
        _check_lab(full=full, cover=cover)
    wanted, left_out = triable(faults((FAULTY, *folders), globs), network)
    for each in left_out:
        click.echo(f"left out: {each}")
    if not wanted:
        click.echo("nothing is left to be tried")
        return ExitCode.UNDECIDED
    screen = Screen(live=sys.stderr.isatty())
    what = catalogues() if cover else None
    known = behaviours((SUITES, *suites))
    whole = not globs and network == "loopback"
    found = Selftest(wanted, known, out, seed, full, whole=whole, cover=what, network=network).run(screen)
    screen.clear()
    write(found, out / JSON)
    write_table(found, out / TABLE)
    show(found, whole=whole)
    click.echo(f"\nWritten: {out / JSON} and {out / TABLE}; histories of both balancers in {out / 'histories'}")
    return found.code


def _check_lab(*, full: bool, cover: bool) -> None:
    """Sees that what is asked of a lab can be had.

    Raises:
        UsageFault: more than a lab is there for.
        SetupFault: this machine has no such thing.
    """
    from limpet.harness.model.errors import SetupFault, UsageFault
    from limpet.harness.network.namespaces import missing

    if full or cover:
        what = "a lab tries only what loopback cannot show"
        raise UsageFault(what, where="--network namespace", do="Run --full or --cover on loopback.")
    if reason := missing():
        raise SetupFault(reason, where="--network namespace", do="Run as root, or leave it at --network loopback.")


class Screen:
    """Says how far it is: a line for each fault and, at a terminal, a count that changes in place."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._faults = 0
        self._total = 0

    def began(self, seed: int, trials: Trials) -> None:
        """Says what will be run."""
        self._total = len({trial.fault.name for trial in trials.trials} | {one.fault.name for one in trials.unfit})
        click.echo(
            f"limpet selftest: {self._total} faults, {len(trials.trials)} trials, "
            f"{len(trials.jobs)} scenarios; seed {seed}"
        )

    def result(self, result: Result, done: int, planned: int) -> None:
        """Counts."""
        if self._live:
            click.echo(
                f"\r\033[K{done} of {planned} scenarios, last {result.target} {result.name}"[:110], nl=False, err=True
            )

    def again(self, missed: Sequence[Outcome]) -> None:
        """Says what luck may have hidden."""
        from limpet.harness.selftest.outcomes import missed_at_first

        self.clear()
        for each in missed:
            click.echo(f"         once more, with another seed: {missed_at_first(each)}")

    def fault(self, found: FaultReport) -> None:
        """Tells a fault's end."""
        self._faults += 1
        self.clear()
        word = "rejected" if found.rejected else "NOT REJECTED"
        click.echo(f"[{self._faults:>2}/{self._total}] {word:<12} {found.fault.name}")
        if found.rejected:
            return
        for each in found.catches:
            if not each.by:
                click.echo(f"        {each.catcher} on {each.target}: {each.why_not}")

    def clear(self) -> None:
        """Removes the count."""
        if self._live:
            click.echo("\r\033[K", nl=False, err=True)


def show(found: Report, *, whole: bool) -> None:
    """Prints the report.

    Args:
        whole: all faults were tried, so that what no fault has broken means something.
    """
    from limpet.harness.cli.tables import show_table
    from limpet.harness.selftest.classes import CLASSES
    from limpet.harness.selftest.outcomes import together

    click.echo()
    show_table(("fault", "class", "provokes", "target", "rejected by", "not rejected by"), list(_rows(found.faults)))
    if found.full:
        click.echo()
        _show_crossing(found)
    covered = {number for each in found.faults if each.rejected for number in each.fault.classes}
    rejected = sum(each.rejected for each in found.faults)
    rights = {each.right.key: each.right for each in found.outcomes}
    held = sum(each.verdict == "held" for each in rights.values())
    if whole:
        missing = sorted(set(CLASSES) - covered)
        click.echo(f"\nNo fault of these classes: {', '.join(f'{each} {CLASSES[each]}' for each in missing)}")
        if found.unproven:
            click.echo(f"\nUnproven, no fault broke them here: {', '.join(together(found.unproven))}")
        if found.full and found.blind:
            click.echo(f"\nREJECT NO FAULT: {', '.join(found.blind)}")
        elif found.full:
            click.echo("\nEvery behaviour rejects at least one fault.")
    for each in found.undecided:
        click.echo(f"\nOn the right balancer {each.target} {each.name} is {each.verdict}: {each.reason}")
    for each in found.accused:
        click.echo(f"\nREJECTS THE RIGHT BALANCER: {each.name} on {each.target}: {each.reason}")
    if found.again:
        click.echo(f"\nA second seed was needed for {len(found.again)} of {len(found.outcomes)} trials.")
    click.echo(
        f"\nrejected {rejected} of {len(found.faults)} faults of {len(covered)} of {len(CLASSES)} classes; "
        f"the right balancer held in {held} of {len(rights)} scenarios"
    )


def _rows(faults: Sequence[FaultReport]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for each in faults:
        fault = each.fault
        for number, target in enumerate(fault.targets):
            mine = [one for one in each.catches if one.target == target]
            by = ", ".join(name for one in mine for name in one.by)
            also = f" (also {', '.join(each.also)})" if each.also and not number else ""
            not_by = "; ".join(f"{one.catcher}: {one.why_not}" for one in mine if not one.by)
            head = (
                (fault.name, " ".join(map(str, fault.classes)), ", ".join(fault.provokes))
                if not number
                else ("", "", "")
            )
            rows.append((*head, target.removeprefix("reference-"), by + also, not_by))
    return rows


def _show_crossing(found: Report) -> None:
    """How many faults each behaviour has noticed, and which."""
    from limpet.harness.cli.tables import show_table
    from limpet.harness.selftest.table import by_behaviour

    rows = [
        (name, str(len(faults)), ", ".join(faults)) for name, faults in sorted(by_behaviour(found.outcomes).items())
    ]
    show_table(("behaviour", "faults", "noticed"), rows)


COMMANDS = (selftest,)
