"""What may go together where the application's cookie itself says which server it belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from limpet.reference_lb.settings.config import Affinity
from limpet.reference_lb.settings.problems import Problem


def mark_problems(affinity: Affinity) -> Iterator[Problem]:
    """Everything about `affinity.application.mark`."""
    application = affinity.application
    if application is None:
        return
    mark, reaction = application.mark, affinity.reaction
    if application.separator is not None and mark not in ("prefix", "route"):
        yield Problem("affinity.application.separator", f'it needs mark = "prefix" or "route", and mark is "{mark}"')
    if mark == "none":
        return
    key = "affinity.application.mark"
    if affinity.mode != "app-cookie":
        yield Problem(key, f'"{mark}" needs mode = "app-cookie", and mode is "{affinity.mode}"')
        return
    if affinity.companion is not None:
        yield Problem(key, f'"{mark}" and affinity.companion are two ways to do one thing: leave one of them out')
    nothing = f'with mark = "{mark}" the balancer remembers nothing'
    if affinity.duration is not None or affinity.limits.default is not None:
        yield Problem("affinity.duration", f"{nothing}, so nothing ends but the application's cookie: leave it out")
    if affinity.clock != "idle":
        yield Problem("affinity.clock", f'"{affinity.clock}": {nothing}: leave it out')
    if "table_size" in affinity.model_fields_set:
        yield Problem("affinity.table_size", f"{nothing}: leave it out")
    if reaction.ip_change == "invalidate":
        yield Problem("affinity.reaction.ip_change", f'"invalidate": {nothing}, the address neither: use "keep"')
    if mark == "route":
        yield from _only_read(affinity)
    elif reaction.unhealthy == "repin" and reaction.recovered == "return":
        yield Problem("affinity.reaction.recovered", f'"return": {nothing}, the old server neither: use "stay"')
    if reaction.unhealthy == "reroute" and reaction.recovered == "stay":
        yield Problem(
            "affinity.reaction.recovered", '"stay": unhealthy = "reroute" leaves the cookie as it is: use "return"'
        )


def _only_read(affinity: Affinity) -> Iterator[Problem]:
    why = 'with mark = "route" the application alone changes the cookie'
    for key, value, wrong, use in (
        ("unhealthy", affinity.reaction.unhealthy, "repin", "reroute"),
        ("draining", affinity.reaction.draining, "repin", "keep"),
        ("bad_cookie", affinity.reaction.bad_cookie, "replace", "ignore"),
    ):
        if value == wrong:
            yield Problem(f"affinity.reaction.{key}", f'"{wrong}": {why}: use "{use}"')
