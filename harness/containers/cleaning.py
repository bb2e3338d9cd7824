"""What dead runs left in the engine: their containers and networks, and containers of the user's still down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from limpet.harness.containers import debts
from limpet.harness.containers.engine import Engine
from limpet.harness.containers.labels import OWNER, RUN, fate, owner_in, this_process


@dataclass(frozen=True)
class Removed:
    """How much was removed."""

    containers: int
    networks: int


def remove_leftovers(engine: Engine) -> Removed:
    """Remove what carries the label of a run that is dead.

    A run that lives, or of which this process cannot know (of another machine or another container with the same
    engine), keeps everything.

    Raises:
        SetupFault: the engine refuses.
    """
    here = this_process()

    def left(labels: Mapping[str, str]) -> bool:
        owner = owner_in(labels.get(OWNER, ""))
        return owner is not None and fate(owner, here) == "dead"

    containers = [each for each, labels in engine.containers(RUN).items() if left(labels)]
    for container in containers:
        engine.remove(container)
    networks = [each for each, labels in engine.networks(RUN).items() if left(labels)]
    for network in networks:
        engine.remove_network(network)
    return Removed(len(containers), len(networks))


def clean() -> Iterator[str]:
    """Does both; yields what it did, in words. Asks no engine where no dead run has written down that it used one.

    Raises:
        SetupFault: the engine that it used does not answer, or refuses.
    """
    if not debts.of_the_dead():
        return
    engine = Engine()
    removed = remove_leftovers(engine)
    if removed.containers or removed.networks:
        yield f"{removed.containers} containers and {removed.networks} networks of dead runs"
    for name in debts.settle(engine):
        yield f"container {name} runs again"
