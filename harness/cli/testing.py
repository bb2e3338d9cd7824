"""`limpet run` and `limpet selftest`: what judges."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from limpet.harness.model.contract.durations import seconds, spoken
from limpet.harness.model.errors import UsageFault

if TYPE_CHECKING:
    from limpet.harness.chaos.proxies.wires import Made
    from limpet.harness.model.events import Handler
    from limpet.harness.network.site import Name
    from limpet.harness.session import Options


def as_seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """The seconds of a duration on the command line, None where none was given.

    Raises:
        click.BadParameter: it is none, or is over at once.
    """
    if value is None:
        return None
    try:
        found = seconds(value)
    except ValueError as err:
        raise click.BadParameter(str(err)) from None
    if not found:
        raise click.BadParameter("nothing happens in no time")
    return found


@click.command()
@click.option("--target", "targets", multiple=True, metavar="DIR", help="A target directory, or a name that `limpet "
              "targets` lists; repeatable. Default: the bundled ones that it marks shown.")  # fmt: skip
@click.option("--all", "all_targets", is_flag=True, help="All bundled targets that this machine can start.")
@click.option("--profile", metavar="P", help="Judge by this profile (product/profile) instead of the target's own.")
@click.option("--behaviour", "behaviours", multiple=True, metavar="GLOB", help="Only these behaviours; repeatable.")
@click.option("--require", multiple=True, metavar="GLOB", help="What must be held for exit 0; repeatable.")
@click.option("--upgrade-to", metavar="DIR", help="Another version or product: replay to it the keys that the one "
              "--target handed out.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("limpet-out"), show_default=True,
              help="Where reports and histories go.")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Repeat the run of this seed.")
@click.option("--proxies", type=click.Choice(("embedded", "toxiproxy")), default="embedded", show_default=True,
              help="What the fault proxies before the backends are made of, where a behaviour wants any.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Let plans of faults happen to balancers that limpet did not start. In CI "
              "nobody is asked.")  # fmt: skip
@click.option("--duration", metavar="TIME", callback=as_seconds,
              help="How long chaos.soak goes on, such as 30m or 8h.  [default: 10s]")  # fmt: skip
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML too.")
@click.option("--suite", "suites", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="Behaviours of your own, besides the bundled ones; repeatable.")  # fmt: skip
@click.option("--network", type=click.Choice(["loopback", "namespace"]), default="loopback", show_default=True,
              help="Where traffic comes from: loopback, or (as root) a lab of network namespaces.")  # fmt: skip
@click.option("--strict", is_flag=True, help="A broken `should` fails the run too.")
@click.option("-v", "--verbose", count=True, help="Every variant and all evidence in the table.")
@click.option("-q", "--quiet", is_flag=True, help="Held rows by name only.")
def run(
    targets: tuple[str, ...],
    all_targets: bool,
    profile: str | None,
    behaviours: tuple[str, ...],
    require: tuple[str, ...],
    upgrade_to: str | None,
    out: Path,
    seed: int | None,
    proxies: Made,
    duration: float | None,
    yes: bool,
    junit: Path | None,
    suites: tuple[Path, ...],
    network: Name,
    strict: bool,
    verbose: int,
    quiet: bool,
) -> int:
    """Judge balancers, with evidence for each verdict.

    Runs every behaviour that the targets' contracts promise.
    """
    from limpet.harness.engine.ground import SOAK
    from limpet.harness.session import Options

    if all_targets and targets:
        raise UsageFault("--all and --target exclude each other", do="Give one of them.")
    words = ["limpet", "run", *(["--all"] if all_targets else [])]
    for name, values in (("--target", targets), ("--behaviour", behaviours), ("--require", require)):
        for value in values:
            words += [name, value]
    for suite in suites:
        words += ["--suite", str(suite)]
    words += ["--profile", profile] if profile else []
    words += ["--upgrade-to", upgrade_to] if upgrade_to else []
    words += ["--network", network] if network != "loopback" else []
    words += ["--strict"] if strict else []
    words += ["--yes"] if yes else []
    words += ["--duration", spoken(duration)] if duration else []
    words += ["--proxies", proxies] if proxies != "embedded" else []
    options = Options(
        targets=targets,
        all_targets=all_targets,
        profile=profile,
        behaviours=behaviours,
        require=require,
        out=out,
        seed=seed,
        proxies=proxies,
        yes=yes,
        duration=SOAK if duration is None else duration,
        upgrade_to=upgrade_to,
        strict=strict,
        network=network,
        command=shlex.join(words),
    )
    code = judge(options, suites=suites, junit=junit, verbosity=0 if quiet else 1 + verbose)
    if not targets and not all_targets:
        click.echo(_rest())
    return code


def _rest() -> str:
    """How to judge what this run left out."""
    from limpet.harness.targets.bundled import startable

    shown, every = len(startable(shown_only=True)), len(startable())
    return (
        f"\nThis was for {shown} of {every} bundled targets; all: limpet run --all; one: limpet run --target NAME\n"
        "What takes long was left out; it is judged by: limpet run --behaviour 'chaos.*'"
    )


def judge(options: Options, *, suites: Sequence[Path], junit: Path | None, verbosity: int) -> int:
    """Runs pytest on the suites under limpet's own configuration, whatever the current folder holds.

    Returns:
        The exit code.

    Raises:
        LimpetFault: there was nothing to judge, or no way to.
    """
    from limpet.reports.collection import standard_handlers

    if junit is not None:
        place_for(junit)
    return judge_for(options, standard_handlers(options.out, junit=junit, verbosity=verbosity), suites=suites)


def judge_for(options: Options, told: Sequence[Handler], *, suites: Sequence[Path] = ()) -> int:
    """The same, told to handlers of the caller's own.

    Returns:
        The exit code.

    Raises:
        LimpetFault: there was nothing to judge, or no way to.
    """
    import pytest

    from limpet.harness.engine.collecting import HOME, SUITES
    from limpet.harness.plugin_face import Face
    from limpet.harness.session import RunSession
    from limpet.reports.collection import Fanout

    handlers = Fanout(told)
    face = Face(RunSession(options, [handlers]))
    arguments = [
        str(SUITES),
        *(str(path.resolve()) for path in suites),
        f"--config-file={HOME / 'harness' / 'run.ini'}",
        f"--rootdir={SUITES}",
        "--import-mode=importlib",
        "--capture=no",
        "--noconftest",
        "-pno:cacheprovider",
        "-pno:unraisableexception",  # it collects garbage five times in the end: seconds, with thousands of results
        "-plimpet.harness.plugin",
    ]
    with _own_environment(), terminated_as_interrupted():
        try:
            code = pytest.main(arguments, plugins=[face])
        finally:
            handlers.close()
    return face.exit_code(int(code))


def place_for(file: Path) -> None:
    """Sees that a file can be written before a run is spent on it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as err:
        raise UsageFault(f"cannot be written: {err.strerror}", where=str(file), do="Choose another --junit.") from None


@contextmanager
def _own_environment() -> Iterator[None]:
    """No pytest settings but limpet's, and the user's again afterwards."""
    ours = {"PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    before = {name: os.environ.get(name) for name in ours}
    _set(ours)
    try:
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: everything is taken apart, and what is known is reported."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


COMMANDS = (run,)
