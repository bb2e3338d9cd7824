"""limpet's echo protocol: how a client below layer 7 learns who answers, and the backend which request it was.

The client sends ``LIMPET <request-id> [hold=<seconds>]``, the backend answers
``LIMPET <request-id> <backend> <instance> <peer-address>:<peer-port>``; each ends with a newline, many a connection.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from limpet.harness.backends.connection import Connection
from limpet.harness.backends.state import BackendState

LONGEST = 4096
ERROR = b"LIMPET-ERROR expected: LIMPET <request-id> [hold=<seconds>]\n"


class Line(NamedTuple):
    """What a client says: the id of its request, and the seconds after which it wants to be answered."""

    request: str
    hold: float


def parse_line(line: str) -> Line | None:
    """A line of the protocol without its end; None when it is none."""
    words = line.split(" ")
    hold = _hold(words[2:])
    if len(words) < 2 or words[0] != "LIMPET" or not words[1] or hold is None or len(line) > LONGEST:
        return None
    return Line(words[1], hold)


class EchoConnection(Connection):
    """Answers lines of the echo protocol, in order."""

    def __init__(self, state: BackendState) -> None:
        super().__init__(state)
        self._rest = b""

    def read(self, data: bytes) -> None:
        """Answer every whole line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._line(line.rstrip(b"\r").decode("latin-1")):
                return
        if len(self._rest) > LONGEST:
            self._refuse()

    def _line(self, line: str) -> bool:
        said = parse_line(line)
        if said is None:
            self._refuse()
            return False
        state, request = self.state, said.request
        state.arrived(request, self, method="TCP", path="", body_bytes=len(line) + 1)
        text = f"LIMPET {request} {state.options.name} {state.instance} {self.peer}\n"
        self.answer(text.encode("latin-1"), hold=said.hold)
        return True

    def _refuse(self) -> None:
        self._rest = b""
        self.answer(ERROR, close=True)


def _hold(words: list[str]) -> float | None:
    if not words:
        return 0.0
    if len(words) > 1 or not words[0].startswith("hold="):
        return None
    return seconds(words[0][5:])


def seconds(text: str) -> float | None:
    """A finite number of seconds, at most a day; None when the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= 86400 else None
