"""Durations as people write them: a number and a unit, `1.5s`, `20m`, `7d`."""

from __future__ import annotations

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: object) -> float:
    """Seconds.

    Raises:
        ValueError: it is no duration; the message shows the form.
    """
    match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError('a duration is a text of a number and a unit (ms, s, m, h, d), such as "1.5s" or "20m"')
    return float(match[1]) * _UNITS[match[2]]


def show_duration(seconds: float) -> str:
    """The shortest exact form."""
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        if seconds >= size and (seconds / size).is_integer():
            return f"{int(seconds / size)}{unit}"
    return f"{seconds:g}s"
