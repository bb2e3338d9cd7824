"""Faulty balancers as data: one small file each, with what it breaks and who must notice."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import limpet
from limpet.harness.model.contract.validation import nearest
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.violation import Kind
from limpet.harness.selftest.classes import CLASSES
from limpet.harness.selftest.loading import module_at
from limpet.harness.targets.load import names

FAULTY = Path(next(iter(limpet.__path__))) / "fixtures" / "faulty"
"""The bundled faults."""

_ADVICE = "See docs/selftest.md for what a fault's file says."


@dataclass(frozen=True)
class Fault:
    """One way to be wrong.

    Attributes:
        name: of its file.
        path: of its file.
        doc: what is wrong, in one line.
        classes: numbers of `CLASSES`.
        targets: bundled targets that it is put into.
        provokes: the violations, one of which it must be rejected with.
        caught_by: globs of the behaviours that must reject it, each on each target.
        caught_in_a_lab: the same for a lab of network namespaces, where loopback can show nothing of it.
    """

    name: str
    path: Path
    doc: str
    classes: tuple[int, ...]
    targets: tuple[str, ...]
    provokes: tuple[Kind, ...]
    caught_by: tuple[str, ...]
    caught_in_a_lab: tuple[str, ...] = ()


def faults(folders: Sequence[Path] = (FAULTY,), globs: Sequence[str] = ()) -> list[Fault]:
    """The faults in these folders, sorted by name; with ``globs``, those whose name matches one.

    Raises:
        UsageFault: a file says something wrong (with all problems of that file), two have one name, or a glob matches
            none.
    """
    files = [file for folder in folders for file in _files(folder)]
    named: dict[str, Path] = {}
    for file in files:
        if file.stem in named:
            raise UsageFault(f'there is a fault "{file.stem}" already', where=str(file), do="Rename one of them.")
        named[file.stem] = file
    for glob in globs:
        if not fnmatch.filter(named, glob):
            raise UsageFault(f'no fault matches "{glob}"; {nearest(glob, named)}', where="--fault")
    wanted = [name for name in sorted(named) if not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs)]
    return [read(named[name]) for name in wanted]


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    elif folder.is_dir():
        yield from (file for file in sorted(folder.glob("*.py")) if not file.stem.startswith("_"))
    else:
        raise UsageFault("there is no such file or folder", where=str(folder))


def read(path: Path) -> Fault:
    """One fault.

    Raises:
        UsageFault: with every problem of the file at once.
    """
    try:
        module = module_at(path)
    except Exception as err:
        raise UsageFault(f"cannot be imported: {type(err).__name__}: {err}", where=str(path), do=_ADVICE) from err
    reader = _Reader(module)
    in_a_lab = reader.words("CAUGHT_IN_A_LAB") if hasattr(module, "CAUGHT_IN_A_LAB") else ()
    found = Fault(
        name=path.stem,
        path=path.resolve(),
        doc=reader.doc(),
        classes=reader.classes(),
        targets=reader.words("TARGETS", names()),
        provokes=reader.kinds(),
        # What only a lab shows has no catcher elsewhere.
        caught_by=reader.words("CAUGHT_BY") if hasattr(module, "CAUGHT_BY") or not in_a_lab else (),
        caught_in_a_lab=in_a_lab,
    )
    reader.function()
    if reader.problems:
        count = "1 problem" if len(reader.problems) == 1 else f"{len(reader.problems)} problems"
        raise UsageFault("\n  ".join([count, *reader.problems]), where=str(path), do=_ADVICE)
    return found


class _Reader:
    """Takes a module's constants apart and collects what is wrong with them."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self.problems: list[str] = []

    def doc(self) -> str:
        first = (inspect.getdoc(self._module) or "").strip().partition("\n\n")[0]
        if not first:
            self.problems.append("it has no docstring: say what is wrong, in the words of an outage")
        return " ".join(first.split())

    def classes(self) -> tuple[int, ...]:
        given = self._tuple("CLASSES")
        wrong = [each for each in given if not isinstance(each, int) or each not in CLASSES]
        self.problems += [f"CLASSES: {each!r} is no fault class; they are 1 to {max(CLASSES)}" for each in wrong]
        return tuple(each for each in given if isinstance(each, int))

    def words(self, constant: str, known: Sequence[str] = ()) -> tuple[str, ...]:
        found: list[str] = []
        for each in self._tuple(constant):
            if not isinstance(each, str):
                self.problems.append(f"{constant}: {each!r} is no text")
            elif known and each not in known:
                self.problems.append(f'{constant}: no bundled target "{each}"; {nearest(each, known)}')
            else:
                found.append(each)
        return tuple(found)

    def kinds(self) -> tuple[Kind, ...]:
        given = getattr(self._module, "PROVOKES", None)
        words = (given,) if isinstance(given, str) else self._tuple("PROVOKES")
        wrong = [each for each in words if each not in [*Kind]]
        self.problems += [
            f"PROVOKES: {each!r} is no kind of violation; {nearest(str(each), [*Kind])}" for each in wrong
        ]
        return tuple(kind for kind in Kind if kind in words)

    def function(self) -> None:
        found = [getattr(self._module, name, None) for name in ("fault", "settings")]
        given = [each for each in found if each is not None]
        if not given:
            self.problems.append("it has neither fault(parts, activated) nor settings(table, activated)")
        for each in given:
            if not inspect.isfunction(each) or len(inspect.signature(each).parameters) != 2:
                self.problems.append("fault and settings are functions with two arguments")

    def _tuple(self, constant: str) -> tuple[object, ...]:
        given = getattr(self._module, constant, None)
        if not isinstance(given, tuple) or not given:
            self.problems.append(f"{constant}: give a tuple that is not empty, not {given!r}")
            return ()
        return given
