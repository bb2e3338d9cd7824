"""What limpet and its keeper say to each other: length-prefixed msgpack over a socket pair."""

from __future__ import annotations

import socket
import struct

import msgspec

_LENGTH = struct.Struct("!I")


class Start(msgspec.Struct, tag="start"):
    """Start a process: `argv` is executed, or passed to the function `entry` of a forked keeper when that is given.

    `namespace` is the path of the network namespace that it is to live in; b"": the keeper's own.
    """

    id: int
    argv: list[bytes]
    output: bytes
    entry: str = ""
    env: dict[bytes, bytes] | None = None
    cwd: bytes | None = None
    namespace: bytes = b""


class Signal(msgspec.Struct, tag="signal"):
    """Send a signal to the process of this handle, if it has not ended."""

    id: int
    handle: int
    number: int


class End(msgspec.Struct, tag="end"):
    """Kill the whole session of the process of this handle; answered when nothing is left of it."""

    id: int
    handle: int


class Ready(msgspec.Struct, tag="ready"):
    """The keeper has imported what it was told to; `fault` says why not."""

    fault: str = ""


class Started(msgspec.Struct, tag="started"):
    """The process runs. The handle is never used again, unlike the process id."""

    id: int
    handle: int
    pid: int


class Refused(msgspec.Struct, tag="refused"):
    """The process could not be started: at which stage, the errno (0 if none), and in words."""

    id: int
    stage: str
    number: int
    detail: str


class Done(msgspec.Struct, tag="done"):
    """A Signal or End was carried out; `found` is False when there was no such process any more."""

    id: int
    found: bool = True


class Exited(msgspec.Struct, tag="exited"):
    """The process ended: its exit code, or minus the signal that killed it, and when (CLOCK_MONOTONIC, seconds)."""

    handle: int
    code: int
    at: float


Request = Start | Signal | End
Reply = Ready | Started | Refused | Done | Exited

_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)
_replies = msgspec.msgpack.Decoder(Reply)


def send(channel: socket.socket, message: Request | Reply) -> None:
    """Send one message whole.

    Raises:
        OSError: the other side is gone.
    """
    body = _encoder.encode(message)
    channel.sendall(_LENGTH.pack(len(body)) + body)


def _receive(channel: socket.socket) -> bytes | None:
    head = _exactly(channel, _LENGTH.size)
    return None if head is None else _exactly(channel, _LENGTH.unpack(head)[0])


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = channel.recv(size - len(parts))
        except ConnectionError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)


def receive_request(channel: socket.socket) -> Request | None:
    """The next request; None when limpet is gone, however it ended."""
    body = _receive(channel)
    return None if body is None else _requests.decode(body)


def receive_reply(channel: socket.socket) -> Reply | None:
    """The next reply; None when the keeper is gone."""
    body = _receive(channel)
    return None if body is None else _replies.decode(body)
