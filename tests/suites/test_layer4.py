"""The rows about layer 4 decide something on the right balancer, on exactly the targets that they are about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from limpet.harness.model.verdict import Verdict
from limpet.reports.conformance import load

TARGETS = ("reference-udp-source-ip", "reference-udp-flow", "reference-tcp-flow", "reference-aws-nlb-udp")
ROWS = ("network.tcp", "network.udp", "network.udp-idle", "network.source-port")


def test_layer_4_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--seed", "4", "--out", "out"]
    command += [word for name in TARGETS for word in ("--target", name)]
    command += [word for name in ROWS for word in ("--behaviour", name)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    results = load(tmp_path / "out" / "conformance.json").results
    found = {(each.target.removeprefix("reference-"), each.name): each.verdict for each in results}
    held = {key for key, verdict in found.items() if verdict is Verdict.HELD}
    assert held == {
        ("udp-source-ip", "network.udp"),
        ("udp-source-ip", "network.udp-idle[pin-stays]"),
        ("udp-source-ip", "network.source-port"),
        ("udp-flow", "network.udp"),
        ("udp-flow", "network.udp-idle[restarts]"),
        ("udp-flow", "network.udp-idle[over]"),
        ("udp-flow", "network.source-port"),
        ("tcp-flow", "network.tcp"),
        ("tcp-flow", "network.source-port"),
        ("aws-nlb-udp", "network.udp"),
        ("aws-nlb-udp", "network.udp-idle[restarts]"),
    }
    observed = {key for key, verdict in found.items() if verdict is Verdict.OBSERVED}
    assert observed == {("aws-nlb-udp", "network.udp-idle[over]"), ("aws-nlb-udp", "network.source-port")}
    for each in results:
        assert each.requests - each.elsewhere <= (each.budget or 0)
        if each.verdict is Verdict.HELD and each.sees is not None and each.smallest_visible is not None:
            assert each.smallest_visible <= each.sees, each.name
