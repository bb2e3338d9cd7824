"""Forged flows of datagrams: the right balancer holds, one that places a datagram anew now and then is rejected."""

from __future__ import annotations

from pathlib import Path

import pytest
from limpet_lab_judging import judged

from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.plan import plan
from limpet.harness.model.verdict import Verdict
from limpet.harness.selftest.faults import FAULTY, read
from limpet.harness.selftest.trials import _in_wrong_place
from limpet.harness.targets.load import load


@pytest.fixture
def forged(privileged: None, monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    found = next(each for each in behaviours() if each.id == "network.spoofed-sources")
    monkeypatch.setitem(found.test.__globals__, "FLOWS", 1500)
    return found


@pytest.mark.parametrize("target", ["reference-udp-source-ip", "reference-udp-flow"])
def test_flows_that_are_placed_anew_are_seen_in_the_backends_records(
    target: str, forged: Behaviour, tmp_path: Path
) -> None:
    (right,) = plan(load(target), [forged], network="namespace")
    assert right.settled is None
    fault = read(FAULTY / "datagrams-placed-anew-now-and-then.py")
    proof = tmp_path / "activated.txt"
    held, broken = judged([right, _in_wrong_place(right, fault, proof)], tmp_path / "out")
    assert held.verdict is Verdict.HELD, held.reason
    assert broken.verdict is Verdict.BROKEN, broken.reason
    assert {each.kind for each in broken.violations} <= {*fault.provokes}
    assert proof.exists()
