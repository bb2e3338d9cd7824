"""A machine without IPv6: what needs it is not checkable and says why, and nobody is to blame."""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest

from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.lab import Lab
from limpet.harness.engine.plan import plan
from limpet.harness.engine.runner import Runner
from limpet.harness.model.verdict import Verdict
from limpet.harness.network import namespaces
from limpet.harness.processes.lease import bindable
from limpet.harness.targets.load import load

TARGET = "reference-lb-cookie-idle"


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that does not know the family: not even a socket of it can be made."""
    real = socket.socket

    class Socket(real):  # type: ignore[misc, valid-type]
        def __init__(self, family: int = -1, *words: Any, **more: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *words, **more)

    monkeypatch.setattr(socket, "socket", Socket)


def test_rows_of_ipv6_are_not_checkable_with_the_reason(without_ipv6: None, tmp_path: Path) -> None:
    wanted = [each for each in behaviours() if each.id in ("network.ipv6", "network.personas")]
    loaded = load(TARGET)
    jobs = [
        job
        for job in plan(loaded, wanted)
        if job.settled is None and job.variant in ("pins", "privacy", "privacy-addresses", "dual-stack", "office")
    ]
    with Lab(1, [loaded]) as lab:
        runner = Runner(lab, jobs, tmp_path, lambda _event: None)
        runner.start()
        found = {job.name: runner.result(job.key) for job in jobs}
    said = {name: (result.verdict, result.reason) for name, result in found.items()}
    assert said.pop("network.personas[office]")[0] is Verdict.HELD
    assert said.pop("network.ipv6[pins]") == (
        Verdict.NOT_CHECKABLE,
        "nothing can listen on ::1: this machine has no IPv6",
    )
    assert {verdict for verdict, _ in said.values()} == {Verdict.NOT_CHECKABLE}


def test_no_endpoint_of_a_family_that_is_not_there_can_be_bound(without_ipv6: None) -> None:
    assert not bindable("::1", 0) and bindable("127.0.0.1", 0)
    assert namespaces.missing_ipv6() == "this machine has no IPv6: Address family not supported by protocol"
