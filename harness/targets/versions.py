"""Which version of a balancer this is, asked without starting it, and whether it is one that may be judged here."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path

import limpet
from limpet.harness.model.errors import LimpetFault, SetupFault
from limpet.harness.targets import launching
from limpet.harness.targets.answers import Unanswered, command_answer
from limpet.harness.targets.binaries import locate
from limpet.harness.targets.load import LoadedTarget
from limpet.harness.targets.placeholders import fill

_NUMBERS = re.compile(r"\d+(?:\.\d+)+")
_NEWER = "or newer"
_COMPARED = 2
"""Numbers that make another documentation: products keep one for each major.minor."""


def version_of(loaded: LoadedTarget) -> str:
    """What a target's balancer says it is, asked without starting it; "" when nobody knows or it is not installed.

    The same program is asked the same only once, for as long as its file does not change.
    """
    target = loaded.target
    values = {
        "python": sys.executable,
        "target": str(loaded.directory),
        "limpet.version": limpet.__version__,
        **{f"options.{name}": str(value) for name, value in target.options.items()},
    }
    launch = target.launch
    if launch is None or not launch.version:
        return ""
    try:
        program = ""
        if launch.binary is not None:
            program = values[launch.binary.name] = locate(launch.binary, where=target.name)
        if isinstance(launch.version, str):
            return fill(launch.version, values, where=target.name)
        argv = tuple(fill(word, values, where=target.name) for word in launch.version)
        changed = Path(program).stat().st_mtime_ns if program else 0
        return _asked(argv, str(loaded.directory), changed)
    except (LimpetFault, OSError):
        return ""


@lru_cache(maxsize=256)
def _asked(argv: tuple[str, ...], cwd: str, _changed: int) -> str:
    try:
        answer = command_answer(argv, cwd=Path(cwd), timeout=launching.SAYS_VERSION)
    except Unanswered:
        return ""
    return launching.version_in(answer.text)


def documented_otherwise(loaded: LoadedTarget) -> str:
    """The version of the documentation that its promises were read in, where another one runs; "" where they fit.

    Nothing is compared where the version is not known, or the promises are another product's.
    """
    documented = loaded.catalogue.product.version
    runs = version_of(loaded)
    if loaded.plays or not documented or not runs:
        return ""
    return "" if fits(runs, documented) else documented


def fits(runs: str, documented: str) -> bool:
    """Whether a documentation of ``documented`` (``2.8``, or ``1.29.6 or newer``) is about the version that runs."""
    mine, theirs = _numbers(runs), _numbers(documented)
    if not mine or not theirs:
        return True
    if _NEWER in documented:
        return mine >= theirs
    return mine[:_COMPARED] == theirs[:_COMPARED]


def check(loaded: LoadedTarget) -> None:
    """See that a balancer is of a version that its target can be set up with.

    Raises:
        SetupFault: it is too old, or not the documented one where the target demands that, or nobody knows its version.
    """
    launch = loaded.target.launch
    if launch is None or not (launch.at_least or launch.version_required):
        return
    runs = version_of(loaded)
    documented = loaded.catalogue.product.version
    wanted = f"at least {launch.at_least}" if launch.at_least else documented
    where = f"{loaded.target.name}: launch.version"
    do = f"Install it with: {launch.binary.install}" if launch.binary is not None and launch.binary.install else ""
    if not _numbers(runs):
        raise SetupFault(f"its version cannot be found out, and it has to be {wanted}", where=where, do=do)
    if launch.at_least and _numbers(runs) < _numbers(launch.at_least):
        raise SetupFault(f"it is {runs} and has to be {wanted}", where=where, do=do)
    if launch.version_required and not fits(runs, documented):
        raise SetupFault(f"it is {runs}, and its promises were read in the documentation of {documented}", where=where)


def _numbers(text: str) -> tuple[int, ...]:
    found = _NUMBERS.search(text)
    return tuple(map(int, found[0].split("."))) if found else ()
