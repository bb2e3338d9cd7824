"""Turns pydantic's findings into messages for people: every problem at once, its key and the nearest valid word."""

from __future__ import annotations

import difflib
import types
import typing

from pydantic import BaseModel, ValidationError

from limpet.harness.model.errors import UsageFault

M = typing.TypeVar("M", bound=BaseModel)


def parse(model: type[M], data: object, *, where: str) -> M:
    """``data`` as ``model``.

    Args:
        model: the pydantic model it must fit.
        data: what was read, usually a TOML document.
        where: the file, for the message.

    Raises:
        UsageFault: with every problem, one a line, each with its dotted key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as err:
        raise UsageFault(counted(_problems(model, err)), where=where) from None


def problems(model: type[BaseModel], data: object) -> list[str]:
    """What keeps ``data`` from being ``model``, each with its dotted key; empty where nothing does."""
    try:
        model.model_validate(data)
    except ValidationError as err:
        return _problems(model, err)
    return []


def counted(problems: typing.Sequence[str]) -> str:
    """Problems beneath their number, one a line."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n  ".join([count, *problems])


MOST_WORDS = 40
"""More than these are no help in a message; a list of them has a command of its own."""


def nearest(word: str, valid: typing.Iterable[str]) -> str:
    """`` (did you mean "x"?)`` when a valid word is close, else the valid words, of very many the first."""
    words = sorted(valid)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    if len(words) > MOST_WORDS:
        return f"valid: {', '.join(words[: MOST_WORDS // 2])} and {len(words) - MOST_WORDS // 2} more"
    return "valid: " + ", ".join(words) if words else ""


def nearest_pattern(glob: str, names: typing.Iterable[str]) -> str:
    """The same for a glob over dotted names: it may mean one of them, or an area (``affinity.*``)."""
    known = set(names)
    areas = {f"{name.partition('.')[0]}.*" for name in known}
    wild = "*" in glob or "?" in glob
    area = glob.partition(".")[0] + ".*"
    close = difflib.get_close_matches(glob, sorted(known | areas if wild else known), n=1, cutoff=0.7)
    if not close:
        tails = {name.partition(".")[2]: name for name in sorted(known)}
        tail = difflib.get_close_matches(glob.rpartition(".")[2].strip("*?"), tails, n=1, cutoff=0.8)
        close = [tails[each] for each in tail]
    return f'did you mean "{close[0]}"?' if close else nearest(area, areas)


def _problems(model: type[BaseModel], err: ValidationError) -> list[str]:
    return list(dict.fromkeys(_problem(model, item) for item in err.errors()))


def _problem(model: type[BaseModel], item: typing.Any) -> str:
    raw = [part for part in item["loc"] if not (isinstance(part, str) and _is_tag(part))]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in _drop_allowed(raw)).lstrip(".")
    if item["type"] == "extra_forbidden":
        word = str(item["loc"][-1])
        return f"{key}: unknown key; {nearest(word, _fields_at(model, raw[:-1]))}"
    if item["type"] == "missing":
        return f"{key}: is missing"
    if item["type"] == "literal_error":
        expected = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        given = item["input"]
        return f"{key}: {given!r} is not a valid word; {nearest(str(given), expected)}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _is_tag(part: str) -> bool:
    """Pydantic puts the names of union branches and validators into its locations; people do not know them."""
    return any(mark in part for mark in ("[", "(", "function-")) or part in {"float", "str", "int", "bool"}


def _drop_allowed(parts: list[str | int]) -> list[str | int]:
    """A scalar written for a `Stated` field was wrapped; show the key the author wrote."""
    if len(parts) >= 2 and parts[-2] == "allowed" and isinstance(parts[-1], int):
        return parts[:-2]
    return parts


def _fields_at(model: type[BaseModel], path: list[str | int]) -> set[str]:
    here: type[BaseModel] | None = model
    for part in path:
        if here is None:
            return set()
        if isinstance(part, int) or part not in here.model_fields:
            continue  # an index, or a key of a mapping: its model was already taken from the annotation
        here = _model_in(here.model_fields[part].annotation)
    return set() if here is None else {info.alias or name for name, info in here.model_fields.items()}


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, dict, list, tuple, typing.Annotated):
        for inner in typing.get_args(annotation):
            found = _model_in(inner)
            if found is not None:
                return found
    return None
