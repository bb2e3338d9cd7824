"""How limpet and its NAT gateway talk: JSON lines over the gateway's control socket, one answer to each command."""

from __future__ import annotations

from typing import Literal

import msgspec

from limpet.harness.clients.way import Transport

PATIENCE = 20.0
"""Seconds that a command may take."""


class Command(msgspec.Struct, frozen=True):
    """What the gateway is asked.

    ``seen``: what the outside sees of the connection (or flow) from this inner ``address`` and ``port``; one that has
    not come in yet is waited for, a flow is begun. ``egress``: leave by these ``addresses`` from now on; whatever left
    by others is cut off. ``report``: whether it serves.
    """

    verb: Literal["seen", "egress", "report"]
    address: str = ""
    port: int = 0
    transport: Transport = "tcp"
    addresses: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """Address and port on the outside (port 0 where no connection came about), or how many were cut off."""

    address: str = ""
    port: int = 0
    cut: int = 0
    error: str = ""


command_of = msgspec.json.Decoder(Command).decode
answer_of = msgspec.json.Decoder(Answer).decode
