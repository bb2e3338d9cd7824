"""A history as a picture needs it: requests as dots, faults as bands, and what happened in one moment as marks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from limpet.harness.model.history import Control, ControlVerb, Note, Received, Record, Sent

_HEALS: Mapping[ControlVerb, frozenset[str]] = {
    "revive": frozenset({"kill", "hang", "blackhole", "reset", "accept-close", "slow", "status", "health", "stop"}),
    "start": frozenset({"stop"}),
    "normal": frozenset({"blackhole", "reset", "accept-close", "slow", "status", "health", "impair"}),
    "add": frozenset({"remove"}),
    "undrain": frozenset({"drain"}),
    "affinity-on": frozenset({"affinity-off"}),
}
"""What each verb ends, with the same backend."""

_MOMENTS = frozenset({"reload", "restart", "change", "reorder", "weight", "replace", "advance-clock", "add"})
_LASTING = frozenset().union(*_HEALS.values())


@dataclass(frozen=True)
class Dot:
    """One request that has its end. Times are seconds since the first record; ``backend`` is "" where none answered."""

    id: str
    client: str
    sent: float
    done: float
    backend: str
    failed: bool


@dataclass(frozen=True)
class Band:
    """Something that was wrong for a while. ``known``: from when on the balancer must have taken notice."""

    what: str
    backend: str
    begin: float
    known: float
    end: float


@dataclass(frozen=True)
class Mark:
    """Something that was done in one moment; ``backend`` is "" for the balancer itself."""

    what: str
    backend: str
    t: float


@dataclass(frozen=True)
class Story:
    """All of it. ``backends`` are in the order in which they are first heard of; ``span`` is in seconds."""

    dots: tuple[Dot, ...]
    bands: tuple[Band, ...]
    marks: tuple[Mark, ...]
    backends: tuple[str, ...]
    span: float
    measured: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """What was measured now and then, by its name with its unit: seconds and value."""

    @property
    def clients(self) -> tuple[str, ...]:
        """Who sent anything, in the order of their first request."""
        return tuple(dict.fromkeys(dot.client for dot in self.dots))


def story_of(history: Iterable[Record]) -> Story:
    """What a history tells; an empty one tells an empty story."""
    records = list(history)
    times = [each.t for each in records if isinstance(each, Sent | Received | Control)]
    begin, end = min(times, default=0.0), max(times, default=0.0)
    dots = _dots(records, begin)
    controls = sorted((each for each in records if isinstance(each, Control)), key=lambda each: each.t)
    bands = _bands(controls, begin, end)
    named = {each.backend for each in dots} | {each.backend for each in controls}
    return Story(
        dots=dots,
        bands=bands,
        marks=tuple(
            Mark(_words(each), each.backend, each.t - begin)
            for each in controls
            if each.verb in _MOMENTS and not _returns(each, controls)
        ),
        backends=tuple(sorted(named - {""}, key=_natural)),
        span=end - begin,
        measured=_measured(records, begin),
    )


def _dots(records: Iterable[Record], begin: float) -> tuple[Dot, ...]:
    sent: dict[str, Sent] = {}
    dots: list[Dot] = []
    for each in records:
        if isinstance(each, Sent):
            sent[each.id] = each
        elif isinstance(each, Received) and each.id in sent:
            asked = sent[each.id]
            failed = bool(each.error) or each.status >= 500
            dots.append(Dot(each.id, asked.client, asked.t - begin, each.t - begin, each.backend, failed))
    return tuple(sorted(dots, key=lambda dot: dot.sent))


def _measured(records: Iterable[Record], begin: float) -> dict[str, tuple[tuple[float, float], ...]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for each in records:
        if isinstance(each, Note) and each.measure:
            found.setdefault(each.measure, []).append((max(0.0, each.t - begin), each.value))
    return {name: tuple(values) for name, values in found.items()}


def _bands(controls: Iterable[Control], begin: float, end: float) -> tuple[Band, ...]:
    open_: dict[tuple[str, str], Control] = {}
    known: dict[tuple[str, str], float] = {}
    bands: list[Band] = []

    def close(key: tuple[str, str], at: float) -> None:
        first = open_.pop(key)
        bands.append(Band(_words(first), first.backend, first.t - begin, min(known[key], at) - begin, at - begin))

    for each in controls:
        ended = _HEALS.get(each.verb, frozenset())
        if each.verb == "health" and each.value < 400:
            ended = frozenset({"health"})
        for key in [key for key in open_ if key[0] == each.backend and key[1].partition("/")[0] in ended]:
            close(key, each.t)
        if each.verb in _LASTING and not (each.verb == "health" and each.value < 400):
            key = each.backend, f"{each.verb}/{each.detail}"
            again = [one for one in open_ if one[0] == each.backend and one[1].startswith(f"{each.verb}/")]
            if again and each.detail in ("", "noticed"):
                known[again[0]] = min(known[again[0]], each.done)  # told again: now it is certain
            else:
                open_[key] = each
                known[key] = each.done
    for key in list(open_):
        close(key, end)
    return tuple(sorted(bands, key=lambda band: (band.begin, band.backend)))


def _returns(control: Control, controls: Iterable[Control]) -> bool:
    """Whether a member is added that had been removed: the end of a band, and no mark."""
    return control.verb == "add" and any(
        each.verb == "remove" and each.backend == control.backend and each.t < control.t for each in controls
    )


def _words(control: Control) -> str:
    """``latency 0.2``, ``kill``, ``status 502``."""
    word = control.detail if control.verb in ("impair", "blackhole") and control.detail else control.verb
    return f"{word} {control.value:g}" if control.value else word


def _natural(name: str) -> tuple[str, int, str]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0), name
