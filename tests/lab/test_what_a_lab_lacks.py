"""A machine that could have a lab but lacks a part of it: the rest is built, and what lacks is a reason of its rows."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from limpet_lab_judging import judged
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from limpet.harness.cli import machine
from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.sources import SourcePool
from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.plan import plan
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.verdict import Verdict
from limpet.harness.network import lab as labs
from limpet.harness.network import links, namespaces, nat
from limpet.harness.network.lab import Lab
from limpet.harness.network.places import LabNetwork
from limpet.harness.targets.load import load

SAID = "nft refused rules: Error: Could not process rule:\n  No such file or directory"


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    for each in (nat._refused, links._refused):
        each.cache_clear()
    yield
    for each in (nat._refused, links._refused):
        each.cache_clear()


class Kernel:
    """One that has no packet filter: a host that can be made, and on which no rule is taken."""

    name, closed = "a trial", False

    def filter(self, _rules: str) -> None:
        raise SetupFault(SAID)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def without_filter(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(shutil, "which", lambda name, **_more: f"/usr/sbin/{name}")
    monkeypatch.setattr(namespaces, "missing", lambda: "")
    monkeypatch.setattr(namespaces, "make", lambda *_: kernel)
    return kernel


def test_an_nft_that_the_kernel_refuses_makes_no_gateways_and_cuts_no_links(without_filter: Kernel) -> None:
    reason = "the kernel can be no NAT gateway: nft refused rules: Error: Could not process rule: No such file"
    assert nat.missing_gateways().startswith(reason)
    assert without_filter.closed, "nothing is left of the trial"
    network = LabNetwork(None, Endpoint("tcp", "192.0.2.34", 80), SourcePool("x"), reachable=True)  # type: ignore[arg-type]
    assert network.lacks("nat").startswith(reason), "its rows are not checkable, and say so"
    assert network.lacks("home") == "", "the others are"
    assert links.missing_links().startswith("the kernel cuts no links: nft refused rules")
    found = machine.gateways()
    assert not found.there and found.found.startswith(f"/usr/sbin/nft, but {reason}")


def test_without_policy_routing_there_are_no_gateways_and_that_is_the_reason(
    without_filter: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_host: object) -> None:
        raise SetupFault("the kernel refused a change of the lab's network: (95, 'Operation not supported')")

    monkeypatch.setattr(nat, "_translate", lambda _host: None)
    monkeypatch.setattr(Kernel, "configured", refuses, raising=False)
    assert "it chooses no routes by port (CONFIG_IP_MULTIPLE_TABLES" in nat.missing_gateways()
    assert "chooses no routes" in machine.gateways().found, "doctor knows it before any run does"


def test_without_privileges_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, **_more: f"/usr/sbin/{name}")
    monkeypatch.setattr(namespaces, "missing", lambda: "network namespaces need CAP_SYS_ADMIN")
    assert nat.missing_gateways() == links.missing_links() == ""


def test_where_a_lab_has_gateways_the_trial_finds_nothing_and_leaves_nothing(filtered: None) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only
    home = Path("/proc/thread-self/ns/net").readlink()
    assert nat.missing_gateways() == links.missing_links() == ""
    assert Path("/proc/thread-self/ns/net").readlink() == home
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


class OldKernel:
    """Routing of a kernel that was started without IPv6."""

    def __init__(self) -> None:
        self._real = IPRoute()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name not in ("addr", "route", "rule"):
            return real

        def act(*words: object, **more: object) -> Any:
            if more.get("family") == socket.AF_INET6:
                raise NetlinkError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            return real(*words, **more)

        return act


@pytest.fixture
def without_ipv6(privileged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "IPRoute", OldKernel)
    monkeypatch.setattr(labs, "missing_ipv6", lambda: "this machine has no IPv6: not supported")


def test_without_ipv6_there_is_a_lab_of_ipv4(without_ipv6: None, tmp_path: Path) -> None:
    wanted = [each for each in behaviours() if each.id in ("network.ipv6", "affinity.holds-across-connections")]
    jobs = [job for job in plan(load("reference-source-ip"), wanted, network="namespace") if job.settled is None]
    results = {job.name: result for job, result in zip(jobs, judged(jobs, tmp_path), strict=True)}
    assert results.pop("affinity.holds-across-connections").verdict is Verdict.HELD
    assert results
    for name, result in results.items():
        if "told" not in name:  # what a proxy tells of IPv6 comes by IPv4
            assert result.verdict is Verdict.NOT_CHECKABLE, (name, result.reason)
            assert result.reason == "this machine has no IPv6: not supported"


def test_a_seat_that_cannot_be_is_not_looked_for(without_ipv6: None) -> None:
    told: list[str] = []

    def live() -> None:
        lab = Lab()
        try:
            lab.lease.seat("balancer-v6")
        except SetupFault as fault:
            told.append(fault.what)
        finally:
            lab.close()

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    assert told == ["this machine has no IPv6: not supported"]
