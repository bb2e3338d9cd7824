"""Walks as small files that people can read, and that `limpet replay` plays again."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from limpet.harness.chaos.walk import SPECS, WORDS, Step, problems
from limpet.harness.model.contract.validation import nearest
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.violation import Kind

KEY = "limpet-walk"
VERSION = 1


class Walk(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What such a file holds.

    Attributes:
        target: the target that it failed on: a bundled name, or what its directory is called.
        affinity: the mode of that target.
        violation: what was broken.
        seed: what the users' addresses and names are drawn from.
        step: the steps, in order.
    """

    target: str
    affinity: str
    step: tuple[Step, ...]
    violation: str = ""
    seed: str = "walk"


def text_of(walk: Walk, story: Sequence[str] = (), heading: Sequence[str] = ()) -> str:
    """The file's text.

    Args:
        walk: what is to be read again.
        story: what happened at each step, for people; as many sentences as steps, or none.
        heading: lines for people at the top.
    """
    lines = [f"# {_one_line(line)}" for line in heading]
    lines += [f"{KEY} = {VERSION}", f"target = {_text(walk.target)}", f"affinity = {_text(walk.affinity)}"]
    lines += [f"violation = {_text(walk.violation)}"] if walk.violation else []
    lines += [f"seed = {_text(walk.seed)}", "step = ["]
    for number, step in enumerate(walk.step):
        table: dict[str, object] = msgspec.to_builtins(step)
        inner = ", ".join(f"{key} = {_value(value)}" for key, value in table.items())
        note = f"  # {_one_line(story[number])}" if story else ""
        lines.append(f"    {{ {inner} }},{note}")
    return "\n".join([*lines, "]"]) + "\n"


def read(path: Path) -> Walk:
    """The walk in a file.

    Raises:
        UsageFault: it cannot be read, is of another version, or something in it is wrong: with every such place.
    """
    try:
        return parse(path.read_text("utf-8"), str(path))
    except OSError as err:
        raise UsageFault(f"cannot be read: {err.strerror}", where=str(path)) from None
    except UnicodeDecodeError as err:
        raise UsageFault(f"is no TOML: {err}", where=str(path), do=_WHERE_FROM) from None


def parse(text: str, where: str) -> Walk:
    """The walk in a file's text.

    Args:
        text: what `text_of` wrote, or somebody's hand.
        where: the file's name, for messages.

    Raises:
        UsageFault: as `read` does.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise UsageFault(f"is no TOML: {err}", where=where, do=_WHERE_FROM) from None
    version = table.pop(KEY, None)
    if version is None:
        raise UsageFault(f"says nothing of `{KEY}`, so it is no walk", where=where, do=_WHERE_FROM)
    if version != VERSION:
        raise UsageFault(
            f"is a walk of version {version}; this limpet plays version {VERSION}", where=where,
            do=f"Play it with the limpet that wrote it, or let this one find the failure again: {_AGAIN}",
        )  # fmt: skip
    steps = table.get("step")
    wrong = _wrong_words(steps) if isinstance(steps, list) else []
    if wrong:
        raise UsageFault("\n".join(wrong), where=where)
    try:
        walk = msgspec.convert(table, Walk)
    except msgspec.ValidationError as err:
        raise UsageFault(str(err).replace("$.", ""), where=where) from None
    found = [f"step {number}: {each}" for number, step in enumerate(walk.step, 1) for each in problems(step)]
    if not walk.step:
        found.append("a walk without any step")
    if walk.violation and walk.violation not in set(Kind):
        found.append(f'violation = "{walk.violation}": {nearest(walk.violation, set(Kind))}')
    if found:
        raise UsageFault("\n".join(found), where=where)
    return walk


_AGAIN = "limpet run --behaviour chaos.random-walk --target …"
_WHERE_FROM = f"Walks are written by: {_AGAIN}"


def _wrong_words(steps: list[object]) -> list[str]:
    """What msgspec would say less kindly: words that do not exist."""
    found = []
    fields = {*Step.__struct_fields__}
    for number, step in enumerate(steps, 1):
        if not isinstance(step, dict):
            found.append(f'step {number}: is no table such as {{ do = "reload" }}')
            continue
        if (word := step.get("do")) not in SPECS:
            found.append(f'step {number}: no step "{word}"; {nearest(str(word), WORDS)}')
        found += [f"step {number}: {key}: unknown key; {nearest(key, fields)}" for key in step.keys() - fields]
    return found


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _one_line(text: str) -> str:
    """A comment may quote a balancer: no line of it may become a line of the file."""
    return "".join(each if each.isprintable() else " " for each in text)
