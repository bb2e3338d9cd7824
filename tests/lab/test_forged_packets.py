"""What a packet looks like is nobody's key: the right balancers hold, those that go by it are rejected."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from limpet_lab_judging import judged

from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.plan import Job, plan
from limpet.harness.model.verdict import Verdict
from limpet.harness.selftest.faults import FAULTY, read
from limpet.harness.selftest.trials import _in_wrong_place
from limpet.harness.targets.load import BUNDLED, LoadedTarget, load

RULES = Path(__file__).with_name("faulty")
NFT = "nftables-jhash-source"
NFT_FLOW = "nftables-jhash-flow"
BEHIND = "    # Backends answer the balancer"
"""Where the template's chain for what comes in has ended."""


def row(target: LoadedTarget, variant: str) -> Job:
    (job,) = plan(target, behaviours(), [f"network.forged-packets[{variant}]"], network="namespace")
    assert job.settled is None
    return job


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to see it, and no more."""
    found = next(each for each in behaviours() if each.id == "network.forged-packets")
    monkeypatch.setitem(found.test.__globals__, "FLOWS", 200)


@pytest.mark.parametrize(
    ("variant", "name"), [("ttl", "hops-are-part-of-the-key"), ("fragments", "pieces-are-placed-for-themselves")]
)
def test_datagrams_of_another_look_are_of_the_same_flow(
    privileged: None, variant: str, name: str, tmp_path: Path
) -> None:
    fault = read(FAULTY / f"{name}.py")
    rights = [row(load(target), variant) for target in ("reference-udp-source-ip", "reference-udp-flow")]
    proofs = [tmp_path / f"activated-{number}.txt" for number in range(len(rights))]
    wrongs = [_in_wrong_place(right, fault, proof) for right, proof in zip(rights, proofs, strict=True)]
    results = judged([*rights, *wrongs], tmp_path / "out")
    for held in results[:2]:
        assert held.verdict is Verdict.HELD, held.reason
    for broken in results[2:]:
        assert broken.verdict is Verdict.BROKEN, broken.reason
        assert {each.kind for each in broken.violations} <= {*fault.provokes}
        assert (tmp_path / "out" / broken.packets).stat().st_size > 1000, "forged packets are evidence too"
    assert all(proof.exists() for proof in proofs)


def copied(name: str, folder: Path) -> None:
    shutil.copytree(BUNDLED / name, folder / name)
    shutil.copytree(BUNDLED / "_shared", folder / "_shared")


def hashing_hops(folder: Path) -> LoadedTarget:
    """The bundled rules, with the TTL hashed beside the address."""
    copied(NFT, folder)
    for file in (folder / NFT / "target.toml", folder / "_shared" / "nftables.nft.j2"):
        text = file.read_text("utf-8")
        assert "jhash ip saddr mod" in text
        file.write_text(text.replace("jhash ip saddr mod", "jhash ip saddr . ip ttl mod"), "utf-8")
    return load(folder / NFT)


def placing_each_syn(folder: Path) -> LoadedTarget:
    """The bundled rules for flows, and before them what places packets that came from near or far one by one.

    Connection tracking keeps a flow together whatever is hashed, so that these rules go past it, as those of balancers
    do that keep no state.
    """
    copied(NFT_FLOW, folder)
    file = folder / "_shared" / "nftables.nft.j2"
    text = file.read_text("utf-8")
    assert text.count(BEHIND) == 1
    file.write_text(text.replace(BEHIND, (RULES / "each-syn-is-placed-for-itself.nft.j2").read_text("utf-8") + BEHIND))
    return load(folder / NFT_FLOW)


def test_syns_of_one_address_go_to_one_backend_however_far_they_came(filtered: None, tmp_path: Path) -> None:
    (held,) = judged([row(load(NFT), "syn")], tmp_path / "right")
    assert held.verdict is Verdict.HELD, held.reason
    assert held.decided >= 150
    (broken,) = judged([row(hashing_hops(tmp_path / "wrong"), "syn")], tmp_path / "out")
    assert broken.verdict is Verdict.BROKEN, broken.reason
    assert {str(each.kind) for each in broken.violations} == {"moved"}
    assert (tmp_path / "out" / broken.packets).stat().st_size > 1000


def test_syns_of_one_flow_go_to_one_backend_also_when_they_are_sent_again(filtered: None, tmp_path: Path) -> None:
    (held,) = judged([row(load(NFT_FLOW), "syn")], tmp_path / "right")
    assert held.verdict is Verdict.HELD, held.reason
    assert held.decided >= 150
    (broken,) = judged([row(placing_each_syn(tmp_path / "wrong"), "syn")], tmp_path / "out")
    assert broken.verdict is Verdict.BROKEN, broken.reason
    assert {str(each.kind) for each in broken.violations} == {"moved"}
    assert all(" port " in each.text for each in broken.violations), "it is flows that are placed, not addresses"
    assert (tmp_path / "out" / broken.packets).stat().st_size > 1000


def test_on_loopback_they_are_not_checkable() -> None:
    for target, count in (("reference-udp-flow", 2), (NFT, 1), ("reference-tcp-source-ip", 0)):
        jobs = plan(load(target), behaviours(), ["network.forged-packets"])
        assert [job.settled for job in jobs] == [Verdict.NOT_CHECKABLE] * count or jobs[
            0
        ].settled is Verdict.NOT_PROMISED
