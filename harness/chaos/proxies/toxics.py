"""The toxics of the embedded proxy: names, attributes and meaning are those of Toxiproxy's HTTP API.

Documentation: https://github.com/Shopify/toxiproxy#toxics. Times are whole milliseconds there, the slicer's delay
microseconds, rates KB/s and sizes bytes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal, cast, get_args

import msgspec

Stream = Literal["upstream", "downstream"]
ToxicType = Literal["latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"]
TYPES: tuple[ToxicType, ...] = get_args(ToxicType)

ATTRIBUTES: Mapping[ToxicType, tuple[str, ...]] = {
    "latency": ("latency", "jitter"),
    "bandwidth": ("rate",),
    "slow_close": ("delay",),
    "timeout": ("timeout",),
    "reset_peer": ("timeout",),
    "slicer": ("average_size", "size_variation", "delay"),
    "limit_data": ("bytes",),
}


class Wrong(Exception):
    """What somebody asked for makes no sense; with the HTTP status that says so."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Given(msgspec.Struct):
    """A toxic as it comes in a request; what is left out keeps its value, or its default."""

    type: str = ""
    name: str = ""
    stream: str = ""
    toxicity: float | None = None
    attributes: dict[str, int | float] = {}


class Toxic(msgspec.Struct):
    """One toxic of one proxy."""

    attributes: dict[str, int]
    name: str
    type: ToxicType
    stream: Stream
    toxicity: float

    def number(self, attribute: str) -> int:
        """An attribute's value."""
        return self.attributes.get(attribute, 0)

    def seconds(self, attribute: str) -> float:
        """An attribute in milliseconds, as seconds."""
        return self.number(attribute) / 1000

    def later(self) -> float:
        """Seconds by which a latency delays one piece: with its jitter, drawn anew."""
        jitter = self.number("jitter")
        return max(0.0, (self.number("latency") + (random.uniform(-jitter, jitter) if jitter else 0)) / 1000)

    def update(self, given: Given) -> None:
        """Takes over what a request says.

        Raises:
            Wrong: it makes no sense.
        """
        if given.toxicity is not None:
            if not 0 <= given.toxicity <= 1:
                raise Wrong(400, "toxicity is a share from 0 to 1")
            self.toxicity = given.toxicity
        for key, value in given.attributes.items():
            if key in ATTRIBUTES[self.type]:
                if value < 0:
                    raise Wrong(400, f"{key} is below 0")
                self.attributes[key] = int(value)


def toxic_of(given: Given) -> Toxic:
    """A new toxic.

    Raises:
        Wrong: there is no such type or stream.
    """
    if given.type not in TYPES:
        raise Wrong(400, "invalid toxic type")
    if given.stream not in ("", "upstream", "downstream"):
        raise Wrong(400, "stream was invalid, can be either upstream or downstream")
    kind: ToxicType = given.type
    stream = cast("Stream", given.stream or "downstream")
    toxic = Toxic(dict.fromkeys(ATTRIBUTES[kind], 0), given.name or f"{kind}_{stream}", kind, stream, 1.0)
    toxic.update(given)
    return toxic
