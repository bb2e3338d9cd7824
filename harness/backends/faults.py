"""What is wrong with this backend on purpose, and the commands that say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

Verb = Literal["normal", "slow", "status", "health", "reset", "accept-close", "blackhole", "report", "anew"]
Way = Literal["normal", "reset", "accept-close", "blackhole"]


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """One line of JSON on the control socket: `value` is seconds for slow, the status for status and health."""

    verb: Verb
    value: float = 0.0


class Report(msgspec.Struct):
    """The answer to a command, sent when it took effect; `error` says why it did not.

    Counts are since the start of this process. `health` counts requests to the health path, which no history holds.
    """

    name: str
    instance: str
    way: Way
    requests: int = 0
    health: int = 0
    connections: int = 0
    error: str = ""


@dataclass
class Faults:
    """The present faults. They add up until `normal` heals all of them."""

    way: Way = "normal"
    delay: float = 0.0
    status: int = 0
    health_status: int = 200

    def set(self, command: Command, protocol: str) -> str:
        """Take over what the command says, and return "" or why it makes no sense."""
        verb, value = command.verb, command.value
        if verb in ("status", "health"):
            if protocol != "http":
                return f"{verb} is a fault of HTTP; this backend speaks {protocol}"
            if not 200 <= value <= 599 or value != int(value):
                return f"{value:g} is no HTTP status from 200 to 599"
        if verb == "slow" and not 0 <= value < 86400:
            return f"{value:g} is no delay in seconds"
        if verb == "normal" or verb == "anew":  # noqa: PLR1714  mypy sees what is left only so
            self.way, self.delay, self.status, self.health_status = "normal", 0.0, 0, 200
        elif verb == "slow":
            self.delay = value
        elif verb == "status":
            self.status = int(value)
        elif verb == "health":
            self.health_status = int(value)
        elif verb != "report":
            self.way = verb
        return ""
