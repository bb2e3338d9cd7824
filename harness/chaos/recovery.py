"""Whether all is well again: whoever was in trouble gets new sessions as before."""

from __future__ import annotations

from limpet.harness.clients import Exchange
from limpet.harness.engine.samples import draws_to_meet
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.contract.stated import may
from limpet.harness.model.violation import Kind


def everybody_is_served(s: Scenario) -> int:
    """New sessions until they have reached every member; a violation where one is left out although it is well.

    Where a key alone decides who gets a session, nothing can be expected of new ones.

    Returns:
        How many members were reached.
    """
    wanted = set(s.names)
    most = max(draws_to_meet(s, name) for name in wanted)
    answered = 0
    last: Exchange | None = None
    for _ in range(most):
        newcomer = s.client()
        with s.luck():
            last = newcomer.visit()
        newcomer.close()
        answered += bool(last.backend)
        wanted.discard(last.backend)
        if not wanted:
            break
    missing = ", ".join(sorted(wanted))
    algorithm = s.contract.algorithm
    drawn = algorithm is not None and algorithm.binding and "hash" not in algorithm.allowed
    if missing and answered >= most and drawn and not may(s.contract.reaction.added, "remap"):
        s.broken(Kind.STARVED, f"none of {answered} new sessions reached {missing}, with whom nothing is wrong", last)
    elif missing:
        s.observe(f"{answered} new sessions reached all but {missing}")
    return s.n - len(wanted)
