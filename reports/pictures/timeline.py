"""The timeline: faults as bands, requests as dots in the lane of the backend that answered, violations marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from limpet.harness.model.violation import Violation
from limpet.reports.pictures.story import Band, Dot, Story
from limpet.reports.pictures.svg import BAND, FAINT, INK, LINE, PALETTE, WRONG, Canvas, ticks

Scale = Callable[[float], float]
"""Seconds to x."""

_WIDTH = 1080.0
_LEFT = 92.0
_RIGHT = 18.0
_TOP = 46.0
_LANE = 74.0
_GAP = 8.0
_MARKS = 26.0
_LOST = 34.0
_FOOT = 34.0
_MOST = 3000
"""Dots that are drawn; of more, good answers are thinned out evenly."""
_LISTED = 8
"""Violations that are written out."""


def timeline(story: Story, title: str, violations: Sequence[Violation] = ()) -> str:
    """The picture, as SVG.

    Args:
        story: what happened.
        title: above it.
        violations: which requests are marked; each is written out below, the first ones at least.
    """
    lanes = list(story.backends)
    listed = violations[:_LISTED]
    floor = _TOP + _MARKS + len(lanes) * (_LANE + _GAP)
    height = floor + _LOST + _FOOT + (14.0 + 15.0 * len(listed) if listed else 0.0)
    canvas = Canvas(_WIDTH, height, f"{title}: requests by backend over time, with faults")
    span = max(story.span, 0.001)

    def x(t: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * t / span

    tops = {name: _TOP + _MARKS + number * (_LANE + _GAP) for number, name in enumerate(lanes)}
    canvas.text(_LEFT, 20, title, size=14, bold=True)
    canvas.text(
        _LEFT, 36, "a dot: a request in the lane of the backend that answered, each user at a height of their own; "
        "a band: what was wrong, dark until the balancer had to know", size=10, colour=FAINT,
    )  # fmt: skip
    _axis(canvas, span, x, floor + _LOST)
    for number, name in enumerate(lanes):
        canvas.rectangle(_LEFT, tops[name], _WIDTH - _LEFT - _RIGHT, _LANE, "#f6f6f6")
        canvas.rectangle(_LEFT - 8, tops[name], 4, _LANE, PALETTE[number % len(PALETTE)])
        canvas.text(_LEFT - 14, tops[name] + _LANE / 2 + 4, name, anchor="end", bold=True)
    canvas.text(_LEFT - 14, floor + _LOST / 2 + 4, "no answer", anchor="end", colour=WRONG)
    _draw_bands(canvas, story.bands, tops, x, floor)
    _draw_marks(canvas, story, tops, x, floor)
    _draw_dots(canvas, story, tops, x, floor)
    _draw_violations(canvas, story, violations, tops, x, floor)
    for number, each in enumerate(listed):
        text = f"◆ {number + 1}  {each.kind}: {each.text}"
        canvas.text(_LEFT, floor + _LOST + _FOOT + 10 + 15 * number, _short(text, 160), size=11, colour=WRONG)
    return canvas.drawn()


def _axis(canvas: Canvas, span: float, x: Scale, floor: float) -> None:
    for each in ticks(span, 10):
        canvas.line([(x(each), _TOP + _MARKS - 4), (x(each), floor)], LINE)
        canvas.text(x(each), floor + 14, f"{each:g}", size=10, colour=FAINT, anchor="middle")
    canvas.text(_WIDTH - _RIGHT, floor + 27, "seconds", size=10, colour=FAINT, anchor="end")


def _draw_bands(canvas: Canvas, bands: Sequence[Band], tops: Mapping[str, float], x: Scale, floor: float) -> None:
    beside: dict[str, list[tuple[float, int]]] = {}
    for band in bands:
        top = tops.get(band.backend, _TOP)
        height = _LANE if band.backend in tops else floor - _TOP
        begin, known, end = x(band.begin), x(band.known), x(band.end)
        hint = f"{band.what} {band.backend}, {band.begin:.2f} s to {band.end:.2f} s"
        canvas.rectangle(begin, top, end - begin, height, BAND, opacity=0.14, hint=hint)
        canvas.rectangle(begin, top, known - begin, height, BAND, opacity=0.22)
        # Labels of bands that overlap stand below each other.
        taken = {row for until, row in beside.get(band.backend, []) if until > begin}
        row = next(number for number in range(len(taken) + 1) if number not in taken)
        beside.setdefault(band.backend, []).append((max(end, begin + 6.2 * len(band.what)), row))
        canvas.text(begin + 3, top + 11 + 12 * row, band.what, size=10, colour="#7a3300", bold=True)


def _draw_marks(canvas: Canvas, story: Story, tops: Mapping[str, float], x: Scale, floor: float) -> None:
    until = [0.0, 0.0]
    for mark in story.marks:
        at = x(mark.t)
        canvas.line([(at, _TOP + 8), (at, floor)], INK, dashed=True)
        row = 0 if until[0] <= at else 1
        text = f"{mark.what} {mark.backend}".strip()
        until[row] = at + 6.0 * len(text) + 6
        canvas.text(at + 3, _TOP + 8 + 11 * row, text, size=10)


def _draw_dots(canvas: Canvas, story: Story, tops: Mapping[str, float], x: Scale, floor: float) -> None:
    heights = _heights(story)
    good = [dot for dot in story.dots if not dot.failed and dot.backend in tops]
    thin = max(1, -(-len(good) // _MOST))
    colours = {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(tops)}
    for dot in good[::thin]:
        canvas.circle(x(dot.sent), tops[dot.backend] + heights[dot.client], 1.9, colours[dot.backend], opacity=0.75)
    for dot in story.dots:
        if dot.failed:
            canvas.cross(x(dot.sent), floor + 8 + heights[dot.client] / _LANE * (_LOST - 16), 2.6, WRONG)
    if thin > 1:
        canvas.text(_WIDTH - _RIGHT, 36, f"one of {thin} answers is drawn", size=10, colour=FAINT, anchor="end")


def _draw_violations(
    canvas: Canvas, story: Story, violations: Sequence[Violation], tops: Mapping[str, float], x: Scale, floor: float
) -> None:
    heights = _heights(story)
    by_id = {dot.id: dot for dot in story.dots}
    for number, each in enumerate(violations, 1):
        dot = by_id.get(each.request)
        if dot is None:
            continue
        y = _height_of(dot, heights, tops, floor)
        canvas.diamond(x(dot.sent), y, 7, WRONG, f"{each.kind}: {each.text}")
        canvas.text(x(dot.sent) + 9, y - 4, str(number), size=10, colour=WRONG, bold=True)


def _height_of(dot: Dot, heights: Mapping[str, float], tops: Mapping[str, float], floor: float) -> float:
    if dot.failed or dot.backend not in tops:
        return floor + 8 + heights[dot.client] / _LANE * (_LOST - 16)
    return tops[dot.backend] + heights[dot.client]


def _heights(story: Story) -> dict[str, float]:
    """Where in a lane each user's dots are: always in the same place, so that a move is seen.

    Who came once cannot move, and shares the lowest place with all others of that kind.
    """
    times = Counter(dot.client for dot in story.dots)
    regular = [name for name in story.clients if times[name] > 1]
    heights = dict.fromkeys(times, _LANE - 5)
    for number, name in enumerate(regular):
        heights[name] = 6 + (_LANE - 18) * (number + 0.5) / len(regular)
    return heights


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
