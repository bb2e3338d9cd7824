"""A run over many targets as one comparison: products and their modes across, behaviours down."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from limpet.harness.model.events import TargetInfo
from limpet.harness.model.verdict import Result, Verdict
from limpet.reports.looks import LOOKS
from limpet.reports.run import Row, Run, Section
from limpet.reports.text import one_line

SLOWEST = 3
"""How many of the slowest targets are named."""

_HEAD = re.compile(r"[,:] ")


class LeftOut(msgspec.Struct, frozen=True):
    """A target that could not be run here; ``install`` is the line that changes that, "" where nobody knows one."""

    target: str
    title: str
    product: str
    profile: str
    reason: str
    install: str = ""


class Span(msgspec.Struct, frozen=True):
    """When a target's first scenario began and its last verdict came: seconds after the start of the run."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took beside all the others."""
        return self.end - self.begin


class Mode(msgspec.Struct, frozen=True):
    """One target: a column.

    ``number`` is its place in the run, ``label`` its title without the product's name, ``span`` None where nothing of
    it was run, ``place`` what `limpet run --target` knows it by. ``control`` marks what is not sticky, and so shows
    that a check can tell the difference.
    """

    number: int
    section: Section
    label: str
    control: bool
    affinity: str
    span: Span | None
    place: str

    @property
    def info(self) -> TargetInfo:
        """What was judged."""
        return self.section.info

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many rows of each verdict, in the order of `LOOKS`."""
        return count(row.verdict for row in self.section.rows)

    @property
    def longest(self) -> Result | None:
        """The scenario that took longest; None where nothing was run."""
        return max((each for each in self.section.results if each.wall), key=lambda each: each.wall, default=None)

    @property
    def rows(self) -> dict[str, Row]:
        """Its rows by behaviour."""
        return {row.behaviour: row for row in self.section.rows}


class Product(msgspec.Struct, frozen=True):
    """The columns of one product."""

    title: str
    modes: tuple[Mode, ...]

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version of it that ran, "" left out."""
        return tuple(dict.fromkeys(each.info.version for each in self.modes if each.info.version))

    @property
    def told(self) -> str:
        """These, each with the version of the documentation where that is another one."""
        return ", ".join(dict.fromkeys(each.info.told for each in self.modes if each.info.version))

    @property
    def controls(self) -> tuple[Mode, ...]:
        """Its modes that are not sticky."""
        return tuple(each for each in self.modes if each.control)


class Line(msgspec.Struct, frozen=True):
    """One behaviour on every mode, None where it was not run. ``name`` leaves its area out."""

    behaviour: str
    name: str
    doc: str
    cells: tuple[Row | None, ...]


class Area(msgspec.Struct, frozen=True):
    """The behaviours of one family."""

    name: str
    lines: tuple[Line, ...]


class Matrix(msgspec.Struct, frozen=True):
    """Everything the comparison says."""

    run: Run
    products: tuple[Product, ...]
    areas: tuple[Area, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def modes(self) -> tuple[Mode, ...]:
        """All columns, in the order in which they are shown."""
        return tuple(mode for product in self.products for mode in product.modes)

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many cells of each verdict."""
        return count(cell.verdict for area in self.areas for line in area.lines for cell in line.cells if cell)

    @property
    def slowest(self) -> tuple[Mode, ...]:
        """The targets that took longest, the slowest first."""
        timed = [each for each in self.modes if each.span is not None]
        return tuple(sorted(timed, key=lambda each: -each.span.seconds if each.span else 0.0)[:SLOWEST])

    @property
    def uncontrolled(self) -> tuple[str, ...]:
        """Products without a control that is not sticky."""
        return tuple(each.title for each in self.products if not each.controls)

    @property
    def title(self) -> str:
        """How much was compared, on one line."""
        lines = [line for area in self.areas for line in area.lines]
        return f"{_many(self.products, 'product')}, {_many(self.modes, 'target')}, {_many(lines, 'behaviour')}"


def matrix_of(
    run: Run,
    spans: Mapping[str, Span],
    left_out: Sequence[LeftOut] = (),
    own: Mapping[str, str] | None = None,
) -> Matrix:
    """The comparison of a run.

    Args:
        run: what was found.
        spans: by target; those without one were not run.
        left_out: targets that could not be run here.
        own: directories of targets that are not bundled, by name.
    """
    places = own or {}
    groups: dict[str, list[tuple[int, Section]]] = {}
    for number, section in enumerate(run.sections):
        groups.setdefault(one_line(section.info.product), []).append((number, section))
    products = []
    for title, members in groups.items():
        labels = short_titles([section.info.title or section.info.name for _, section in members])
        modes = []
        for (number, section), label in zip(members, labels, strict=True):
            affinity = _affinity(section.info)
            name = section.info.name
            place = places.get(name, name)
            modes.append(Mode(number, section, label, affinity == "none", affinity, spans.get(name), place))
        products.append(Product(title, tuple(modes)))
    columns = [each.rows for product in products for each in product.modes]
    return Matrix(run, tuple(products), _areas(columns), tuple(left_out))


def short_titles(titles: Sequence[str]) -> list[str]:
    """Titles of one product's modes without what all of them begin with: ``nginx, ip_hash`` becomes ``ip_hash``."""
    titles = [one_line(each) for each in titles]
    heads = [_HEAD.split(each, maxsplit=1)[0].split() for each in titles]
    shared = 0
    while all(len(head) > shared for head in heads) and len({head[shared] for head in heads}) == 1:
        shared += 1
    skipped = len(" ".join(heads[0][:shared])) if heads else 0
    return [each[skipped:].lstrip(" ,:") or each for each in titles]


def count(verdicts: Iterable[Verdict]) -> dict[Verdict, int]:
    """How often each verdict comes, in the order of `LOOKS`; those that do not come are left out."""
    found = Counter(verdicts)
    return {verdict: found[verdict] for verdict in LOOKS if found[verdict]}


def reproduction(mode: Mode, seed: int, row: Row | None = None) -> str:
    """The line that judges this target, or this behaviour of it, again."""
    behaviour = f" --behaviour {row.behaviour}" if row is not None else ""
    return one_line(f"limpet run --target {shlex.quote(mode.place)} --seed {seed}{behaviour}")


def _areas(columns: Sequence[Mapping[str, Row]]) -> tuple[Area, ...]:
    families: dict[str, list[Line]] = {}
    for behaviour in sorted({name for column in columns for name in column}):
        cells = tuple(column.get(behaviour) for column in columns)
        area, _, name = behaviour.partition(".")
        doc = next((each.doc for cell in cells if cell for each in cell.results if each.doc), "")
        families.setdefault(area, []).append(Line(behaviour, name or behaviour, doc, cells))
    return tuple(Area(name, tuple(lines)) for name, lines in families.items())


def _affinity(info: TargetInfo) -> str:
    """What the contract says that the balancer recognises a client by; "" where it cannot be read."""
    try:
        contract = msgspec.json.decode(info.contract, type=_Affinity)
    except msgspec.DecodeError:
        return ""
    return contract.affinity


class _Affinity(msgspec.Struct):
    affinity: str = ""


def _many(things: Sequence[object], word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"
