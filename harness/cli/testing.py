"""`limpet run` and `limpet selftest`: what judges."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

import limpet
from limpet.harness.model.verdict import ExitCode, Judgement

HOME = Path(next(iter(limpet.__path__)))
SUITES = HOME / "suites"


@click.command()
@click.option("--target", "targets", multiple=True, metavar="DIR", help="A target directory, or a name that `limpet "
              "targets` lists; repeatable. Default: the bundled balancer in all its modes.")  # fmt: skip
@click.option("--profile", metavar="P", help="Judge by this profile (product/profile) instead of the target's own.")
@click.option("--behaviour", "behaviours", multiple=True, metavar="GLOB", help="Only these behaviours; repeatable.")
@click.option("--require", multiple=True, metavar="GLOB", help="What must be held for exit 0; repeatable.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("limpet-out"), show_default=True,
              help="Where reports and histories go.")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Repeat the run of this seed.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML too.")
@click.option("--suite", "suites", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="Behaviours of your own, besides the bundled ones; repeatable.")  # fmt: skip
@click.option("--strict", is_flag=True, help="A broken `should` fails the run too.")
@click.option("-v", "--verbose", count=True, help="Every variant and all evidence in the table.")
@click.option("-q", "--quiet", is_flag=True, help="Held rows by name only.")
def run(
    targets: tuple[str, ...],
    profile: str | None,
    behaviours: tuple[str, ...],
    require: tuple[str, ...],
    out: Path,
    seed: int | None,
    junit: Path | None,
    suites: tuple[Path, ...],
    strict: bool,
    verbose: int,
    quiet: bool,
) -> int:
    """Judge balancers: every behaviour that their contracts promise, with evidence for each verdict."""
    from limpet.harness.session import Options

    words = ["limpet", "run"]
    for name, values in (("--target", targets), ("--behaviour", behaviours), ("--require", require)):
        for value in values:
            words += [name, value]
    words += ["--profile", profile] if profile else []
    options = Options(
        targets=targets,
        profile=profile,
        behaviours=behaviours,
        require=require,
        out=out,
        seed=seed,
        strict=strict,
        command=shlex.join(words),
    )
    return judge(options, suites=suites, junit=junit, verbosity=0 if quiet else 1 + verbose)


def judge(options: object, *, suites: Sequence[Path], junit: Path | None, verbosity: int) -> int:
    """Runs pytest on the suites under limpet's own configuration, whatever the current folder holds."""
    import pytest

    from limpet.harness.plugin_face import Face
    from limpet.harness.session import Options
    from limpet.reports.collection import Fanout, standard_handlers

    assert isinstance(options, Options)
    handlers = Fanout(standard_handlers(options.out, junit=junit, verbosity=verbosity))
    face = Face(options, handlers)
    arguments = [
        str(SUITES),
        *(str(path.resolve()) for path in suites),
        f"--config-file={HOME / 'harness' / 'run.ini'}",
        f"--rootdir={SUITES}",
        "--import-mode=importlib",
        "--capture=no",
        "-pno:cacheprovider",
        "-plimpet.harness.plugin",
    ]
    before = {name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    terminated = signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = pytest.main(arguments, plugins=[face])
    finally:
        signal.signal(signal.SIGTERM, terminated)
        handlers.close()
        os.environ.update({name: value for name, value in before.items() if value is not None})
    return exit_code(int(code), face.judgement, face.problems)


def exit_code(code: int, judgement: Judgement | None, problems: Sequence[str]) -> int:
    """limpet's exit code from pytest's and the run's judgement; says what kept the run from being whole."""
    for problem in problems:
        click.echo(f"limpet: {problem}", err=True)
    if judgement is None:
        return {2: ExitCode.UNDECIDED, 3: ExitCode.HARNESS, 4: ExitCode.USAGE, 5: ExitCode.UNDECIDED}.get(
            code, ExitCode.HARNESS
        )
    if code in (2, 3) and judgement.code == ExitCode.HELD:
        return ExitCode.UNDECIDED if code == 2 else ExitCode.HARNESS
    return judgement.code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


COMMANDS = (run,)
