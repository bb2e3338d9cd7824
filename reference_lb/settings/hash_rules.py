"""What may go together where a hash of the client's address decides and nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator

from limpet.reference_lb.settings.config import Affinity
from limpet.reference_lb.settings.problems import Problem


def hash_problems(affinity: Affinity) -> Iterator[Problem]:
    """Everything about `affinity.store`."""
    store = affinity.store
    if store == "table":
        return
    if affinity.mode not in ("source-ip", "flow"):
        yield Problem("affinity.store", f'"{store}" needs mode = "source-ip" or "flow", and mode is "{affinity.mode}"')
        return
    nothing = f'store = "{store}" remembers nothing'
    limits = affinity.limits
    if affinity.duration is not None:
        yield Problem("affinity.duration", f"{nothing}, so nothing ends: leave it out")
    if (limits.default, limits.min, limits.max) != (None, None, None):
        yield Problem("affinity.limits", f"{nothing}, so there is no duration to limit: leave them out")
    if affinity.clock == "absolute":
        yield Problem("affinity.clock", f'"absolute" needs store = "table": {nothing}')
    if "table_size" in affinity.model_fields_set:
        yield Problem("affinity.table_size", f"{nothing}: leave it out")
    reaction = affinity.reaction
    for key, value, only in (
        ("unhealthy", reaction.unhealthy, "repin"),
        ("draining", reaction.draining, "repin"),
        ("recovered", reaction.recovered, "return"),
    ):
        if value != only:
            why = "only the members that are open now decide"
            yield Problem(f"affinity.reaction.{key}", f'"{value}": store = "{store}" needs "{only}", since {why}')
