"""A history's numbers as charts: shares, moves, errors, when users are served again, when a newcomer has its part."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from limpet.reports.pictures.story import Band, Story
from limpet.reports.pictures.svg import BAND, FAINT, INK, LINE, PALETTE, WRONG, Canvas, ticks

_WIDTH = 1080.0
_PANEL = 500.0
_HEIGHT = 170.0
_ROW = 250.0
_LEFT = 52.0
_TOP = 40.0
_BINS = 40
_LONGEST = 12
"""Bars of one chart at the most; the first ones are drawn."""


def charts(story: Story, title: str) -> str:
    """All charts that this history has numbers for, in one picture, as SVG."""
    panels: list[tuple[str, Callable[[Panel], None]]] = [
        ("share of the answers by backend, over time", lambda panel: _shares(panel, story)),
        ("how often users moved", lambda panel: _moves(panel, story)),
        ("requests without a good answer, over time", lambda panel: _errors(panel, story)),
    ]
    waits = first_successes(story)
    if waits:
        panels.append(("seconds until users of a failed backend were served again", lambda panel: _waits(panel, waits)))
    added = [mark for mark in story.marks if mark.what.partition(" ")[0] == "add"]
    if added:
        panels.append(("the share of what was added, from when it came", lambda panel: _joining(panel, story)))
    for name, values in story.measured.items():
        panels.append((f"{name}, over time", partial(_measured, story=story, values=values)))
    rows = -(-len(panels) // 2)
    canvas = Canvas(_WIDTH, _TOP + rows * _ROW, f"{title}: numbers")
    canvas.text(16, 24, title, size=14, bold=True)
    for number, (name, draw) in enumerate(panels):
        panel = Panel(canvas, 16 + (number % 2) * (_PANEL + 40), _TOP + (number // 2) * _ROW)
        canvas.text(panel.x, panel.y + 12, name, size=12, bold=True)
        draw(panel)
    return canvas.drawn()


@dataclass(frozen=True)
class Panel:
    """One chart's place."""

    canvas: Canvas
    x: float
    y: float

    @property
    def left(self) -> float:
        """Where its surface begins."""
        return self.x + _LEFT

    @property
    def width(self) -> float:
        """Of its surface."""
        return _PANEL - _LEFT

    @property
    def top(self) -> float:
        """Where its surface begins."""
        return self.y + 26

    @property
    def floor(self) -> float:
        """Where its surface ends."""
        return self.top + _HEIGHT

    def across(self, span: float, unit: str = "s") -> Callable[[float], float]:
        """A scale of 0 to ``span`` along the foot, drawn."""
        span = span or 1.0
        for each in ticks(span):
            at = self.left + self.width * each / span
            self.canvas.text(at, self.floor + 14, f"{each:g}", size=10, colour=FAINT, anchor="middle")
        self.canvas.text(self.left + self.width, self.floor + 27, unit, size=10, colour=FAINT, anchor="end")
        return lambda value: self.left + self.width * value / span

    def up(self, most: float, words: Callable[[float], str] = "{:g}".format) -> Callable[[float], float]:
        """A scale of 0 to ``most`` along the side, drawn."""
        most = most or 1.0
        for each in ticks(most, 4):
            at = self.floor - _HEIGHT * each / most
            self.canvas.line([(self.left, at), (self.left + self.width, at)], LINE)
            self.canvas.text(self.left - 6, at + 4, words(each), size=10, colour=FAINT, anchor="end")
        return lambda value: self.floor - _HEIGHT * value / most

    def none(self, text: str) -> None:
        """Says why there is nothing to see."""
        self.canvas.text(self.left, self.top + 20, text, colour=FAINT)


def percent(share: float) -> str:
    """``33 %``."""
    return f"{share:.0%}".replace("%", " %")


def moves(story: Story) -> dict[str, int]:
    """How often the answering backend changed for each user who was answered more than once."""
    answers: dict[str, list[str]] = {}
    for dot in story.dots:
        if dot.backend and not dot.failed:
            answers.setdefault(dot.client, []).append(dot.backend)
    return {
        client: sum(one != other for one, other in itertools.pairwise(seen))
        for client, seen in answers.items()
        if len(seen) > 1
    }


def first_successes(story: Story) -> list[tuple[str, float]]:
    """For each failure how many seconds passed until one of its users had a good answer from elsewhere.

    A user of a backend is one whose last answer before the failure came from it. Failures without users, or after which
    no user of theirs came before they were over, are left out.
    """
    found: list[tuple[str, float]] = []
    lasting = {"kill", "hang", "blackhole", "reset", "accept-close", "partition", "remove"}
    for band in story.bands:
        if band.what.partition(" ")[0] not in lasting:
            continue
        last: dict[str, str] = {}
        for dot in story.dots:
            if dot.done < band.begin and dot.backend:
                last[dot.client] = dot.backend
        users = {client for client, backend in last.items() if backend == band.backend}
        good = [
            dot.done
            for dot in story.dots
            if dot.client in users
            and band.begin <= dot.sent <= band.end
            and not dot.failed
            and dot.backend not in ("", band.backend)
        ]
        if good:
            found.append((f"{band.what} {band.backend}", min(good) - band.begin))
    return found


def share_since(story: Story, name: str, begin: float, bins: int = _BINS) -> list[tuple[float, float]]:
    """The share of the answers that came from a backend, in so many spans of time from ``begin`` to the end.

    Returns:
        The middle of each span in which anything was answered, in seconds since the beginning of the history, and the
        share.
    """
    span = (story.span - begin) / bins
    if span <= 0:
        return []
    total: Counter[int] = Counter()
    own: Counter[int] = Counter()
    for dot in story.dots:
        if dot.backend and not dot.failed and dot.sent >= begin:
            slot = min(bins - 1, int((dot.sent - begin) / span))
            total[slot] += 1
            own[slot] += dot.backend == name
    return [(begin + (slot + 0.5) * span, own[slot] / total[slot]) for slot in sorted(total)]


def _shares(panel: Panel, story: Story) -> None:
    x, y = panel.across(story.span), panel.up(1.0, percent)
    lines = {name: share_since(story, name, 0.0) for name in story.backends}
    base: dict[float, float] = {}
    for number, name in enumerate(story.backends):
        colour = PALETTE[number % len(PALETTE)]
        points = lines[name]
        lower = [(x(t), y(base.get(t, 0.0))) for t, _ in points]
        for t, share in points:
            base[t] = base.get(t, 0.0) + share
        upper = [(x(t), y(base[t])) for t, _ in points]
        panel.canvas.area([*upper, *reversed(lower)], colour, opacity=0.75)
    _legend(panel, story)
    _shade(panel, story.bands, x)


def _legend(panel: Panel, story: Story) -> None:
    for number, name in enumerate(story.backends[:8]):
        at = panel.left + number * 54
        panel.canvas.rectangle(at, panel.floor + 20, 8, 8, PALETTE[number % len(PALETTE)])
        panel.canvas.text(at + 11, panel.floor + 28, name, size=10)


def _shade(panel: Panel, bands: Sequence[Band], x: Callable[[float], float]) -> None:
    """When anything was wrong, as a strip along the top."""
    for band in bands:
        panel.canvas.rectangle(x(band.begin), panel.top - 5, x(band.end) - x(band.begin), 4, BAND, opacity=0.6)


def _moves(panel: Panel, story: Story) -> None:
    counts = Counter(moves(story).values())
    if not counts:
        panel.none("nobody came twice")
        return
    _bars(panel, {str(number): float(counts[number]) for number in range(max(counts) + 1)}, "users", "moves")


def _bars(panel: Panel, values: Mapping[str, float], up: str, across: str, *, places: int = 0) -> None:
    y = panel.up(max(values.values()))
    panel.canvas.text(panel.left - 6, panel.top - 6, up, size=10, colour=FAINT, anchor="end")
    step = panel.width / len(values)
    for number, (name, value) in enumerate(values.items()):
        at = panel.left + number * step
        panel.canvas.rectangle(at + step * 0.15, y(value), step * 0.7, panel.floor - y(value), PALETTE[0], opacity=0.8)
        if value:
            panel.canvas.text(at + step / 2, y(value) - 3, f"{value:.{places}f}", size=10, anchor="middle")
        panel.canvas.text(at + step / 2, panel.floor + 14, name, size=10, colour=FAINT, anchor="middle")
    panel.canvas.text(panel.left + panel.width, panel.floor + 27, across, size=10, colour=FAINT, anchor="end")


def _errors(panel: Panel, story: Story) -> None:
    x = panel.across(story.span)
    width = story.span / _BINS if story.span else 1.0
    failed = Counter(min(_BINS - 1, int(dot.sent / width)) for dot in story.dots if dot.failed)
    y = panel.up(max(failed.values(), default=1))
    for slot, count in failed.items():
        begin, end = x(slot * width), x((slot + 1) * width)
        panel.canvas.rectangle(begin, y(count), end - begin - 1, panel.floor - y(count), WRONG, opacity=0.8)
    _shade(panel, story.bands, x)
    total = sum(failed.values())
    text = f"{total} of {len(story.dots)}" if story.dots else "no requests"
    panel.canvas.text(panel.left + panel.width, panel.top - 8, text, size=10, colour=INK, anchor="end")


def _waits(panel: Panel, waits: Sequence[tuple[str, float]]) -> None:
    values: dict[str, float] = {}
    for number, (name, seconds) in enumerate(waits[:_LONGEST]):
        values[name if name not in values else f"{name} {number + 1}"] = seconds
    _bars(panel, values, "s", "failures in order", places=2)


def _measured(panel: Panel, story: Story, values: Sequence[tuple[float, float]]) -> None:
    x, y = panel.across(max(story.span, values[-1][0])), panel.up(1.1 * max(value for _, value in values))
    panel.canvas.line([(x(t), y(value)) for t, value in values], PALETTE[0], width=2)
    for t, value in values:
        panel.canvas.circle(x(t), y(value), 2.5, PALETTE[0])
    _shade(panel, story.bands, x)


def _joining(panel: Panel, story: Story) -> None:
    added = [mark for mark in story.marks if mark.what.partition(" ")[0] == "add"]
    begin = min(mark.t for mark in added)
    x, y = panel.across(story.span - begin, "s since it was added"), panel.up(1.0, percent)
    for mark in added:
        number = story.backends.index(mark.backend)
        points = share_since(story, mark.backend, mark.t, 20)
        panel.canvas.line([(x(t - mark.t), y(share)) for t, share in points], PALETTE[number % len(PALETTE)], width=2)
    fair = 1 / len(story.backends)
    panel.canvas.line([(panel.left, y(fair)), (panel.left + panel.width, y(fair))], INK, dashed=True)
    panel.canvas.text(panel.left + panel.width, y(fair) - 4, f"1/{len(story.backends)}", size=10, anchor="end")
    _legend(panel, story)
