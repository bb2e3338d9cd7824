"""Presets: what a product documents of one of its modes, as settings and as bounds of settings.

They are this balancer's own data (`reference_lb/presets/<product>/<mode>.toml`). A file's settings lie over those of
the preset that it names; what a bound does not allow is refused, with the place that says so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from limpet.reference_lb.settings.durations import parse_duration, show_duration
from limpet.reference_lb.settings.problems import Problem, nearest

FOLDER = Path(__file__).parent.parent / "presets"

Table = dict[str, object]


class Constraint(BaseModel):
    """What a product allows one setting: words, a range of durations, names that do not begin with reserved ones.

    `characters`: what a name may hold beside letters and digits. `absent`: the setting is for other modes only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    setting: str
    source: str
    only: list[str | bool] | None = None
    min: str | None = None
    max: str | None = None
    reserved: list[str] | None = None
    characters: str | None = None
    required: bool = False
    absent: bool = False


class Preset(BaseModel):
    """One documented mode of one product. `needs` are settings without a default that whoever uses it must give."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    source: str
    needs: list[str] = []
    settings: Table
    constraint: list[Constraint] = []


def names() -> list[str]:
    """`product/mode` of every preset, sorted."""
    return sorted(f"{file.parent.name}/{file.stem}" for file in FOLDER.glob("*/*.toml"))


@cache
def preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        KeyError: there is none.
    """
    if name not in names():
        raise KeyError(name)
    return Preset.model_validate(tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")))


def laid_over(base: Mapping[str, object], top: Mapping[str, object]) -> Table:
    """Tables are merged key by key; of anything else `top` counts."""
    merged: Table = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = laid_over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def with_preset(raw: Mapping[str, object]) -> tuple[Mapping[str, object], list[Problem]]:
    """The settings of a file over those of the preset that it names."""
    name = raw.get("preset")
    if not isinstance(name, str):
        return raw, []
    if name not in names():
        near = nearest(name, names())
        return raw, [Problem("preset", f'there is no preset "{name}"{near}; limpet lb --presets lists them')]
    return laid_over(preset(name).settings, raw), []


def constraint_problems(name: str, sections: Mapping[str, BaseModel | None]) -> Iterator[Problem]:
    """What the product of this preset does not allow, in the sections that could be read."""
    for constraint in preset(name).constraint:
        head, *path = constraint.setting.split(".")
        here: object = sections.get(head)
        if here is None:
            continue
        for key in path:
            here = getattr(here, key, None)
        yield from _problems(name, constraint, here)


def _problems(name: str, constraint: Constraint, value: object) -> Iterator[Problem]:
    said = f"{name} ({constraint.source})"
    if value is None:
        if constraint.required:
            yield Problem(constraint.setting, f"it is missing, and {said} needs it")
        return
    if constraint.absent:
        yield Problem(constraint.setting, f"it is given, and {said} does not allow it in this mode")
        return
    shown = show_duration(value) if isinstance(value, float) else f'"{value}"'
    if constraint.only is not None and not any(_same(value, each) for each in constraint.only):
        words = " or ".join(f'"{each}"' if isinstance(each, str) else str(each).lower() for each in constraint.only)
        yield Problem(constraint.setting, f"{shown} is not {words}, which is all that {said} allows")
    if isinstance(value, float) and constraint.min is not None and value < parse_duration(constraint.min):
        yield Problem(constraint.setting, f"{shown} is below {constraint.min}, the least that {said} allows")
    if isinstance(value, float) and constraint.max is not None and value > parse_duration(constraint.max):
        yield Problem(constraint.setting, f"{shown} is above {constraint.max}, the most that {said} allows")
    if isinstance(value, str) and constraint.characters is not None:
        odd = sorted({c for c in value if not (c.isascii() and (c.isalnum() or c in constraint.characters))})
        if odd:
            holds = f"{' '.join(map(repr, odd))} beside letters, digits and {constraint.characters}"
            yield Problem(constraint.setting, f"{shown} holds {holds}, which are all that {said} allows")
    for prefix in constraint.reserved or []:
        if isinstance(value, str) and value.startswith(prefix):
            yield Problem(constraint.setting, f'{shown}: names that begin with "{prefix}" are reserved by {said}')
            return


def _same(value: object, allowed: str | bool) -> bool:
    if isinstance(value, float) and isinstance(allowed, str):
        return value == parse_duration(allowed)
    return value == allowed
