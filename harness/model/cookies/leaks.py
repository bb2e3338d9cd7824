"""Does a cookie value that should be opaque tell about the backends?

Every finding states its **chance**: an upper bound on the probability that a value which tells nothing shows it all
the same, under the model that each character of such a value is drawn evenly from its alphabet (64 characters for
tokens of letters and digits, 10 and 16 for tokens of digits and hex digits only, 256 for decoded octets), times the
number of places and backends it was looked for. A short name such as ``b1`` has a chance of about 1e-3 in any one
value, so one value never accuses for it; ``judge_leaks`` asks for it in every value of every backend.

False accusations of ``judge_leaks``: at most ``alpha`` in that model. Outside of the model (a constant of the product
that happens to equal a backend's name) the demand that *each* backend's values show *its own* fact guards.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from limpet.harness.model.cookies.fingerprints import BackendFacts, Mark, marks
from limpet.harness.model.cookies.layers import Layer, layers

What = Literal["name", "address", "port", "address and port"]
KINDS = 64
"""Bonferroni factor for the kinds (fact and encoding) that are tried; digests add nothing, their chances are nil."""


@dataclass(frozen=True)
class Leak:
    """A fact about a backend that was found in a cookie value.

    ``how`` reads from the outside in: ``base64 > plain``. ``seen`` is the text that gave it away (hex for octets).
    """

    backend: str
    what: What
    how: str
    seen: str
    chance: float

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.what} of {self.backend}, {self.how}: {self.seen!r} (chance {self.chance:.1g})"


@dataclass(frozen=True)
class LeakVerdict:
    """What many cookie values tell together. ``chance`` is that of the strongest evidence, corrected for the search."""

    leaks: bool
    findings: tuple[Leak, ...]
    chance: float
    alpha: float
    text: str


def find_leaks(value: str, backends: Sequence[BackendFacts], *, known: Collection[str] = ()) -> list[Leak]:
    """Everything in one value that looks like a fact about a backend, likeliest leak first.

    Args:
        value: the cookie's value, as sent.
        backends: the facts to look for.
        known: names and addresses the client knows anyhow (its own, the balancer's); they tell nothing, and neither
            does a backend's address that equals one of them, though its port may.
    """
    readings = layers(value)
    best: dict[tuple[str, str, str], Leak] = {}
    for backend in backends:
        for mark in marks(backend, frozenset(known)):
            for layer in readings:
                leak = _find(backend, mark, layer, len(backends) * len(readings))
                if leak is None:
                    continue
                key = (leak.backend, leak.what, leak.how)
                if key not in best or leak.chance < best[key].chance:
                    best[key] = leak
    return sorted(best.values(), key=lambda leak: (leak.chance, leak.backend, leak.how))


def judge_leaks(
    samples: Iterable[tuple[str, str]],
    backends: Sequence[BackendFacts],
    *,
    known: Collection[str] = (),
    alpha: float = 1e-6,
) -> LeakVerdict:
    """Whether values that were issued by known backends leak.

    Two ways to be found out, each with half of ``alpha``: a finding in any one value, its chance multiplied by the
    number of values and of kinds; or a kind of finding that *every* value shows about the very backend that issued it,
    the chances of its different texts multiplied. Names and ports need at least two different texts for the latter.

    Args:
        samples: (cookie value, name of the backend that issued it), any order, duplicates allowed.
        backends: the facts to look for.
        known: as for ``find_leaks``.
        alpha: largest acceptable probability of a false accusation.
    """
    distinct = sorted(set(samples))
    found = {sample: find_leaks(sample[0], backends, known=known) for sample in distinct}
    values = len({value for value, _ in distinct})
    if not values:
        return LeakVerdict(False, (), 1.0, alpha, "no cookie value was seen")
    strong = [leak for leaks in found.values() for leak in leaks if leak.chance * values * 2 * KINDS <= alpha]
    if strong:
        findings = tuple(dict.fromkeys(sorted(strong, key=lambda leak: (leak.chance, leak.backend, leak.how))))
        chance = min(1.0, findings[0].chance * values * 2 * KINDS)
        return _accuse(findings, chance, alpha, values)
    systematic, chance = _systematic(found)
    if systematic and chance <= alpha:
        return _accuse(systematic, chance, alpha, values)
    text = f"{values} values: nothing about {len(backends)} backends beyond chance (best {chance:.1g}, limit {alpha:g})"
    return LeakVerdict(False, (), chance, alpha, text)


def _accuse(findings: tuple[Leak, ...], chance: float, alpha: float, values: int) -> LeakVerdict:
    text = f"{findings[0].text}; chance alone in {values} values gives p = {chance:.1g}; limit {alpha:g}"
    return LeakVerdict(True, findings, chance, alpha, text)


def _systematic(found: dict[tuple[str, str], list[Leak]]) -> tuple[tuple[Leak, ...], float]:
    """The strongest kind of finding that every value shows about its own backend, and its corrected chance."""
    own = [
        {(leak.what, leak.how): leak for leak in leaks if leak.backend == issuer}
        for (_, issuer), leaks in found.items()
    ]
    shared = set.intersection(*(set(kinds) for kinds in own))
    best: tuple[tuple[Leak, ...], float] = ((), 1.0)
    for kind in sorted(shared):
        # One factor for each distinct text: values that repeat the same text are no further evidence.
        by_text: dict[str, Leak] = {}
        for kinds in own:
            leak = kinds[kind]
            if leak.seen not in by_text or by_text[leak.seen].chance < leak.chance:
                by_text[leak.seen] = leak
        if len(by_text) < 2 and kind[0] in ("name", "port"):
            continue
        chance = min(1.0, 2 * KINDS * math.prod(leak.chance for leak in by_text.values()))
        if chance < best[1]:
            best = (tuple(by_text.values()), chance)
    return best


def _find(backend: BackendFacts, mark: Mark, layer: Layer, searched: int) -> Leak | None:
    chance = mark.search(layer)
    if chance is None:
        return None
    how = " > ".join((*layer.how, mark.how))
    return Leak(backend.name, mark.what, how, mark.shown, min(1.0, chance * searched))
