"""`limpet matrix`: all balancers that this machine can start, judged in one run and compared on one page."""

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from limpet.harness.model.errors import SetupFault, UsageFault

if TYPE_CHECKING:
    from limpet.harness.model.events import Handler
    from limpet.harness.targets.load import LoadedTarget
    from limpet.reports.final import Voice
    from limpet.reports.matrix import LeftOut
    from limpet.reports.matrix_page import MatrixReport
    from limpet.reports.run import Run


@click.command()
@click.option("--only", "globs", multiple=True, metavar="GLOB", help="Only bundled targets of such a name, or, "
              "where none has it, of such a product; repeatable.")  # fmt: skip
@click.option("--target", "own", multiple=True, metavar="DIR", help="A target of your own beside the bundled ones; "
              "repeatable.")  # fmt: skip
@click.option("--behaviour", "behaviours", multiple=True, metavar="GLOB", help="Only these behaviours; repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="So many worker processes, each with two slots "
              "for traffic. Default: one each core.")  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Repeat the run of this seed.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("limpet-matrix"),
              show_default=True, help="Where matrix.html, matrix.json, the evidence and histories go.")  # fmt: skip
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write JUnit XML too.")
@click.option("--strict", is_flag=True, help="A broken `should` fails the run too.")
@click.option("-v", "--verbose", is_flag=True, help="Rows that nothing promises in the table too.")
@click.option("-q", "--quiet", is_flag=True, help="Only rows of the table that somebody has to look at.")
def matrix(
    globs: tuple[str, ...],
    own: tuple[str, ...],
    behaviours: tuple[str, ...],
    jobs: int | None,
    seed: int | None,
    out: Path,
    junit: Path | None,
    strict: bool,
    verbose: bool,
    quiet: bool,
) -> int:
    """Compare all balancers that are installed here.

    Judges every bundled target that this machine can start, all in one run, so that what has to be waited for is
    waited for once, and writes one page: products and modes across, behaviours down, the evidence one click away.
    What could not run is listed with the line that installs it; `limpet doctor` tells it beforehand.
    """
    from limpet.harness.cli.testing import judge_for, place_for
    from limpet.harness.model.verdict import ExitCode
    from limpet.harness.session import Options

    chosen, left_out, unreadable = choose(globs)
    mine, not_here = of_ones_own(own)
    left_out += not_here
    if junit is not None:
        place_for(junit)
    for fault in unreadable:
        click.echo(f"limpet: left out, for it does not load: {fault}", err=True)
    if not chosen and not mine:
        raise SetupFault(
            f"none of the {len(left_out)} targets can be started here",
            where="limpet matrix",
            do="\n".join(dict.fromkeys(each.install or each.reason for each in left_out)),
        )
    words = ["limpet", "matrix"]
    for name, values in (("--only", globs), ("--target", own), ("--behaviour", behaviours)):
        for value in values:
            words += [name, value]
    words += ["--jobs", str(jobs)] if jobs else []
    words += ["--strict"] if strict else []
    options = Options(
        targets=(*chosen, *mine.values()), behaviours=behaviours, out=out, seed=seed, strict=strict, jobs=jobs,
        command=shlex.join(words), survey=True,
    )  # fmt: skip
    code = judge_for(options, _handlers(out, left_out, mine, junit, 0 if quiet else 1 + verbose))
    return ExitCode.USAGE if unreadable and code == ExitCode.HELD else code


def choose(globs: Sequence[str]) -> tuple[list[str], list[LeftOut], list[UsageFault]]:
    """The bundled targets that can be started here, those that cannot, and what is wrong with those that do not load.

    Balancers with a program of their own come first, by product; a control stands behind its product's other modes.

    Raises:
        UsageFault: a glob matches none.
    """
    from limpet.harness.model.contract.validation import nearest
    from limpet.harness.targets.installed import BUNDLED, program
    from limpet.harness.targets.load import load, names
    from limpet.reports.matrix import LeftOut

    found: list[tuple[tuple[bool, str, bool, str], str]] = []
    left_out: list[LeftOut] = []
    unreadable: list[UsageFault] = []
    wanted, products = _named(names(), globs)
    met: set[str] = set()
    words, makers = set(wanted), set[str]()
    for name, sure in wanted.items():
        try:
            loaded = load(name)
        except UsageFault as fault:
            if sure:
                unreadable.append(fault)
                left_out.append(LeftOut(name, name, "", "", f"does not load: {fault.reason}"))
            continue
        makers.add(loaded.product)
        hits = {glob for glob in products if fnmatch.fnmatchcase(loaded.product, glob)}
        met |= hits
        if not sure and not hits:
            continue
        needed = program(loaded)
        if needed.reason:
            left_out.append(_left_out(loaded, needed.reason, needed.install))
            continue
        control = loaded.contract.affinity == "none"
        found.append(((needed.name == BUNDLED, loaded.runs.casefold(), control, name), name))
    if wrong := [glob for glob in products if glob not in met]:
        close = nearest(wrong[0].strip("*?"), words | makers)
        raise UsageFault(
            f'no target or product matches "{wrong[0]}"; {close if close.endswith("?") else nearest("", makers)}',
            where="--only",
            do="`limpet targets` lists them.",
        )
    return [name for _, name in sorted(found)], left_out, unreadable


def _named(names: Sequence[str], globs: Sequence[str]) -> tuple[dict[str, bool], list[str]]:
    """The targets to look at, each with whether its name is meant; and the globs that can only mean products.

    What is not looked at need not be read: there are many targets, and one is often asked for.
    """
    if not globs:
        return dict.fromkeys(names, True), []
    products = [glob for glob in globs if not any(fnmatch.fnmatchcase(name, glob) for name in names)]
    meant = {name: any(fnmatch.fnmatchcase(name, glob) for glob in globs) for name in names}
    return (meant if products else {name: sure for name, sure in meant.items() if sure}), products


def of_ones_own(directories: Sequence[str]) -> tuple[dict[str, str], list[LeftOut]]:
    """Targets of one's own by name, each with its directory as it was given, and those that cannot be started here.

    Raises:
        UsageFault: one of them does not load.
    """
    from limpet.harness.targets.installed import program
    from limpet.harness.targets.load import load

    found: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for directory in directories:
        loaded = load(directory)
        needed = program(loaded)
        if needed.reason:
            left_out.append(_left_out(loaded, needed.reason, needed.install))
        else:
            found[loaded.target.name] = directory
    return found, left_out


def _left_out(loaded: LoadedTarget, reason: str, install: str) -> LeftOut:
    from limpet.reports.matrix import LeftOut

    target = loaded.target
    return LeftOut(target.name, target.title or target.name, loaded.runs, loaded.profile, reason, install)


def _handlers(
    out: Path, left_out: Sequence[LeftOut], own: Mapping[str, str], junit: Path | None, verbosity: int
) -> list[Handler]:
    from limpet.reports.conformance import ConformanceReport
    from limpet.reports.html import HtmlReport
    from limpet.reports.junit import JUnitReport
    from limpet.reports.matrix_page import MatrixReport
    from limpet.reports.run import Writer
    from limpet.reports.terminal import TerminalReport

    compared = MatrixReport(out, left_out, own)
    writers: list[Writer] = [ConformanceReport(out / "conformance.json"), HtmlReport(out / "report.html"), compared]
    if junit is not None:
        writers.append(JUnitReport(junit))

    def written() -> list[Path]:
        return [*compared.files, *(each.written for each in writers if each.written and each is not compared)]

    return [*writers, TerminalReport(written=written, show=_show(compared), verbosity=verbosity)]


def _show(compared: MatrixReport) -> Callable[..., None]:
    """What prints the last page: the matrix, or where none could be made the targets one by one."""
    from limpet.reports.final import show_run
    from limpet.reports.matrix_terminal import show_matrix

    def show(voice: Voice, run: Run, *, written: Iterable[Path], verbosity: int) -> None:
        if compared.matrix is None:
            show_run(voice, run, written=written, verbosity=verbosity)
        else:
            show_matrix(voice, compared.matrix, written=written, verbosity=verbosity)

    return show


COMMANDS = (matrix,)
