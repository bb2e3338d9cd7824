"""`chaos.random-walk`: deals walks, plays them, and makes of a failure a small file that can be played again."""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from limpet.harness.chaos.replay import Walk, text_of
from limpet.harness.chaos.shrink import Exhausted, shrink
from limpet.harness.chaos.theatre import Performance, Theatre
from limpet.harness.chaos.walk import Step, printed_walk, unfit
from limpet.harness.chaos.walk_draw import Dealer, seconds, within
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model import verdict
from limpet.harness.model.violation import Kind
from limpet.harness.targets.load import BUNDLED, LoadedTarget

WALKS = 6
"""Walks at the most."""

REQUESTS = 1000
"""After so many requests no further walk begins; one has fewer than 200."""

SECONDS = 15.0
"""Nor when it would wait longer than this for the balancer, all walks together (see `seconds`), and something was
decided."""

SPARE = 3
"""So many are dealt however long they wait: a walk may draw events upon which everything was allowed."""

PLAYS = 80
"""Plays to make a failing walk smaller, at the most."""

PATIENCE = 40.0
"""Seconds for that, and for seeing how often it happens again."""

AGAIN = 3
"""How often the smallest failing walk is played again."""


def dealt(loaded: LoadedTarget, seed: str, *, walks: int = WALKS) -> Iterator[tuple[Step, ...]]:
    """The walks of a run with this seed, as many as it plays at the most."""
    dealer = Dealer(loaded, random.Random(seed))
    waits = 0.0
    for number in range(walks):
        steps = within(dealer.walk(), loaded.target, loaded.contract, SECONDS)
        waits += seconds(steps, loaded.target, loaded.contract)
        if number >= SPARE and waits > SECONDS:
            return
        yield steps


def foretold_walks(loaded: LoadedTarget, seed: str, _duration: float = 0.0) -> str:
    """What a run with this seed will do to a target, for people; a line for each walk."""
    lines = [f"walk {number}: {printed_walk(steps)}" for number, steps in enumerate(dealt(loaded, seed), 1)]
    return "\n".join(
        [
            *lines,
            "Of 2 is the backend that user 2 reached last. A walk that goes wrong is played again, shortened, "
            f"up to {PLAYS + AGAIN} times; each is healed by revive, and by the members and the stickiness of before. "
            f"What would wait for more than {SECONDS:g} s in all is played where nothing before could show anything",
        ]
    )


def foretold_walk(walk: Walk) -> str:
    """What a replay of this walk does, for people."""
    return f"{printed_walk(walk.step)}\nhealed by revive, and by the members and the stickiness of before"


def random_walk(scenario: Scenario, *, walks: int = WALKS) -> None:
    """Plays random walks until one shows a violation, or enough was decided.

    Raises:
        Inconclusive: nothing that was sent could have shown a violation.
        SetupFault: the balancer could not be started or steered.
    """
    theatre = Theatre(scenario, scenario.cast)
    loaded, waits = scenario.system.loaded, 0.0
    for number, steps in enumerate(dealt(loaded, scenario.plan_seed, walks=walks), 1):
        waits += seconds(steps, loaded.target, loaded.contract)
        if number > 1 and (scenario.requests > REQUESTS or (waits > SECONDS and scenario.decided)):
            break
        played = theatre.play(steps)
        if played.violations:
            _accuse(scenario, theatre, played, number)
            return
        scenario.decided += played.decided
        scenario.step(f"walk {number}: {len(steps)} steps, {played.requests} requests, of which {played.decided} could "
                      "have shown a violation; none did")  # fmt: skip
    if not scenario.decided:
        raise Inconclusive("no request of any walk could have shown a violation")


def play_walk(scenario: Scenario, walk: Walk) -> None:
    """Plays one walk once, as it is.

    Raises:
        NotCheckable: the target cannot take one of its steps.
    """
    loaded = scenario.system.loaded
    cannot = {reason: None for step in walk.step if (reason := unfit(step, loaded))}
    if cannot:
        mode = "" if walk.affinity == loaded.contract.affinity else f" (the walk is one of {walk.affinity})"
        raise NotCheckable("; ".join(cannot) + mode)
    played = Theatre(scenario, walk.seed).play(walk.step)
    _adopt(scenario, played)


def _accuse(scenario: Scenario, theatre: Theatre, first: Performance, number: int) -> None:
    """Makes it small, plays it again, and leaves the evidence in the scenario's own history."""
    shown = first
    deadline = time.monotonic() + PATIENCE

    def attempt(steps: Sequence[Step]) -> tuple[Step, ...] | None:
        nonlocal shown
        if time.monotonic() > deadline:
            raise Exhausted
        played = theatre.play(steps)
        if played.kind is not first.kind:
            return None
        shown = played
        return played.essence()

    steps, plays = shrink(first.essence(), attempt, plays=PLAYS)
    again = [theatre.play(steps) for _ in range(AGAIN)]
    alike = [each for each in again if each.kind is first.kind]
    if alike:
        shown = alike[0]
    _adopt(scenario, shown)
    often = f"played again it went wrong in the same way {len(alike)} of {len(again)} times"
    scenario.observe(f"found in walk {number}, made of {len(first.steps)} steps {len(steps)} in {plays} plays; {often}")
    loaded = scenario.system.loaded
    walk = Walk(loaded.target.name, loaded.contract.affinity, steps, str(first.kind or ""), scenario.cast)
    heading = [f"{shown.violations[0].text}", often]
    story = [each.text for each in shown.told] if shown.steps == steps else []
    path = scenario.recorder.path.with_suffix(".toml")
    path.write_text(text_of(walk, story[: len(steps)] if len(story) >= len(steps) else (), heading), "utf-8")
    scenario.observe(f"play it again: {_replayed(scenario, path)}")


def _replayed(scenario: Scenario, path: Path) -> str:
    """The line that plays a walk again where it was found."""
    loaded, network = scenario.system.loaded, scenario.system.site.name
    words = ["limpet", "replay", str(path)]
    if loaded.directory.resolve() != (BUNDLED / loaded.target.name).resolve():
        words += ["--target", str(loaded.directory)]
    words += ["--network", network] if network != "loopback" else []
    return shlex.join(words)


def _adopt(scenario: Scenario, played: Performance) -> None:
    """The play's history becomes the scenario's, where it is judged once more and kept."""
    for record in played.records:
        scenario.recorder.add(record)
    scenario.steps += [
        verdict.Step(each.t - played.begin, f"{number}. {each.text}") for number, each in enumerate(played.told, 1)
    ]
    for each in played.violations:
        if each.kind is Kind.ERROR and not each.request:  # its process ended: no record of a request tells that
            scenario.violations.append(each)
