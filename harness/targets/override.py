"""Another program in the place of a target's own: how a faulty balancer is started."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Override:
    """Another ``module:function`` for a target with ``launch.python``, with arguments around the target's own."""

    entry: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
