"""How a scenario says that it cannot say: neither is ever an accusation."""

from __future__ import annotations


class Inconclusive(Exception):
    """Too few decisive samples within the budget."""


class NotCheckable(Exception):
    """The target turned out not to offer what the behaviour needs."""


class Observed(Exception):
    """What was seen, where nothing is promised: shown, and never a failure of the balancer."""
