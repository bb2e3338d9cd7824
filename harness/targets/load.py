"""Finds target directories, reads them, and joins each with its profile of the catalogue."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import limpet
from limpet.harness.model.contract import Catalogue, Contract
from limpet.harness.model.contract.catalogue import Known
from limpet.harness.model.contract.validation import nearest, parse
from limpet.harness.model.errors import UsageFault
from limpet.harness.targets import placeholders
from limpet.harness.targets.merge import narrow
from limpet.harness.targets.model import Table, Target
from limpet.harness.targets.override import Override
from limpet.harness.targets.render import check_template, templates_of

# The package is always a directory here: limpet is not run from a zip.
_HOME = Path(next(iter(limpet.__path__)))
BUNDLED = _HOME / "fixtures" / "targets"
CATALOGUE = _HOME / "suites" / "catalogue"
FILE = "target.toml"


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
    """

    target: Target
    directory: Path
    profile: str
    contract: Contract
    own: Contract
    catalogue: Catalogue
    override: Override | None = None
    source: Path = CATALOGUE

    @property
    def profile_name(self) -> str:
        """The profile's name within its catalogue."""
        return self.profile.partition("/")[2]

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
        raise UsageFault(f"has no {FILE}", where=str(target), do="Write a draft with: limpet init")
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
        UsageFault: with every problem of the file at once.
    """
    directory = find(target)
    file = directory / FILE
    table = _toml(file)
    try:
        read = parse(Target, table, where=str(file))
    except UsageFault as fault:
        raise _and_its_contract(fault, table, directory, catalogue) from None
    wrong = [*placeholders.problems(read), *(p for name in templates_of(read) for p in check_template(directory, name))]
    if read.endpoint.remote and not read.endpoint.allow_remote:
        wrong.append(
            f"endpoint: {read.endpoint.address[0]} is not this machine; "
            "if you may send it test traffic, say allow_remote = true"
        )
    if wrong:
        count = "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems"
        raise UsageFault("\n  ".join([count, *wrong]), where=str(file))
    files = list(_catalogue_files(directory, catalogue))
    own_file, own_source, own_raw = _profile(read.profile, files, f"{file}: profile")
    own = narrow(own_raw, read.contract, profile=read.profile, where=str(file))
    if profile is None or profile == read.profile:
        return LoadedTarget(read, directory, read.profile, own, own, own_source, source=own_file)
    file, source, raw = _profile(profile, files, "--profile")
    return LoadedTarget(read, directory, profile, narrow(raw, {}, profile=profile, where=""), own, source, source=file)


def _and_its_contract(fault: UsageFault, table: Table, directory: Path, catalogue: Sequence[Path]) -> UsageFault:
    """The fault, with what is wrong under [contract] too: whoever corrects the one would only then meet the other."""
    profile, chosen = table.get("profile"), table.get("contract")
    if not isinstance(profile, str) or not isinstance(chosen, dict):
        return fault
    try:
        _, _, raw = _profile(profile, list(_catalogue_files(directory, catalogue)), "profile")
        narrow(raw, chosen, profile=profile, where="")
    except UsageFault as other:
        return UsageFault(f"{fault.what}\nand under [contract], {other.what}", where=fault.where, do=fault.do)
    return fault


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


def _catalogue_files(directory: Path, more: Sequence[Path]) -> Iterator[Path]:
    beside = directory / "profile.toml"
    if beside.is_file():
        yield beside
    for folder in more:
        if not folder.is_dir():
            raise UsageFault("is no directory", where=f"--catalogue {folder}")
        yield from sorted(folder.glob("*.toml"))
    yield from sorted(CATALOGUE.glob("*.toml"))


def _profile(wanted: str, files: list[Path], where: str) -> tuple[Path, Catalogue, Table]:
    product, _, name = wanted.partition("/")
    known: list[str] = []
    for file in files:
        raw = _raw(file, file.stat().st_mtime_ns)
        table = raw.get("product")
        if isinstance(table, dict) and table.get("name") == product:
            source = _catalogue(file, file.stat().st_mtime_ns)
            if name in source.profile:
                profiles = raw["profile"]
                assert isinstance(profiles, dict)
                return file, source, profiles[name]
        known += _listed(raw)
    raise UsageFault(f'no profile "{wanted}"; {nearest(wanted, known)}', where=where)


def _listed(raw: Table) -> list[str]:
    product, profiles = raw.get("product"), raw.get("profile")
    if not isinstance(product, dict) or not isinstance(profiles, dict):
        return []
    return [f"{product.get('name')}/{name}" for name in profiles]
