"""Where a target's backends keep their sessions, and what a change of its configuration is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.engine.collecting import SUITES, behaviours
from limpet.harness.engine.plan import plan, uncheckable
from limpet.harness.model.errors import UsageFault
from limpet.harness.model.verdict import Verdict
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.selftest import startable
from limpet.harness.selftest.faults import FAULTY, faults
from limpet.harness.targets import Member, RunningTarget, load
from limpet.harness.targets.abilities import able, why_not

MakeTarget = Callable[..., Path]
SERVER = '[launch]\ncommand = ["sleep", "60"]\nconfig = "lb.j2"\nready = "log:^"\n'


@pytest.mark.parametrize("sessions", ["memory", "redis", "redis://127.0.0.1:6379/1", "unix:///run/redis.sock"])
def test_a_store_is_named(make_target: MakeTarget, sessions: str) -> None:
    loaded = load(make_target(f'{SERVER}[backends]\nsessions = "{sessions}"\n', lb__j2=""))
    assert loaded.target.backends.sessions == sessions


@pytest.mark.parametrize(
    ("backends", "said"),
    [
        ('sessions = "disk"', "redis://HOST:PORT"),
        ('sessions = "redis://192.0.2.1:6379"', "192.0.2.1 is not this machine"),
        ('sessions = "redis"\nprotocol = "tcp"', "limpet's own HTTP backends"),
    ],
)
def test_what_is_no_store_is_refused(make_target: MakeTarget, backends: str, said: str) -> None:
    with pytest.raises(UsageFault) as caught:
        load(make_target(f"{SERVER}[backends]\n{backends}\n", lb__j2=""))
    assert said in str(caught.value)


YOURS = """[endpoint]
url = "http://127.0.0.1:9"
[backends]
owner = "yours"
member = [{ name = "b1", host = "127.0.0.1" }]
identity = { header = "X" }
"""


def test_backends_of_yours_may_share_a_store(make_target: MakeTarget) -> None:
    loaded = load(make_target(YOURS + 'sessions = "redis://127.0.0.1:6379/1"\n'))
    checks = {each.id: each for each in behaviours()}
    assert "kill" in uncheckable(loaded, checks["failover.session-data"])  # nothing else is missing
    with pytest.raises(UsageFault, match="give that store's URL"):
        load(make_target(YOURS + 'sessions = "redis"\n'))


def test_without_redis_nothing_of_a_shared_store_is_checkable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    jobs = plan(load("reference-shared-sessions"), behaviours((SUITES,)), ["failover.session-data"])
    assert [job.settled for job in jobs] == [Verdict.NOT_CHECKABLE]
    assert "there is no redis-server on this machine" in jobs[0].reason


def test_without_redis_its_faults_are_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = faults((FAULTY,), ("session-cookie-lost-on-re-pin", "table-without-a-bound"))
    monkeypatch.setattr(shutil, "which", lambda program: None)
    found, left_out = startable.triable(wanted)
    assert [each.name for each in found] == ["table-without-a-bound"]
    assert len(left_out) == 1 and "is not tried on reference-shared-sessions: there is no" in left_out[0]
    monkeypatch.setattr(shutil, "which", lambda program: "/usr/bin/redis-server")
    assert startable.triable(wanted) == (wanted, [])


def test_a_change_renders_another_generation(
    make_target: MakeTarget, keeper: Keeper, lease: LoopbackLease, tmp_path: Path
) -> None:
    text = SERVER + '[control]\nchange = { render = "lb.j2" }\n'
    directory = make_target(text, lb__j2="generation {{ generation }}")
    target = RunningTarget(
        load(directory), keeper=keeper, lease=lease, workdir=tmp_path / "work", members=[Member("b1", "127.0.0.1", 9)]
    )
    assert able(target.target, "change")
    target.start()
    try:
        target.change()
        assert (target.workdir / "lb").read_text() == "generation 2"
    finally:
        target.stop()
    assert why_not(load(make_target(SERVER, lb__j2="")).target, "change") == "toy has no control.change"


def test_a_second_node_may_be_given_the_first_ones_secret(
    make_target: MakeTarget, keeper: Keeper, lease: LoopbackLease, tmp_path: Path
) -> None:
    loaded = load(make_target(SERVER, lb__j2=""))
    first = RunningTarget(loaded, keeper=keeper, lease=lease, workdir=tmp_path / "a", members=())
    other = RunningTarget(loaded, keeper=keeper, lease=lease, workdir=tmp_path / "b", members=())
    same = RunningTarget(loaded, keeper=keeper, lease=lease, workdir=tmp_path / "c", members=(), secret=first.secret)
    assert same.secret == first.secret != other.secret
    assert (same.host, same.port) != (first.host, first.port)
