"""What may go together in `[affinity.companion]`."""

from __future__ import annotations

from collections.abc import Iterator

from limpet.reference_lb.settings.config import Affinity, Companion
from limpet.reference_lb.settings.problems import Problem

KEY = "affinity.companion"


def companion_names(companion: Companion) -> list[str]:
    """Its cookie's and its twin's name, or those of all of its shards."""
    names = [companion.name] if companion.name is not None else []
    if companion.shards is not None:
        names += [f"{companion.shards.prefix}{number}" for number in range(companion.shards.count)]
    return names + ([companion.twin.name] if companion.twin is not None else [])


def reserved_names(affinity: Affinity) -> list[str]:
    """What the name of the application's cookie may not begin with."""
    if affinity.companion is None:
        return [affinity.cookie.name] + ([affinity.cookie.twin.name] if affinity.cookie.twin else [])
    shards = affinity.companion.shards
    return [shards.prefix] if shards is not None else companion_names(affinity.companion)


def companion_problems(affinity: Affinity) -> Iterator[Problem]:
    """What does not go together; nothing where there is no companion."""
    companion = affinity.companion
    if companion is None:
        return
    if affinity.mode != "app-cookie":
        yield Problem(KEY, f'it needs mode = "app-cookie", and mode is "{affinity.mode}"')
    if (companion.name is None) == (companion.shards is None):
        yield Problem(KEY, "give it a name, or shards, and not both")
    if companion.shards is not None and companion.twin is not None:
        yield Problem(f"{KEY}.twin", "shards have no twin")
    if companion.twin is not None and companion.twin.name == companion.name:
        yield Problem(f"{KEY}.twin.name", f'"{companion.name}" is the cookie\'s own name')
    for key in ("expires", "max_age"):
        if companion.lifetime == "application" and getattr(companion, key) is not None:
            yield Problem(f"{KEY}.{key}", 'lifetime = "application" takes it from the application\'s cookie')
    if companion.carries == "ticket" and affinity.reaction.unhealthy == "reroute":
        yield Problem("affinity.reaction.unhealthy", '"reroute" leaves no session to a ticket: use "repin"')
    if companion.carries == "pin" and companion.lifetime == "application":
        yield Problem(
            f"{KEY}.lifetime",
            '"application" needs carries = "ticket": a pin is renewed when the application\'s attributes are not known',
        )
