"""Rules of nftables as a balancer: on a host of a lab's only, gone with the run, and not sticky without their hash."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from limpet_lab_judging import judged

from limpet.harness.engine.collecting import behaviours
from limpet.harness.engine.plan import Job, plan
from limpet.harness.model.verdict import Verdict
from limpet.harness.network.namespaces import Host, make
from limpet.harness.targets.load import BUNDLED, load, names

OURS = [name for name in names() if name.startswith("nftables-")]
STICKY = [name for name in OURS if load(name).own.affinity != "none"]
SCRIPT = BUNDLED / "_shared" / "nftables.sh"


def test_without_its_hash_each_of_them_is_found_to_be_off(filtered: None, tmp_path: Path) -> None:
    holds = next(each for each in behaviours() if each.id == "affinity.holds")
    jobs = [Job(replace(load(name), sticky=False), holds, "", ()) for name in STICKY]
    assert len(jobs) == 3
    for result in judged(jobs, tmp_path):
        assert result.verdict is Verdict.BROKEN, f"{result.target}: {result.verdict}: {result.reason}"
        assert {str(each.kind) for each in result.violations} == {"moved"}, result.reason


@pytest.mark.parametrize("name", OURS)
def test_outside_of_a_lab_nothing_of_it_is_checkable(name: str) -> None:
    jobs = [job for job in plan(load(name), behaviours()) if job.settled is not Verdict.NOT_PROMISED]
    assert len(jobs) >= 5
    assert {job.settled for job in jobs} == {Verdict.NOT_CHECKABLE}
    assert all("--network namespace" in job.reason for job in jobs)


def test_outside_of_a_lab_it_is_not_even_started(filtered: None, tmp_path: Path) -> None:
    holds = next(each for each in behaviours() if each.id == "affinity.holds")
    (result,) = judged([Job(load("nftables-jhash-source"), holds, "", ())], tmp_path, "loopback")
    assert result.verdict is Verdict.SETUP_FAILED and "--network namespace" in result.reason


def test_the_script_leaves_the_network_alone_that_it_was_started_on(filtered: None, tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text("table ip limpet-test { }\n")
    ended = subprocess.run(
        ["sh", str(SCRIPT), "nft", str(rules), "limpet-test"], capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 1 and "the machine's own network" in ended.stderr
    assert "limpet-test" not in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout


def test_its_table_goes_when_it_is_told_to_end(filtered: None, tmp_path: Path) -> None:
    rules = tmp_path / "rules.nft"
    rules.write_text("table ip lb-test { }\n")
    host = make("alone", "192.0.2.33")
    with contextlib.closing(host):
        with host.inside():
            command = ["sh", str(SCRIPT), "nft", str(rules), "lb-test"]
            running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with running:
            assert running.stdout is not None
            assert running.stdout.readline() == "the rules are in force\n"
            assert "table ip lb-test" in tables(host)
            running.terminate()
            assert running.wait(30) == 0
        assert tables(host) == ""


def tables(host: Host) -> str:
    with host.inside():
        return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
