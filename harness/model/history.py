"""The history: the append-only record of everything that was sent, seen and done.

All times ``t`` are seconds of CLOCK_MONOTONIC, which every process of one machine shares. ``offset`` is the
deployment's virtual time at that moment, in seconds: lab time is ``t + offset``. On disk a history is JSON lines,
one record a line, each written with a single ``write`` so that a crash can tear at most the last line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

Header = tuple[str, str]


class Sent(msgspec.Struct, frozen=True, tag="sent", omit_defaults=True):
    """A client sent a request (layer 7) or a line of the echo protocol (layer 4).

    The first request or line on a connection counts as sent when the connection was begun. There a balancer of layer 4
    decides, and one of layer 7 may still close what it accepted just before it changed.
    ``source`` and ``port`` are what the balancer sees of it: behind NAT the gateway's, "" and 0 where nobody knows.
    ``bound`` is the address that the client itself had, "" where that is what the balancer sees. ``carried`` is the
    client's address that the PROXY header of its connection told, "" where that was its own.
    """

    id: str
    t: float
    client: str
    connection: str
    source: str
    method: str = "GET"
    path: str = "/"
    headers: tuple[Header, ...] = ()
    offset: float = 0.0
    port: int = 0
    note: str = ""
    carried: str = ""
    bound: str = ""


class Received(msgspec.Struct, frozen=True, tag="received", omit_defaults=True):
    """What came back for the request of the same id: a response, or the reason why there was none.

    ``backend`` is the name by which the answering backend identified itself, "" when unknown. ``error`` is ""
    for any complete response; otherwise one of ``refused``, ``reset``, ``closed``, ``timeout``, ``malformed``.
    """

    id: str
    t: float
    status: int = 0
    backend: str = ""
    instance: str = ""
    headers: tuple[Header, ...] = ()
    error: str = ""
    detail: str = ""
    offset: float = 0.0


class Arrived(msgspec.Struct, frozen=True, tag="arrived", omit_defaults=True):
    """A backend received the request of this id. Written before the backend answers."""

    id: str
    t: float
    backend: str
    instance: str
    connection: str
    peer: str
    method: str = "GET"
    path: str = "/"
    headers: tuple[Header, ...] = ()
    body_bytes: int = 0


ControlVerb = Literal[
    "start", "stop", "kill", "hang", "revive", "blackhole", "reset", "accept-close", "slow", "status",
    "health", "normal", "add", "remove", "drain", "undrain", "weight", "reorder", "replace", "reload",
    "change", "restart", "affinity-on", "affinity-off", "advance-clock", "impair", "mend",
]  # fmt: skip


class Control(msgspec.Struct, frozen=True, tag="control", omit_defaults=True):
    """Something was done to the system between ``t`` (begun) and ``done`` (seen to have settled).

    ``backend`` is the one concerned, "" for the balancer itself. ``value`` is the verb's number: seconds for
    ``advance-clock`` and ``slow``, the HTTP status for ``status`` and ``health``, the new weight for ``weight``.
    ``impair``: answers of this backend may come late, cut or not at all until it is ``normal`` again; ``detail`` says
    which impairment. ``mend`` ends one of several, also one that cut the backend off (``blackhole``); its ``value`` is
    how many of those that are left still do.
    ``rests_on`` names the target's timing values that decided ``done``; what was read back from it needs none.
    """

    verb: ControlVerb
    t: float
    done: float
    backend: str = ""
    value: float = 0.0
    detail: str = ""
    offset: float = 0.0
    rests_on: tuple[str, ...] = ()


class Note(msgspec.Struct, frozen=True, tag="note", omit_defaults=True):
    """A step of the scenario in words, for the report; or a number ``value`` of what is called ``measure``."""

    t: float
    text: str
    offset: float = 0.0
    measure: str = ""
    value: float = 0.0


Record = Sent | Received | Arrived | Control | Note

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """One record as one JSON line, newline included."""
    return _encoder.encode(record) + b"\n"


def decode(line: bytes) -> Record:
    """The record of one line.

    Raises:
        msgspec.DecodeError: the line is no record (msgspec.ValidationError included).
    """
    record: Record = _decoder.decode(line)
    return record


def read(lines: Iterable[bytes]) -> Iterator[Record]:
    """All whole records of a history, in file order; a torn last line is left out.

    Raises:
        msgspec.DecodeError: a line before the last one is damaged, so this is no history limpet wrote.
    """
    pending: msgspec.DecodeError | None = None
    for line in lines:
        if pending is not None:
            raise pending
        if not line.strip():
            continue
        try:
            yield decode(line)
        except msgspec.DecodeError as err:
            pending = err
