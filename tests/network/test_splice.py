"""What comes in before the other end stands is not lost, whatever asyncio makes of a pause in `connection_made`."""

from __future__ import annotations

import asyncio
from typing import Any

from limpet.harness.network.splice import Ends, Half


class Nobody:
    """A table that takes no notes."""

    def accepted(self, ends: Ends, inner: tuple[str, int]) -> None:
        """Nothing is begun."""

    def over(self, ends: Ends, inner: tuple[str, int]) -> None:
        """Nothing is forgotten."""


class Wire(asyncio.Transport):
    """Takes notes of what is done to it, and goes on reading although it is paused, as asyncio up to 3.11.4 does."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 9)})
        self.done: list[Any] = []

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def write_eof(self) -> None:
        self.done.append("end")

    def close(self) -> None:
        self.done.append("closed")

    def pause_reading(self) -> None:
        self.done.append("paused")

    def resume_reading(self) -> None:
        self.done.append("resumed")


def accepted() -> tuple[Ends, Wire]:
    ends, wire = Ends(Nobody()), Wire()
    ends.connection_made(wire)
    return ends, wire


def joined(ends: Ends) -> Wire:
    half, wire = Half(ends), Wire()
    ends.other, half.other = half, ends
    half.connection_made(wire)
    ends.begin()
    return wire


def test_what_came_early_goes_on_first() -> None:
    ends, inside = accepted()
    ends.data_received(b"client ")
    ends.data_received(b"hello, ")
    outside = joined(ends)
    ends.data_received(b"and more")
    assert outside.done == [b"client hello, ", b"and more"]
    assert inside.done == ["paused", "resumed"]


def test_an_early_end_is_passed_on_and_answers_still_come() -> None:
    ends, inside = accepted()
    ends.data_received(b"all of it")
    assert ends.eof_received(), "it stays open for the answer"
    outside = joined(ends)
    assert outside.done == [b"all of it", "end"]
    assert ends.other is not None
    ends.other.data_received(b"answer")
    assert not ends.other.eof_received()
    assert inside.done == ["paused", "resumed", b"answer", "end", "closed"]


def test_early_data_that_comes_while_the_other_end_is_being_made_is_kept_too() -> None:
    ends, _ = accepted()
    half = Half(ends)
    ends.other, half.other = half, ends  # no transport yet
    ends.data_received(b"hello")
    wire = Wire()
    half.connection_made(wire)
    ends.begin()
    assert wire.done == [b"hello"]
