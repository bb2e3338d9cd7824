"""What is wrong with a configuration, in words: key, problem, allowed words, the nearest one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


class Problem(NamedTuple):
    """One thing to mend. `key` is its path in the file, such as `affinity.cookie.name`."""

    key: str
    text: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.key}: {self.text}" if self.key else self.text


class ConfigError(Exception):
    """The configuration cannot be used. `problems` is never empty."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        head = f"{source or 'configuration'}: {count}"
        super().__init__("\n  ".join([head, *map(str, self.problems)]))


def nearest(word: str, words: Iterable[str]) -> str:
    """` (did you mean "x"?)`, or nothing."""
    folded = {known.lower(): known for known in words}
    close = get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f' (did you mean "{folded[close[0]]}"?)' if close else ""


def problems_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Problem]:
    """Every problem that pydantic found, each key once."""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        where = _key(detail["loc"], model)
        key = ".".join(filter(None, (prefix, where)))
        found.setdefault(key, Problem(key, _text(detail, model)))
    return list(found.values())


def _key(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """The path without the names that pydantic adds for the branches of a union."""
    path = ""
    here: type[BaseModel] | None = model
    for index, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part + 1}]"
        elif here is not None:
            path += f".{part}" if path else part
            here = _model_at(here, part)
        elif index == len(loc) - 1 and path:
            break
    return path


def _model_at(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    return _model_in(field.annotation) if field is not None else None


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple):
        for argument in get_args(annotation):
            model = _model_in(argument)
            if model is not None:
                return model
    return None


def _known_keys(loc: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    here: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, str) and here is not None:
            here = _model_at(here, part)
    return list(here.model_fields) if here is not None else []


def _text(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, given = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(detail["loc"][:-1], model)
        return f"unknown key{nearest(str(detail['loc'][-1]), known)}; known keys: {', '.join(known)}"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'|(True|False)", str(context["expected"]))
        allowed = [quoted or bare.lower() for quoted, bare in words]
        return f"{given!r} is not one of {', '.join(allowed)}{nearest(str(given), allowed)}"
    if kind == "missing":
        return "it is missing"
    if kind == "value_error":
        return f"{given!r}: {context['error']}" if not isinstance(given, bytes) else str(context["error"])
    return f"{given!r}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
