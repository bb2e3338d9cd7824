"""`limpet replay`: plays a walk that was found by chance once more, on the same target or another one."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from limpet.harness.cli.testing import terminated_as_interrupted
from limpet.harness.model.errors import HarnessFault, UsageFault

if TYPE_CHECKING:
    from limpet.harness.chaos.replay import Walk
    from limpet.harness.engine.behaviour import Behaviour
    from limpet.harness.engine.plan import Job
    from limpet.harness.model.verdict import Result
    from limpet.harness.network.site import Name
    from limpet.harness.session import Options
    from limpet.harness.targets.load import LoadedTarget
    from limpet.harness.targets.override import Override

RANDOM_WALK = "chaos.random-walk"


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--target", metavar="DIR", help="A target directory, or a name that `limpet targets` lists. Default: the "
              "one that the walk was found on.")  # fmt: skip
@click.option("--fault", metavar="NAME", help="Put this fault of `limpet selftest` into the reference balancer first.")
@click.option("--seed", type=int, metavar="N", help="Repeat the replay of this seed. Who comes is drawn from the "
              "file's own; this is for what clients make up.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("limpet-replay"),
              show_default=True, help="Where reports and the history go.")  # fmt: skip
@click.option("--network", type=click.Choice(["loopback", "namespace"]), default="loopback", show_default=True,
              help="Where traffic comes from, as in run: some targets need a lab of network namespaces.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Let it happen to a balancer that limpet did not start. In CI nobody is "
              "asked.")  # fmt: skip
@click.option("-v", "--verbose", count=True, help="All evidence in the table.")
def replay(
    file: Path,
    target: str | None,
    fault: str | None,
    seed: int | None,
    out: Path,
    network: Name,
    yes: bool,
    verbose: int,
) -> int:
    """Play a walk again that chaos.random-walk found.

    FILE lies beside the history of the run that found it. Exit codes as those of run: 0 nothing went wrong this time,
    1 something did.
    """
    from limpet.harness.chaos.replay import read
    from limpet.harness.session import Options

    walk = read(file)
    words = ["limpet", "replay", str(file)]
    for option, value in (("--target", target), ("--fault", fault)):
        words += [option, value] if value else []
    words += ["--network", network] if network != "loopback" else []
    words += ["--yes"] if yes else []
    options = Options(
        targets=(target or _known(walk, file),), out=out, seed=seed, network=network, yes=yes, command=shlex.join(words)
    )
    if fault is not None:
        options = replace(options, override=_fault(fault, out, options.targets[0]))
    return _play(walk, options, verbosity=1 + verbose)


def _known(walk: Walk, file: Path) -> str:
    """The target that the file names.

    Raises:
        UsageFault: it is none that limpet knows.
    """
    from limpet.harness.targets.load import find

    try:
        find(walk.target)
    except UsageFault:
        raise UsageFault(
            f'was found on "{walk.target}", which is no bundled target', where=str(file),
            do="Say where it is, or on which other one to play it: --target DIR",
        ) from None  # fmt: skip
    return walk.target


def _fault(name: str, out: Path, target: str) -> Override:
    """The entry point of the reference balancer with this fault in it.

    Raises:
        UsageFault: there is no such fault, or the target is another balancer.
    """
    from limpet.harness.selftest.faults import faults
    from limpet.harness.selftest.trials import ENTRY
    from limpet.harness.targets.load import load
    from limpet.harness.targets.override import Override

    launch = load(target).target.launch
    if launch is None or not launch.python:
        raise UsageFault(
            f"{target} is not the reference balancer, the only one that limpet can put faults into", where="--fault",
            do="Leave --fault away, or name a reference target.",
        )  # fmt: skip
    found, *more = faults(globs=(name,))
    if more:
        raise UsageFault(f'"{name}" means {1 + len(more)} faults', where="--fault", do="Name one of them.")
    return Override(ENTRY, before=(str(found.path), str((out / "activated").resolve())))


def _play(walk: Walk, options: Options, *, verbosity: int) -> int:
    from limpet.harness.session import RunSession
    from limpet.reports.collection import Fanout, standard_handlers

    handlers = Fanout(standard_handlers(options.out, verbosity=verbosity))
    session = RunSession(options, [handlers])
    job = session.allowed(job_of(walk, session.loaded[0], options.network))
    interrupted, result = True, None
    with terminated_as_interrupted():
        try:
            result = session.start([job]).result(job.key)
            interrupted = False
        finally:
            judgement = session.finish(interrupted=interrupted)
            handlers.close()
    if judgement is None or result is None:
        raise HarnessFault("the replay ended without a judgement")
    _tell(walk, result, options.out)
    return judgement.code


def job_of(walk: Walk, loaded: LoadedTarget, network: Name = "loopback") -> Job:
    """The walk as a job on a target, on this network: judged as chaos.random-walk is there."""
    from limpet.harness.engine.plan import Job, known_deviation, requirements_of, uncheckable
    from limpet.harness.model.verdict import Verdict

    behaviour = behaviour_of(walk)
    missing = uncheckable(loaded, behaviour, network)
    verdict = Verdict.NOT_CHECKABLE if missing else None
    known = None if missing else known_deviation(loaded, RANDOM_WALK)
    return Job(loaded, behaviour, "replay", requirements_of(loaded, RANDOM_WALK), verdict, missing, deviation=known)


def behaviour_of(walk: Walk) -> Behaviour:
    """The walk as a behaviour."""
    from limpet.harness.chaos.random_walk import foretold_walk, play_walk
    from limpet.harness.engine.behaviour import Behaviour
    from limpet.harness.engine.scenario import Scenario

    def test(scenario: Scenario) -> None:
        """A walk that was found by chance: no request is answered otherwise than promised."""
        play_walk(scenario, walk)

    return Behaviour(
        RANDOM_WALK, test, 0.0, 1000, needs=("backend-history",), touches="backends", keyed=None,
        variants=("replay",), certainty="One play of one walk", foretells=lambda *_: foretold_walk(walk),
    )  # fmt: skip


def _tell(walk: Walk, result: Result, out: Path) -> None:
    """The story, in steps."""
    from limpet.harness.model.verdict import Verdict

    if result.steps:
        click.echo("\nWhat happened:")
    for step in result.steps:
        click.echo(f"  {step.text}")
    if result.verdict is Verdict.BROKEN and walk.violation:
        kinds = {str(each.kind) for each in result.violations}
        same = "the same" if walk.violation in kinds else f"another violation than the {walk.violation} of the file"
        click.echo(f"This is {same}: {', '.join(sorted(kinds))}.")
    if result.verdict is Verdict.HELD and walk.violation:
        click.echo(f"Nothing went wrong here: the {walk.violation} of the file did not happen.")
    if result.history:
        click.echo(f"Every request of it: {out / result.history}")


COMMANDS = (replay,)
