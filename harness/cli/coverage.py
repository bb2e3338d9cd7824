"""`limpet requirements --coverage`: which documented statements are really checked."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import ExitCode

if TYPE_CHECKING:
    from limpet.harness.selftest.coverage import Coverage, Decided, Pair

_WIDTH = 100
_BEHAVIOUR = 46
_FAULTS = 2
RESULTS = (Path("reports/out/conformance.json"), Path("limpet-out/conformance.json"))
SELFTEST = Path("limpet-selftest/selftest.json")


def show_coverage(results: Sequence[Path], selftests: Sequence[Path], profiles: Sequence[str]) -> int:
    """Prints requirement by behaviour by target, and what is missing.

    Args:
        results: each a ``conformance.json``; none for the last written of the usual places.
        selftests: each a ``selftest.json``; none for the usual place.
        profiles: only these; empty for all.

    Returns:
        0, or 1 where something is missing.

    Raises:
        UsageFault: a file is missing or is something else.
    """
    from limpet.harness.cli.catalogues import catalogues
    from limpet.harness.selftest.coverage import coverage, read_selftest, real_profiles, reference_targets
    from limpet.reports.conformance import load

    runs = {each: load(each) for each in results or [_last(RESULTS)]}
    tried = {each: read_selftest(each) for each in selftests or [SELFTEST]}
    decided = [each for run in runs.values() for each in run.results]
    targets, real = reference_targets(), real_profiles()
    found = coverage(catalogues(), targets, decided, list(tried.values()), profiles=profiles, real=real)
    _show(found)
    for file, run in runs.items():
        kept = "" if run.complete else ", INTERRUPTED"
        _say("", f"results  {file}: {run.command}, {run.started}{kept}", "         ")
    for file, each in tried.items():
        when = datetime.fromtimestamp(file.stat().st_mtime).astimezone().isoformat(timespec="seconds")
        where = "" if each.network == "loopback" else f" in a {each.network} lab"
        _say("", f"selftest {file}: {len(each.faults)} faults{where}, seed {each.seed}, {when}", "         ")
    click.echo()
    _gaps(found, full=any(each.full for each in tried.values()))
    return ExitCode.HELD if found.whole else ExitCode.BROKEN


def _last(places: Sequence[Path]) -> Path:
    there = [each for each in places if each.exists()]
    if not there:
        raise UsageFault(
            f"there are no results in {' or '.join(str(each.parent) for each in places)}",
            where="--coverage",
            do="Write them with `limpet run --all`, or name a conformance.json with --results.",
        )
    return max(there, key=lambda each: each.stat().st_mtime)


def _show(found: Coverage) -> None:
    last = None
    for each in found.pairs:
        if each.requirement is not last:
            last = each.requirement
            click.echo()
            _say(f"{last.id}  ", f"({last.level}) {last.text}", "    ")
        mark = "✘" if each.gaps else "✔"
        name = f"  {mark} {each.behaviour}".ljust(_BEHAVIOUR) + " "
        said = [_target(one) for one in each.targets] or ["no target"]
        _say(name, ", ".join(said) + _rejects(each), " " * len(f"{'':{_BEHAVIOUR}} "))
    if found.invisible:
        click.echo("\nNot visible from a client, covered with the reason:")
        for one in found.invisible:
            _say(f"  ✔ {one.id}  ", one.invisible, "      ")
    click.echo()


def _target(one: Decided) -> str:
    name = one.target.removeprefix("reference-")
    return f"{name} {'/'.join(one.verdicts)}" if one.verdicts else f"{name} undecided"


def _rejects(pair: Pair) -> str:
    if not pair.faults:
        return "; only observed" if pair.only_observed else "; rejects no fault"
    more = f" and {len(pair.faults) - _FAULTS} more" if len(pair.faults) > _FAULTS else ""
    return f"; rejects {', '.join(pair.faults[:_FAULTS])}{more}"


def _gaps(found: Coverage, *, full: bool) -> None:
    if found.gaps:
        click.echo("Gaps:")
    for each in found.gaps:
        for gap in each.gaps:
            _say(f"  ✘ {each.requirement.id} {each.behaviour}: ", gap, "      ")
    for profile in found.idle:
        click.echo(f"  ✘ {profile}: no target has this profile")
    if found.real:
        what = "profiles are judged on the product itself, where no fault can be put, and are not asked about here"
        _say("", f"{len(found.real)} {what}: {', '.join(found.real)}", "  ")
    if not found.whole:
        click.echo()
    if not full and any(not each.faults for each in found.gaps):
        _say("", "This selftest was not --full: what it tried beside declared catchers was a sample, or --cover.", "")
    covered, seen = len(found.pairs) - len(found.gaps), len({each.requirement.id for each in found.pairs})
    _say("", f"{covered} of {len(found.pairs)} pairs of {seen} requirements and their behaviours are covered; "
         f"{len(found.invisible)} requirements are not visible from a client", "")  # fmt: skip


def _say(head: str, text: str, indent: str) -> None:
    """One paragraph of at most so many columns."""
    click.echo(textwrap.fill(head + " ".join(text.split()), _WIDTH, subsequent_indent=indent, break_on_hyphens=False))
