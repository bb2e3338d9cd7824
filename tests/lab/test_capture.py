"""What is broken in the lab comes with its packets: of the users that it is about, and of nobody else."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from limpet_lab_judging import judged

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.plan import plan
from limpet.harness.model.history import Sent, read
from limpet.harness.model.verdict import Verdict
from limpet.harness.network import capture, topology
from limpet.harness.network.capture import Capture
from limpet.harness.network.frames import Wanted
from limpet.harness.network.lab import Lab
from limpet.harness.selftest.faults import FAULTY
from limpet.harness.selftest.faults import read as read_fault
from limpet.harness.selftest.trials import _in_wrong_place
from limpet.harness.targets.load import load

HOLDS = "affinity.holds-across-connections"
TARGET = "reference-tcp-source-ip"


@pytest.fixture(scope="module")
def lab(privileged: None) -> Iterator[Lab]:
    lab = Lab()
    try:
        yield lab
    finally:
        lab.close()


def packets_in(file: Path) -> list[tuple[float, bytes]]:
    """Time and bytes of each, read without the library that wrote them."""
    data = file.read_bytes()
    magic, _, _, _, _, _, link = struct.unpack_from("=IHHIIII", data)
    assert (magic, link) == (0xA1B2C3D4, 1)
    found, at = [], 24
    while at < len(data):
        seconds, micro, here, _ = struct.unpack_from("=IIII", data, at)
        found.append((seconds + micro / 1e6, data[at + 16 : at + 16 + here]))
        at += 16 + here
    return found


def exchanged(lab: Lab, source: str, words: bytes) -> int:
    """Sends that from an address to somebody on the balancer's host; returns the port that it came from."""
    with lab.balancer.inside():
        server = socket.create_server((topology.BALANCERS[0], 0))
    with server, socket.socket() as client:
        client.settimeout(10)
        client.bind((source, 0))
        client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            client.sendall(words)
            assert accepted.recv(4096, socket.MSG_WAITALL if len(words) > 4096 else 0)
        return int(client.getsockname()[1])


def test_only_the_packets_of_the_flows_that_are_asked_for_are_written(lab: Lab, tmp_path: Path) -> None:
    recorded = lab.capture(topology.BALANCERS[0])
    assert recorded is not None
    begin = time.monotonic()
    port = exchanged(lab, "198.51.100.7", b"the one\n")
    exchanged(lab, "198.51.100.7", b"of another port\n")
    exchanged(lab, "198.51.100.8", b"of another address\n")
    end = time.monotonic()
    count = recorded.write(tmp_path / "one.pcap", {("198.51.100.7", port)}, begin, end)
    found = packets_in(tmp_path / "one.pcap")
    assert count == len(found) >= 7, "three packets to begin, the words and their acknowledgement, two to end"
    assert all(begin - 0.01 <= t <= end + 0.01 for t, _ in found)
    text = b"".join(frame for _, frame in found)
    assert b"the one" in text and b"of another" not in text


def test_of_flows_that_nobody_saw_there_is_no_file(lab: Lab, tmp_path: Path) -> None:
    recorded = lab.capture(topology.BALANCERS[0])
    assert recorded is not None
    exchanged(lab, "198.51.100.9", b"?\n")
    end = time.monotonic()
    assert recorded.write(tmp_path / "none.pcap", {("198.51.100.10", 1)}, end - 5, end) == 0
    assert not (tmp_path / "none.pcap").exists()


def test_what_is_kept_and_what_is_written_is_bounded(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "KEPT", 1 << 20)
    monkeypatch.setattr(capture, "WRITTEN", 50_000)
    with lab.balancer.inside():
        ours = Capture("eth0")
    with contextlib.closing(ours):
        begin = time.monotonic()
        ports = {exchanged(lab, "198.51.100.11", b"x" * 60_000) for _ in range(60)}
        end = time.monotonic()
        assert ours.write(tmp_path / "much.pcap", {("198.51.100.11", port) for port in ports}, begin, end)
        assert ours._size <= 1 << 20
    assert (tmp_path / "much.pcap").stat().st_size < 100_000


def test_further_fragments_and_errors_belong_to_their_flow() -> None:
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    wanted = Wanted({("198.51.100.1", 5000)})
    whole = IP(src="198.51.100.1", dst="192.0.2.34", id=7) / UDP(sport=5000, dport=53) / Raw(b"x" * 64)
    parts = whole.fragment(16)  # type: ignore[no-untyped-call]
    assert all(wanted(bytes(Ether() / each)) for each in parts) and len(parts) > 2
    parts[1].id = 8
    assert not wanted(bytes(Ether() / parts[1]))
    error = IP(src="192.0.2.34", dst="198.51.100.1") / ICMP(type=3, code=3) / whole
    assert wanted(bytes(Ether() / error))
    other = IP(src="198.51.100.1", dst="192.0.2.34") / UDP(sport=5001, dport=53)
    assert not wanted(bytes(Ether() / other))
    assert not wanted(b"short")


def test_of_flows_that_share_a_port_only_the_one_that_is_meant_is_wanted() -> None:
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    balancer, one, two = ("192.0.2.34", 40_000), ("198.51.100.1", 80), ("198.51.100.2", 80)
    wanted = Wanted((), [(balancer, one)])

    def frame(source: tuple[str, int], target: tuple[str, int]) -> bytes:
        return bytes(Ether() / IP(src=source[0], dst=target[0]) / TCP(sport=source[1], dport=target[1]))

    assert wanted(frame(balancer, one)) and wanted(frame(one, balancer))
    assert not wanted(frame(balancer, two)) and not wanted(frame(two, balancer))


@pytest.fixture(scope="module")
def holds() -> Behaviour:
    return next(each for each in behaviours() if each.id == HOLDS)


def test_a_broken_row_has_the_packets_of_its_users_and_a_held_one_none(
    privileged: None, holds: Behaviour, tmp_path: Path
) -> None:
    (right,) = plan(load(TARGET), [holds], network="namespace")
    wrong = _in_wrong_place(right, read_fault(FAULTY / "source-port-is-the-key.py"), tmp_path / "activated.txt")
    held, broken = judged([right, wrong], tmp_path)
    assert held.verdict is Verdict.HELD and held.packets == ""
    assert broken.verdict is Verdict.BROKEN
    assert broken.packets == broken.history.replace(".jsonl", ".pcap")
    assert [each.name for each in tmp_path.rglob("*.pcap")] == [Path(broken.packets).name]
    with (tmp_path / broken.history).open("rb") as lines:
        sent = [each for each in read(lines) if isinstance(each, Sent)]
    accused = {each.client for each in broken.violations}
    text = b"".join(frame for _, frame in packets_in(tmp_path / broken.packets))
    theirs, others = ([each for each in sent if (each.client in accused) is mine] for mine in (True, False))
    for each in theirs:
        line = f"LIMPET {each.id}\n".encode()
        assert text.count(line) == 2, "once from the user to the balancer, once from there to a backend"
    assert not [each.id for each in others if f"LIMPET {each.id}\n".encode() in text]
    shown = [t for t, _ in packets_in(tmp_path / broken.packets)]
    assert min(each.t for each in theirs) - 0.5 < shown[0] and shown == sorted(shown)
