"""Links of the lab that are cut between the balancer and one backend: one way or both, and nobody else's."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.chaos.fault import Fault, FaultKind
from limpet.harness.chaos.nemesis import Nemesis, never
from limpet.harness.chaos.plan import STEADY, possible, steady_plan
from limpet.harness.engine.behaviour import Behaviour
from limpet.harness.engine.lab import Lab as RunLab
from limpet.harness.engine.plan import Job
from limpet.harness.engine.runner import Runner
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Control
from limpet.harness.model.verdict import RequirementRef, Verdict
from limpet.harness.network import topology
from limpet.harness.network.lab import Lab
from limpet.harness.network.links import Links
from limpet.harness.network.site import LoopbackSite
from limpet.harness.targets.load import load
from limpet.reports.conformance import load as load_conformance

TARGET = "reference-lb-cookie-idle"
LINKS: tuple[FaultKind, ...] = ("link-down", "one-way")


def test_on_loopback_no_link_is_offered_and_the_reason_is_said() -> None:
    loaded = load(TARGET)
    for kind in LINKS:
        assert "no link to cut; --network namespace" in never(loaded, kind)
        assert never(loaded, kind, linked=True) == ""
    assert not set(LINKS) & set(possible(loaded, STEADY, wired=True))
    with contextlib.closing(LoopbackSite()) as site:
        assert site.links() is None


def test_links_are_no_part_of_plans_on_loopback_and_are_of_those_in_the_lab() -> None:
    loaded = load(TARGET)
    there = {fault.kind for seed in range(20) for fault in steady_plan(loaded, f"{seed}", 5, wired=False, linked=True)}
    assert set(LINKS) <= there
    assert not {"latency", "bandwidth", "cut", "partition"} & there


@pytest.fixture(scope="module")
def lab(filtered: None) -> Iterator[Lab]:
    with contextlib.closing(Lab()) as lab:
        yield lab


class Asking:
    """A balancer's connection to a backend's address, and what comes through."""

    def __init__(self, lab: Lab, backend: socket.socket) -> None:
        self._lab = lab
        self._backend = backend

    def connects(self, patience: float = 0.5, *, as_users: bool = False) -> bool:
        with contextlib.ExitStack() as stack:
            if not as_users:
                stack.enter_context(self._lab.balancer.inside())
            client = stack.enter_context(socket.socket())
            client.settimeout(patience)
            try:
                client.connect(self._backend.getsockname())
            except TimeoutError:
                return False
            return True


def serving(lab: Lab, number: int) -> socket.socket:
    with lab.backends[number].inside():
        return socket.create_server((topology.seats_of(topology.BACKENDS[number])[0], 0), backlog=16)


@pytest.mark.parametrize("kind", LINKS)
def test_one_backend_is_cut_off_from_balancers_and_from_nobody_else(lab: Lab, kind: str) -> None:
    with serving(lab, 0) as first, serving(lab, 0) as neighbour, contextlib.closing(Links(lab.core)) as links:
        link = links.lay("b1", *first.getsockname())
        link.impair(kind, 0.0)
        assert not Asking(lab, first).connects()
        assert Asking(lab, first).connects(as_users=True), "limpet itself still reaches it"
        assert Asking(lab, neighbour).connects(), "another server on that host is nobody's business"
        link.mend(kind)
        assert Asking(lab, first).connects(10.0)


def test_one_way_what_is_sent_arrives_and_no_answer_comes_back(lab: Lab) -> None:
    for kind, arrives in (("one-way", True), ("link-down", False)):
        with serving(lab, 1) as backend, contextlib.closing(Links(lab.core)) as links:
            with lab.balancer.inside():
                client = socket.create_connection(backend.getsockname(), 10)
            with client, backend.accept()[0] as server:
                links.lay("b2", *backend.getsockname()).impair(kind, 0.0)
                client.sendall(b"request")
                server.settimeout(5.0 if arrives else 0.5)
                if not arrives:
                    with pytest.raises(TimeoutError):
                        server.recv(100)
                    continue
                assert server.recv(100) == b"request"
                server.sendall(b"answer")
                client.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    client.recv(100)


def test_both_at_once_are_mended_one_by_one_and_closing_leaves_none(lab: Lab) -> None:
    with serving(lab, 2) as backend:
        asking = Asking(lab, backend)
        links = Links(lab.core)
        link = links.lay("b3", *backend.getsockname())
        link.impair("link-down", 0.0)
        link.impair("one-way", 0.0)
        link.mend("link-down")
        assert not asking.connects()
        links.close()
        assert asking.connects(10.0)
        with lab.core.inside():
            tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
        assert "limpet-" not in tables
        links.close()


def test_a_link_that_is_down_is_a_fault_that_the_oracle_knows(filtered: None, tmp_path: Path) -> None:
    loaded = load(TARGET)
    found: list[Control] = []
    answers: dict[str, list[str]] = {}

    def test(s: Scenario) -> None:
        assert (s.system.wired, s.system.linked) == (False, True)
        for kind in LINKS:
            user, other = s.pinned("b1"), s.pinned("b2")
            with Nemesis(s.system) as nemesis:
                assert "no fault proxies" in nemesis.why_not(Fault("latency", "b1", 0.1))
                nemesis.inflict(Fault(kind, "b1"))
                answers[kind] = [user.visit(new_connection=True).backend, other.visit(new_connection=True).backend]
            assert s.pinned("b1").backend == "b1", "the link is mended"
        found.extend(s.controls)

    behaviour = Behaviour("some.links", test, error_rate=0.0, budget=999, touches="backends", wired=True)
    job = Job(loaded, behaviour, "", (RequirementRef("X-1", "must", "some sentence", ("docs/x.md",)),))
    with RunLab(1, [loaded], network="namespace") as lab:
        runner = Runner(lab, [job], tmp_path, lambda _event: None)
        runner.start()
        result = runner.result(job.key)
    assert result.verdict is Verdict.HELD, result.reason
    assert [answer[1] for answer in answers.values()] == ["b2", "b2"]
    assert all(answer[0] in ("b2", "b3") for answer in answers.values())
    assert [each.detail for each in found if each.verb == "blackhole" and each.detail in LINKS] == list(LINKS)


def test_chaos_in_the_lab_cuts_links(filtered: None, tmp_path: Path) -> None:
    loaded = load(TARGET)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--network", "namespace"]
    command += ["--target", TARGET, "--behaviour", "chaos.steady-state", "--seed", "3", "--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    (result,) = load_conformance(out / "conformance.json").results
    assert result.verdict is Verdict.HELD
    (plan,) = [step.text for step in result.steps if step.text.startswith("the plan: ")]
    assert any(kind in plan for kind in LINKS), plan
    assert loaded.target.name in str(result.history)
