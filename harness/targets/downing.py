"""Whether a command that was to take a backend down has done so: if not, the balancer would be accused of it."""

from __future__ import annotations

import ipaddress
import time

from limpet.harness.model.errors import SetupFault
from limpet.harness.targets.answers import Unanswered, http_answer
from limpet.harness.targets.model import Target

PATIENCE = 5.0
"""Seconds that a backend may go on answering after its command has ended: service managers take their time."""


def require_down(target: Target, name: str, patience: float = PATIENCE) -> None:
    """See that a backend of the user's on this machine answers no HTTP any more.

    Others are not asked: what limpet may send to other machines goes to the balancer alone.

    Raises:
        SetupFault: it still answers.
    """
    member = next((each for each in target.backends.member if each.name == name), None)
    if member is None or not member.port or not _here(member.host) or target.endpoint.scheme not in ("http", "https"):
        return
    host = f"[{member.host}]" if ":" in member.host else member.host
    address = f"http://{host}:{member.port}{target.request.path}"
    deadline = time.monotonic() + patience
    while True:
        try:
            http_answer("GET", address, body="", headers=dict(target.request.headers), timeout=1.0)
        except Unanswered:
            return
        if time.monotonic() > deadline:
            raise SetupFault(
                f"{name} still answers at {member.host}:{member.port}, {patience:g} s after the command that kills it",
                where=f"{target.name}: backends.kill",
                do="Run the command by hand and see that the server is gone.",
            )
        time.sleep(0.1)


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
