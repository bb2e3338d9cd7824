from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from limpet.harness.processes import lease as lease_module
from limpet.harness.processes.lease import LoopbackLease, ephemeral_start


def test_two_leases_of_the_same_wish_get_different_blocks() -> None:
    with LoopbackLease(random.Random(1)) as first, LoopbackLease(random.Random(1)) as second:
        assert first.block != second.block
        wanted = first.block
    with LoopbackLease(random.Random(1)) as third:
        assert third.block == wanted, "a closed lease is free again"


def test_a_lease_ends_with_its_process() -> None:
    code = (
        "import random, time\nfrom limpet.harness.processes.lease import LoopbackLease\n"
        "print(LoopbackLease(random.Random(2)).block, flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        block = holder.stdout.readline().strip()
        with LoopbackLease(random.Random(2)) as other:
            assert other.block != block
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with LoopbackLease(random.Random(2)) as after:
        assert after.block == block


def test_blocks_stay_clear_of_the_machines_own_and_of_the_clients() -> None:
    assert all(1 <= b <= 127 for b, _ in lease_module.BLOCKS)
    assert len(set(lease_module.BLOCKS)) == 127 * 256


def test_endpoints_are_unique_walk_the_hosts_first_and_stay_below_the_ephemeral_range() -> None:
    with LoopbackLease() as lease, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: lease.next_endpoint(), range(600)))
        assert len(set(got)) == 600
        hosts = {host for host, _ in got}
        assert hosts <= {lease.address(n) for n in range(1, 255)}
        assert len(hosts) == 254
        assert all(10000 <= port < ephemeral_start() for _, port in got)


def test_a_port_in_use_is_skipped() -> None:
    with LoopbackLease() as lease, socket.create_server((lease.address(1), lease_module.FIRST_PORT)):
        assert lease.next_endpoint() == (lease.address(2), lease_module.FIRST_PORT)


@pytest.mark.parametrize("n", [0, 255, -1])
def test_a_host_outside_of_the_block_is_refused(n: int) -> None:
    with LoopbackLease() as lease, pytest.raises(ValueError, match="hosts"):
        lease.address(n)


def test_an_unreadable_port_range_falls_back_to_the_kernels_default(tmp_path: Path) -> None:
    assert ephemeral_start(tmp_path / "absent") == 32768
    (tmp_path / "range").write_text("20000\t60999\n")
    assert ephemeral_start(tmp_path / "range") == 20000
