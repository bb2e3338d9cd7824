"""Finds target directories, reads them, and joins each with its profile of the catalogue."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import limpet
from limpet.harness.model.contract import Catalogue, Contract
from limpet.harness.model.contract.catalogue import Known
from limpet.harness.model.contract.validation import counted, nearest, parse
from limpet.harness.model.errors import UsageFault, together
from limpet.harness.model.verdict import Deviation
from limpet.harness.targets import deviations, placeholders
from limpet.harness.targets.marks import check_answered
from limpet.harness.targets.merge import narrow, strange
from limpet.harness.targets.model import Table, Target
from limpet.harness.targets.override import Override
from limpet.harness.targets.render import check_template, templates_of

# The package is always a directory here: limpet is not run from a zip.
_HOME = Path(next(iter(limpet.__path__)))
BUNDLED = _HOME / "fixtures" / "targets"
CATALOGUE = _HOME / "suites" / "catalogue"
FILE = "target.toml"
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class LoadedTarget:
    """A target that is understood, with its promise.

    Attributes:
        target: the directory's ``target.toml``.
        directory: where it was read; templates and commands are relative to it.
        profile: ``product/profile`` that it is judged by.
        contract: the promise that it is judged by.
        own: the promise that it was set up for; the same unless another profile was asked for.
        catalogue: the file that the judging profile comes from.
        override: what is started in its place (a faulty balancer).
        source: where the catalogue was read.
        deviations: what it is known to do otherwise than promised; nothing where another profile than its own judges.
        newer: what ``--upgrade-to`` named: the balancer that its users' keys are replayed to.
        sticky: False starts it with its stickiness switched off, so that what shows stickiness has something to find.
    """

    target: Target
    directory: Path
    profile: str
    contract: Contract
    own: Contract
    catalogue: Catalogue
    override: Override | None = None
    source: Path = CATALOGUE
    deviations: tuple[Deviation, ...] = ()
    newer: LoadedTarget | None = None
    sticky: bool = True

    @property
    def profile_name(self) -> str:
        """The profile's name within its catalogue."""
        return self.profile.partition("/")[2]

    @property
    def documented(self) -> bool:
        """Whether requirements say what its profile promises; else the profile's fields alone do."""
        return any(self.profile_name in each.profiles for each in self.catalogue.requirement)

    def promises(self, behaviour: str) -> bool:
        """Whether a requirement of its profile that can be broken names this behaviour, or this variant of one."""
        named = self.catalogue.requirements(self.profile_name, behaviour)
        return any(each.level != "observe" for each in named)

    @property
    def product(self) -> str:
        """The word for what really runs: what the target says, else the product of its own profile."""
        return self.target.product or self.target.profile.partition("/")[0]

    @property
    def runs(self) -> str:
        """What really runs, as people call it: its title where a catalogue knows it."""
        if self.product == self.catalogue.product.name:
            return self.catalogue.product.title
        for file in _catalogue_files(self.directory, ()):
            table = _raw(file, file.stat().st_mtime_ns).get("product")
            if isinstance(table, dict) and table.get("name") == self.product:
                return str(table.get("title", self.product))
        return self.product

    @property
    def plays(self) -> str:
        """The title of the product that it is judged as and that it is not; "" where it is that product."""
        return "" if self.product == self.catalogue.product.name else self.catalogue.product.title

    @property
    def emulation(self) -> bool:
        """Whether it was set up to play another product, rather than judged by another one's profile on demand."""
        return bool(self.plays) and self.profile == self.target.profile


def names(bundled: Path = BUNDLED) -> list[str]:
    """The bundled targets, sorted."""
    return sorted(path.parent.name for path in bundled.glob(f"*/{FILE}"))


def find(target: str | Path) -> Path:
    """The directory of a target: a path to it (or to its ``target.toml``), or a bundled name.

    Raises:
        UsageFault: there is none.
    """
    path = Path(target)
    if path.name == FILE and path.is_file():
        path = path.parent
    if (path / FILE).is_file():
        return path.resolve()
    if (BUNDLED / str(target) / FILE).is_file():
        return BUNDLED / str(target)
    if path.is_dir():
        raise UsageFault(f"has no {FILE}", where=str(target), do="Write a draft with: limpet init DIR")
    if len(path.parts) > 1:
        raise UsageFault("there is no such directory", where=str(target), do="Write a draft with: limpet init DIR")
    raise UsageFault(
        f'no target "{target}"; {nearest(str(target), names())}',
        do="Name a directory, or one that `limpet targets` lists.",
    )


def load(target: str | Path, *, catalogue: Sequence[Path] = (), profile: str | None = None) -> LoadedTarget:
    """A target and its contract.

    Args:
        target: a directory or a bundled name.
        catalogue: more directories with catalogue files, looked at first.
        profile: judge it by this profile instead of its own; its own choices under [contract] then do not count.

    Raises:
        UsageFault: with every problem of the file and of its profile at once.
    """
    directory = find(target)
    file = directory / FILE
    faults: list[UsageFault] = []
    table = _noted(faults, _toml, file)
    read = None if table is None else _noted(faults, _target, table, directory)
    chosen = {} if table is None else table.get("contract", {})
    wanted = None if table is None else table.get("profile")
    known = _noted(faults, _deviations, directory)
    files = _noted(faults, _catalogue_files, directory, catalogue)
    found = asked = None
    if files is not None and isinstance(wanted, str):
        found = _promise(faults, wanted, files, chosen if isinstance(chosen, dict) else {}, file)
    if files is not None and profile is not None and profile != wanted:
        asked = _promise(faults, profile, files, {}, None)
    if table is not None:
        _noted(faults, check_answered, file)
    if found is not None and found.file.parent == directory:
        _noted(faults, check_answered, found.file)
    if faults:
        # A mistake of its own profile may be why another file seems to be wrong.
        _noted(faults, _check_beside, directory)
        raise together(faults)
    assert read is not None and found is not None
    judging = asked or found
    return LoadedTarget(
        read,
        directory,
        profile or read.profile,
        judging.contract,
        found.contract,
        judging.catalogue,
        source=judging.file,
        deviations=(known or ()) if asked is None else (),
    )


def bundled_profile(profile: str) -> tuple[Catalogue, Contract]:
    """A bundled profile's catalogue, and its promise as no target has narrowed it.

    Raises:
        UsageFault: there is none of that name.
    """
    file, raw = _profile(profile, _catalogue_files(CATALOGUE, ()), "--profile")
    return _catalogue(file, file.stat().st_mtime_ns), narrow(raw, {}, profile=profile, where="")


class _Promise(NamedTuple):
    """A profile, narrowed; and the catalogue file that it was found in."""

    file: Path
    catalogue: Catalogue
    contract: Contract


def _noted(faults: list[UsageFault], do: Callable[P, T], *given: P.args, **named: P.kwargs) -> T | None:
    """What ``do`` returns; None where it finds something wrong, which is added to the faults."""
    try:
        return do(*given, **named)
    except UsageFault as fault:
        faults.append(fault)
        return None


def _target(table: Table, directory: Path) -> Target:
    file = str(directory / FILE)
    read = parse(Target, table, where=file)
    wrong = [*placeholders.problems(read), *(p for name in templates_of(read) for p in check_template(directory, name))]
    if read.endpoint.remote and not read.endpoint.allow_remote:
        wrong.append(
            f"endpoint: {read.endpoint.address[0]} is not this machine; "
            "if you may send it test traffic, say allow_remote = true"
        )
    if wrong:
        raise UsageFault(counted(wrong), where=file)
    return read


def _deviations(directory: Path) -> tuple[Deviation, ...]:
    file = directory / deviations.FILE
    if not file.is_file():
        return ()
    # A bundled one is named as in the repository, wherever limpet is installed.
    shown = directory.relative_to(_HOME) if directory.is_relative_to(_HOME) else directory
    return deviations.understood(_toml(file), file, shown=str(shown))


def _promise(
    faults: list[UsageFault], wanted: str, files: Sequence[Path], chosen: Table, file: Path | None
) -> _Promise | None:
    """The contract of a profile, narrowed by what the target's file chooses; None is the command line.

    Where there is no such profile, or it or a choice is wrong, every problem is noted and the answer is None.
    """
    place = "--profile" if file is None else f"{file}: profile"
    known = _noted(faults, _profile, wanted, files, place)
    if known is None:
        return None
    source, raw = known
    catalogue = _noted(faults, _catalogue, source, source.stat().st_mtime_ns)
    if catalogue is None:
        if wrong := strange(raw, chosen):
            faults.append(UsageFault(counted(wrong), where=f"{file} [contract]"))
        return None
    contract = _noted(faults, narrow, raw, chosen, profile=wanted, where="" if file is None else str(file))
    return None if contract is None else _Promise(source, catalogue, contract)


def _check_beside(directory: Path) -> None:
    beside = directory / "profile.toml"
    if beside.is_file():
        _catalogue(beside, beside.stat().st_mtime_ns)


def check_behaviours(catalogues: Iterable[tuple[Path, Catalogue]], known: Known) -> None:
    """Sees that requirements name only behaviours that exist: no other name would ever be looked for.

    Args:
        catalogues: each with the file that it was read from; the same file may come again and again.
        known: the behaviours of this run.

    Raises:
        UsageFault: with every unknown name, its file and its key.
    """
    wrong = {file: problems for file, each in catalogues if (problems := each.unknown_behaviours(known))}
    if not wrong:
        return
    total = sum(map(len, wrong.values()))
    count = "1 problem" if total == 1 else f"{total} problems"
    place = "" if len(wrong) == 1 else "{}: "
    lines = [place.format(file) + problem for file, problems in wrong.items() for problem in problems]
    raise UsageFault(
        "\n  ".join([count, *lines]),
        where=", ".join(map(str, wrong)),
        do="Correct the names; where they are behaviours of your own, give their suite too (--suite).",
    )


def _toml(file: Path) -> Table:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as err:
        raise UsageFault(f"is no valid TOML: {err}", where=str(file)) from None
    except UnicodeDecodeError as err:
        raise UsageFault(f"is not UTF-8: {err}", where=str(file)) from None
    except OSError as err:
        raise UsageFault(f"cannot be read: {err.strerror}", where=str(file)) from None


@lru_cache
def _raw(file: Path, _changed: int) -> Table:
    """A catalogue file as it is written. Nobody changes the result; a changed file is read again."""
    return _toml(file)


@lru_cache
def _catalogue(file: Path, changed: int) -> Catalogue:
    return parse(Catalogue, _raw(file, changed), where=str(file))


def _catalogue_files(directory: Path, more: Sequence[Path]) -> list[Path]:
    beside = directory / "profile.toml"
    found = [beside] if beside.is_file() else []
    for folder in more:
        if not folder.is_dir():
            raise UsageFault("is no directory", where=f"--catalogue {folder}")
        found += sorted(folder.glob("*.toml"))
    return found + sorted(CATALOGUE.glob("*.toml"))


def _profile(wanted: str, files: Sequence[Path], where: str) -> tuple[Path, Table]:
    product, _, name = wanted.partition("/")
    known: list[str] = []
    for file in files:
        raw = _raw(file, file.stat().st_mtime_ns)
        table, profiles = raw.get("product"), raw.get("profile")
        if isinstance(table, dict) and table.get("name") == product and isinstance(profiles, dict):
            profile = profiles.get(name)
            if isinstance(profile, dict):
                return file, profile
        known += _listed(raw)
    raise UsageFault(f'no profile "{wanted}"; {nearest(wanted, known)}', where=where, do="limpet profiles lists them.")


def _listed(raw: Table) -> list[str]:
    product, profiles = raw.get("product"), raw.get("profile")
    if not isinstance(product, dict) or not isinstance(profiles, dict):
        return []
    return [f"{product.get('name')}/{name}" for name in profiles]
