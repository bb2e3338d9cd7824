"""What needs no engine: whose a container is, which addresses a network gets, and what is said where there is none."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from limpet.harness.containers import cleaning, debts, engine, existing, network, subnets
from limpet.harness.containers.labels import OWNER, RUN, Owner, fate, owner_in, this_process, this_run
from limpet.harness.containers.subnets import RANGES, candidates
from limpet.harness.model.errors import SetupFault

HERE = this_process()


def test_labels_lead_back_to_their_process() -> None:
    run = this_run()
    assert run.labels[RUN] == run.id
    assert owner_in(run.labels[OWNER]) == HERE
    assert this_run().id != run.id


def test_a_label_of_somebody_else_is_no_owner() -> None:
    assert owner_in("") is None
    assert owner_in("somebody/else") is None
    assert owner_in("a/b/c/1/x") is None


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (HERE, "alive"),
        (replace(HERE, started=HERE.started + 1), "dead"),  # the same number, given to another process
        (replace(HERE, boot="earlier"), "dead"),
        (replace(HERE, machine="other"), "unknown"),
        (replace(HERE, machine="other", boot="earlier"), "unknown"),
        (replace(HERE, namespace="pid:[1]"), "unknown"),  # limpet in a container, with this machine's engine
    ],
)
def test_only_whose_death_is_certain_is_dead(owner: Owner, expected: str) -> None:
    assert fate(owner, HERE) == (expected if HERE.machine or "earlier" not in str(owner) else "unknown")


def test_a_process_that_was_killed_is_dead() -> None:
    code = "from limpet.harness.containers.labels import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        owner = owner_in(child.stdout.readline().strip())
        assert owner is not None
        assert fate(owner, HERE) == "alive"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert fate(owner, HERE) == "dead"


def test_networks_are_documentation_and_nothing_that_is_taken() -> None:
    everything = list(candidates([]))
    assert everything and all(any(block.subnet_of(wide) for wide in RANGES) for block in everything)
    assert not any(block.is_global for block in everything)
    taken = [ipaddress.IPv4Network("198.51.100.7/32")]
    left = list(candidates(taken))
    assert not any(block.overlaps(taken[0]) for block in left)
    # A lab that uses one address of a range may use others: another range goes first.
    assert not left[0].overlaps(RANGES[0]) and any(block.overlaps(RANGES[0]) for block in left)


def test_routes_and_peers_are_read_as_the_kernel_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    files = {
        # 0.0.0.0/0, 192.0.2.0/24 and 10.0.0.0/8, in the byte order of a little-endian machine.
        "/proc/net/route": head
        + "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n"
        + "eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        + "eth1 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n",
        "/proc/net/tcp": "sl local_address rem_address st\n0: 020200C0:C350 507100CB:01BB 01\n",
        "/etc/resolv.conf": "search lab\nnameserver 198.51.100.53\nnameserver ::1\n",
    }
    monkeypatch.setattr(subnets, "_text", files.__getitem__)
    assert [str(each) for each in subnets.taken_here()] == ["192.0.2.0/24", "203.0.113.80/32", "198.51.100.53/32"]


def test_where_every_range_is_taken_no_network_is_made_and_nothing_is_left() -> None:
    asked: list[str] = []

    class Full:
        """An engine all of whose documentation addresses belong to somebody."""

        def make_network(self, _name: str, block: str, _labels: object) -> bool:
            asked.append(block)
            return False

    with pytest.raises(SetupFault, match="no addresses are left for a network of containers") as caught:
        network.Network(Full(), this_run())  # type: ignore[arg-type]
    assert "limpet clean" in caught.value.do
    assert len(asked) == len(set(asked)) > 3, "each block was tried once"


def test_without_an_engine_it_is_said_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    engine._missing.cache_clear()
    try:
        with pytest.raises(SetupFault, match="no container engine answers") as caught:
            engine.Engine()
        assert "docker" in caught.value.do
        assert "no container engine answers" in existing.why_not("shop-1")
    finally:
        engine._missing.cache_clear()


def test_who_never_used_an_engine_is_asked_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert list(cleaning.clean()) == []
    debts.begin_fleet("1234")
    assert list(cleaning.clean()) == [], "this process lives"
    (page,) = debts.folder().glob("*.json")
    page.write_bytes(page.read_bytes().replace(str(HERE).encode(), str(replace(HERE, started=1)).encode()))
    with pytest.raises(SetupFault, match="no container engine answers"):
        list(cleaning.clean())
