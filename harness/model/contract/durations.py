"""Durations as people write them: ``"2s"``, ``"1.5s"``, ``"20m"``, ``"7d"``, ``"100ms"``; seconds inside."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


def seconds(text: object) -> float:
    """Seconds of a duration such as ``"20m"``; a plain number is seconds already.

    Raises:
        ValueError: it is no duration (a negative one is none either).
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        if text < 0:
            raise ValueError("a duration cannot be negative")
        return float(text)
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a number and a unit: 500ms, 2s, 20m, 24h, 7d")
    return float(match[1]) * _UNITS[match[2]]


def spoken(value: float) -> str:
    """The shortest exact way to write so many seconds: 1200.0 is ``"20m"``."""
    for unit in ("d", "h", "m", "s"):
        count = value / _UNITS[unit]
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return f"{round(count)}{unit}"
    return f"{value:g}s" if value >= 1 or value == 0 else f"{value * 1000:g}ms"


Seconds = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$"}, {"type": "number", "minimum": 0}]}
    ),
]
"""A field in seconds that is written as a duration."""
