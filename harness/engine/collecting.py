"""Finds behaviours in suite files by path, without running anything and without pytest."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import limpet
from limpet.harness.engine.behaviour import ATTRIBUTE, Behaviour
from limpet.harness.model.errors import HarnessFault, LimpetFault, UsageFault

HOME = Path(next(iter(limpet.__path__)))
SUITES = HOME / "suites"
CATALOGUE = SUITES / "catalogue"


def behaviours(paths: Sequence[Path] = (SUITES,)) -> list[Behaviour]:
    """All behaviours below these files and folders, sorted by id.

    Raises:
        UsageFault: a file of the user's own cannot be imported.
        HarnessFault: a bundled one cannot be, or two behaviours have the same id.
    """
    found: dict[str, Behaviour] = {}
    for file in _files(paths):
        for each in _in_module(_module(file)):
            if each.id in found and each != found[each.id]:
                raise UsageFault(f'there is a behaviour "{each.id}" already', where=str(file), do="Rename one of them.")
            found[each.id] = each
    return [found[name] for name in sorted(found)]


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("test_*.py")) if path.is_dir() else [path]


def _in_module(module: ModuleType) -> Iterator[Behaviour]:
    for thing in vars(module).values():
        marked = getattr(thing, ATTRIBUTE, None)
        if isinstance(marked, Behaviour):
            yield marked


def _module(file: Path) -> ModuleType:
    """The file as a module under a name that nobody else uses: suites are data, never imported by name."""
    name = "limpet_suite_" + re.sub(r"\W", "_", str(file.resolve()))
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageFault("is no Python file", where=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as err:
        del sys.modules[name]
        raise unreadable(file, err) from err
    return module


def unreadable(file: Path, err: BaseException) -> LimpetFault:
    """What to say about a suite file that raised while it was imported: the line in that file, and the error."""
    if isinstance(err, SyntaxError) and err.filename:
        place, what = f"{err.filename}:{err.lineno}", f"is no valid Python: {err.msg}"
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(err.__traceback__) if Path(frame.filename) == file]
        place = f"{file}:{lines[-1]}" if lines else str(file)
        what = f"cannot be imported: {type(err).__name__}: {err}"
    if SUITES.resolve() in file.resolve().parents:
        return HarnessFault(what, where=place, do="This is limpet's own file; is the installation whole?")
    return UsageFault(what, where=place, do="Correct this suite, or leave it out.")
