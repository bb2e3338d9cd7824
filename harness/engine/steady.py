"""Brings a balancer that limpet did not start back to how it was, and verifies that it is."""

from __future__ import annotations

import time

from limpet.harness.clients import HttpClient, TcpClient, UdpClient
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.identity import identify_by
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.history import Record

_PATIENCE = 30.0
_ROUND = 4
"""Keyless requests for each member in one round; round robin reaches each with far fewer."""


class _Forgetful:
    """A recorder that keeps nothing: these requests are nobody's evidence."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._count = 0

    def add(self, record: Record) -> None:
        """Forgets it."""

    def offset(self) -> float:
        """Virtual time."""
        return self._deployment.offset

    def request_id(self) -> str:
        """An id that belongs to no scenario."""
        self._deployment.pace()
        self._count += 1
        return f"steady-{id(self)}-{self._count}"


def restore(deployment: Deployment) -> None:
    """Revives what was broken, restores the pool, and waits until strangers reach every member without an error.

    Raises:
        SetupFault: that did not happen in time.
    """
    deployment.heal()
    verify(deployment, _PATIENCE)


def verify(deployment: Deployment, patience: float) -> None:
    """Waits until strangers reach every member without an error: before that, nobody can be judged.

    Args:
        deployment: a started one, whose responses tell who answered.
        patience: seconds.

    Raises:
        SetupFault: that did not happen in time.
    """
    deadline = time.monotonic() + patience
    recorder = _Forgetful(deployment)
    while True:
        reached, failures = _round(deployment, recorder)
        missing = [name for name in deployment.names if name not in reached]
        if not missing and not failures:
            return
        if time.monotonic() > deadline:
            answered = ", ".join(sorted(filter(None, reached))) or "nobody that limpet knows by name"
            seen = f"answers from {answered}, none from {', '.join(missing)}" if missing else "answers from all"
            failed = f", and {failures} requests failed" if failures else ""
            raise SetupFault(
                f"waited {patience:g} s until every backend answers; last seen: {seen}{failed}",
                where=deployment.loaded.target.name,
                do="Are all backends up, do their names fit [[backends.member]], and does [backends.identity] fit?",
            )


def _round(deployment: Deployment, recorder: _Forgetful) -> tuple[set[str], int]:
    reached: set[str] = set()
    failures = 0
    identify = identify_by(deployment.loaded.target.backends)
    plain = deployment.loaded.target.request
    for _ in range(_ROUND * len(deployment.names)):
        source = deployment.sources.draw() if deployment.local else None
        if deployment.endpoint.scheme in ("tcp", "udp"):
            kind = TcpClient if deployment.endpoint.scheme == "tcp" else UdpClient
            with kind(deployment.endpoint, recorder, name="steady", source=source) as client:
                exchange = client.ask()
        else:
            with HttpClient(
                deployment.endpoint, recorder, name="steady", source=source, identify=identify, keep=False
            ) as http:
                exchange = http.request(plain.method, plain.path, headers=tuple(plain.headers.items()),
                                        body=plain.body.encode() or None)  # fmt: skip
        failures += not exchange.ok
        reached.add(exchange.backend)
    return reached, failures
