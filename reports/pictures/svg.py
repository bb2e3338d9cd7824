"""Just enough SVG: shapes with presentation attributes only, so that a page's policy need not allow any style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8a6d00", "#7d5ba6", "#555555")
"""Colours that most people can tell from each other (after Okabe and Ito); red is left for what went wrong."""
WRONG = "#c1121f"
BAND = "#d55e00"
INK = "#222222"
FAINT = "#8a8a8a"
LINE = "#dddddd"


class Canvas:
    """A drawing of a fixed size.

    Args:
        width: in user units, which are pixels where nothing else is said.
        height: the same.
        title: what a reader who cannot see it is told.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        self._size = width, height
        self._title = title
        self._parts: list[str] = []

    def rectangle(
        self, x: float, y: float, width: float, height: float, fill: str, *, opacity: float = 1.0, hint: str = ""
    ) -> None:
        """A filled box; ``hint`` is shown to who points at it."""
        shape = f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(max(0.0, width))}" height="{_n(max(0.0, height))}" '
        self._shape("rect", f'{shape}fill="{fill}"{_opacity(opacity)}', hint)

    def circle(self, x: float, y: float, radius: float, fill: str, *, opacity: float = 1.0) -> None:
        """A dot."""
        self._parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{fill}"{_opacity(opacity)}/>')

    def cross(self, x: float, y: float, size: float, colour: str) -> None:
        """An x."""
        a, b, c, d = _n(x - size), _n(y - size), _n(x + size), _n(y + size)
        self._parts.append(
            f'<path d="M{a} {b}L{c} {d}M{a} {d}L{c} {b}" stroke="{colour}" stroke-width="1.4" fill="none"/>'
        )

    def diamond(self, x: float, y: float, size: float, colour: str, hint: str = "") -> None:
        """A mark that stands out."""
        points = f"{_n(x)},{_n(y - size)} {_n(x + size)},{_n(y)} {_n(x)},{_n(y + size)} {_n(x - size)},{_n(y)}"
        self._shape("polygon", f'<polygon points="{points}" fill="none" stroke="{colour}" stroke-width="2"', hint)

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, *, width: float = 1.0, dashed: bool = False
    ) -> None:
        """A line through these points."""
        if len(points) < 2:
            return
        path = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(f'<path d="M{path}" stroke="{colour}" stroke-width="{_n(width)}" fill="none"{dash}/>')

    def area(self, points: Sequence[tuple[float, float]], fill: str, *, opacity: float = 1.0) -> None:
        """A closed surface."""
        path = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        self._parts.append(f'<path d="M{path}Z" fill="{fill}"{_opacity(opacity)}/>')

    def text(
        self, x: float, y: float, text: str, *, size: float = 11, colour: str = INK, anchor: str = "start",
        bold: bool = False,
    ) -> None:  # fmt: skip
        """A line of text; ``anchor`` is start, middle or end."""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{colour}" text-anchor="{anchor}"{weight}>'
            f"{escape(_plain(text))}</text>"
        )

    def drawn(self) -> str:
        """The whole file."""
        width, height = map(_n, self._size)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label={quoteattr(_plain(self._title))} '
            'font-family="system-ui, sans-serif">'
        )
        ground = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        return "\n".join([head, ground, *self._parts, "</svg>", ""])

    def _shape(self, name: str, head: str, hint: str) -> None:
        tail = f"><title>{escape(_plain(hint))}</title></{name}>" if hint else "/>"
        self._parts.append(head + tail)


def ticks(span: float, many: int = 8) -> list[float]:
    """Round numbers from 0 to a span."""
    if span <= 0:
        return [0.0]
    raw = span / many
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= raw)
    return [number * step for number in range(int(span / step) + 1)]


def _n(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") or "0"


def _opacity(value: float) -> str:
    return "" if value >= 1 else f' fill-opacity="{value:g}"'


def _plain(text: str) -> str:
    """What XML can hold."""
    return "".join(each if each.isprintable() else " " for each in text)
