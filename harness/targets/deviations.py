"""``known-deviations.toml`` beside a target.toml: what this balancer is known to do against its documentation.

The file changes what a *broken* row is called, never what was seen; see docs/verdicts.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from limpet.harness.model.contract.catalogue import Known
from limpet.harness.model.contract.validation import counted, nearest, nearest_pattern, parse
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Deviation
from limpet.harness.model.violation import Kind
from limpet.harness.targets.control import Part

FILE = "known-deviations.toml"
UNREPORTED = "not reported"
_VERSION = re.compile(r"\d+(?:\.\d+)*")


def _one_or_many(given: object) -> object:
    return (given,) if isinstance(given, str) else given


class Entry(Part):
    """One ``[[deviation]]``: a `limpet.harness.model.verdict.Deviation` for each row that the same cause breaks."""

    behaviour: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = Field(min_length=1)
    happens: str = Field(min_length=1)
    documented: str = ""
    since: str = Field(min_length=1)
    until: str = ""
    link: str
    reproduction: str = ""
    kinds: tuple[str, ...] = ()

    @field_validator("since", "until")
    @classmethod
    def _versions(cls, given: str) -> str:
        if given and _VERSION.fullmatch(given) is None:
            raise ValueError(f'{given!r} is no version; write its numbers, as in "1.31.3"')
        return given

    @field_validator("link")
    @classmethod
    def _address(cls, given: str) -> str:
        if given != UNREPORTED and re.fullmatch(r"https://[^\s/]+\S*", given) is None:
            raise ValueError(f'{given!r} is no link; give https://… or "{UNREPORTED}"')
        return given

    @field_validator("kinds")
    @classmethod
    def _known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            if each not in set(Kind):
                raise ValueError(f"there is no kind of violation {each!r}; {nearest(each, Kind)}")
        return given


class Document(Part):
    """The whole file."""

    deviation: tuple[Entry, ...] = ()


def understood(table: Mapping[str, object], file: Path, *, shown: str) -> tuple[Deviation, ...]:
    """The entries of a file.

    Args:
        table: what was read from it.
        file: where it stands, beside the reproductions that it names.
        shown: how reports name its directory.

    Raises:
        UsageFault: with everything that is wrong, but for the names of rows, which only a run knows.
    """
    document = parse(Document, table, where=str(file))
    if wrong := list(_problems(document.deviation, file.parent)):
        raise UsageFault(counted(wrong), where=str(file))
    return tuple(_deviation(entry, row, shown) for entry in document.deviation for row in entry.behaviour)


def in_force(deviations: Sequence[Deviation], version: str) -> tuple[Deviation, ...]:
    """Those that are about this version of the product; all of them where nobody knows the version.

    Of two versions that differ in length the missing numbers do not count: 1.31.3 is within ``until = "1.31"``.
    """
    found = _VERSION.search(version)
    if found is None:
        return tuple(deviations)
    here = _numbers(found[0])

    def concerned(each: Deviation) -> bool:
        first, last = _numbers(each.since), _numbers(each.until)
        return here[: len(first)] >= first[: len(here)] and (not last or here[: len(last)] <= last[: len(here)])

    return tuple(each for each in deviations if concerned(each))


def unknown_names(deviations: Sequence[Deviation], rows: Known) -> list[str]:
    """One line for each entry that names no row: it would never be found to be stale.

    Args:
        deviations: of one target.
        rows: the behaviours, each with the variants that this target's contract gives it.
    """
    return [f"{each.file}: {problem}" for each in deviations if (problem := _unknown(each.behaviour, rows))]


def _problems(entries: Sequence[Entry], directory: Path) -> Iterator[str]:
    named: set[str] = set()
    for number, each in enumerate(entries):
        key = f"deviation[{number}]"
        for row in each.behaviour:
            if row in named:
                yield f'{key}.behaviour: "{row}" stands there twice'
            named.add(row)
        if each.until and _numbers(each.until) < _numbers(each.since)[: len(_numbers(each.until))]:
            yield f"{key}.until: {each.until} is before since = {each.since}"
        if each.reproduction:
            beside = sorted(path.name for path in directory.iterdir() if path.suffix == ".sh")
            if "/" in each.reproduction:
                yield f"{key}.reproduction: name a file beside {FILE}, without a path"
            elif not (directory / each.reproduction).is_file():
                close = nearest(each.reproduction, beside)
                yield f'{key}.reproduction: there is no file "{each.reproduction}" beside {FILE}' + (
                    f"; {close}" if close else ""
                )


def _deviation(entry: Entry, row: str, shown: str) -> Deviation:
    return Deviation(
        behaviour=row,
        happens=" ".join(entry.happens.split()),
        since=entry.since,
        link=entry.link,
        documented=" ".join(entry.documented.split()),
        until=entry.until,
        reproduction=f"{shown}/{entry.reproduction}" if entry.reproduction else "",
        file=f"{shown}/{FILE}",
        kinds=tuple(Kind(each) for each in entry.kinds),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".")) if version else ()


def _unknown(name: str, rows: Known) -> str:
    """What is wrong with the name in an entry, "" when nothing is."""
    key = f'behaviour = "{name}"'
    behaviour, bracket, rest = name.partition("[")
    variant = rest.removesuffix("]")
    glob = Deviation(name, "", "", "")
    if _is_glob(behaviour):
        names = [row for each, variants in rows.items() for row in _names(each, variants)]
        return "" if any(map(glob.names, names)) else f"{key}: matches no row; {nearest_pattern(behaviour, rows)}"
    if behaviour not in rows:
        close = nearest(behaviour, rows)
        return f"{key}: no such behaviour; {close if close.endswith('?') else '`limpet behaviours` lists them'}"
    variants = rows[behaviour]
    if variants is None or any(map(glob.names, _names(behaviour, variants))):
        return ""
    if not variants:
        return f"{key}: {behaviour} has no variants here"
    if not bracket:
        return f"{key}: each variant is a row; name one, {behaviour}[{variants[0]}], or all, {behaviour}[*]"
    return f"{key}: no such variant; {nearest(variant, variants)}"


def _names(behaviour: str, variants: Sequence[str] | None) -> list[str]:
    return [f"{behaviour}[{each}]" for each in variants] if variants else [behaviour]


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name
