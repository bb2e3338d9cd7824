"""Containers of the user's, named in a target: killed, frozen and brought back, by limpet alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from limpet.harness.containers import debts, existing
from limpet.harness.containers.cleaning import clean
from limpet.harness.containers.engine import Engine, State
from limpet.harness.containers.existing import Existing
from limpet.harness.containers.fleet import ContainerFleet
from limpet.harness.model.errors import SetupFault, UsageFault
from limpet.harness.model.verdict import Verdict
from limpet.harness.processes.waiting import wait_until
from limpet.harness.targets import contained
from limpet.harness.targets.abilities import why_not
from limpet.harness.targets.load import load
from limpet.reports import conformance

OwnContainer = Callable[..., str]

TARGET = """
name = "shop"
profile = "reference/lb-cookie-idle"
product = "reference"

[endpoint]
url = "{url}"
allow_remote = true
max_rate = 500
{wait}
[backends]
owner = "yours"
health_checked = true

[backends.identity]
header = "Limpet-Backend"

{members}

[timing]
down_noticed = {{ value = "5s", reason = "two health checks, 300ms apart, of up to 1s each" }}
up_noticed = {{ value = "5s", reason = "one health check" }}
grace = "1s"
"""


def write(directory: Path, containers: list[str], url: str = "http://127.0.0.1:9", wait: str = "") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    members = "\n".join(f'[[backends.member]]\ncontainer = "{each}"' for each in containers)
    (directory / "target.toml").write_text(TARGET.format(url=url, members=members, wait=wait))
    return directory


def status(client: Any, name: str) -> str:
    return str(client.containers.get(name).status)


# Without an engine.


def test_a_member_is_called_as_its_container(tmp_path: Path) -> None:
    target = load(write(tmp_path, ["shop-1", "shop-2"])).target
    assert [each.name for each in target.backends.member] == ["shop-1", "shop-2"]


def test_limpets_own_backends_are_no_containers_of_yours(tmp_path: Path) -> None:
    text = TARGET.format(url="http://127.0.0.1:9", wait="", members='[[backends.member]]\ncontainer = "shop-1"')
    text = text.replace('owner = "yours"', 'owner = "limpet"').replace(
        '[backends.identity]\nheader = "Limpet-Backend"', ""
    )
    (tmp_path / "target.toml").write_text(text)
    with pytest.raises(UsageFault, match='container is for owner = "yours"'):
        load(tmp_path)


def test_without_an_engine_it_cannot_be_checked_and_everything_else_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(existing, "missing", lambda: "no container engine answers; start one")
    target = load(write(tmp_path, ["shop-1", "shop-2"])).target
    for verb in ("kill", "hang", "revive"):
        assert why_not(target, verb) == "no container engine answers; start one"
    assert why_not(target, "identity") == ""


def test_a_command_of_ones_own_needs_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(existing, "missing", lambda: "no container engine answers")
    directory = write(tmp_path, ["shop-1"])
    file = directory / "target.toml"
    text = file.read_text().replace('container = "shop-1"', 'container = "shop-1"\nkill = [{ exec = ["true"] }]')
    file.write_text(text)
    target = load(directory).target
    assert why_not(target, "kill") == ""
    assert why_not(target, "hang") != ""


class Broken:
    """An engine whose only container ends as soon as it is started. A real one may be seen running for a moment."""

    def state(self, container: str) -> State:
        return State("1", "exited", 0, 3, "", "", {}, (), {})

    def start(self, container: str) -> None:
        pass

    def logs(self, container: str) -> str:
        return "no database"


def test_one_that_ends_again_says_its_last_words() -> None:
    with pytest.raises(SetupFault, match="it ended again, with exit code 3") as caught:
        Existing(Broken()).do("revive", "shop-1")  # type: ignore[arg-type]
    assert caught.value.do == "no database"


# With one.


def test_kill_hang_revive(engine: Engine, client: Any, own_container: OwnContainer) -> None:
    name = own_container()
    yours = Existing(engine)
    yours.do("hang", name)
    assert status(client, name) == "paused"
    yours.do("kill", name)
    assert status(client, name) == "exited"
    yours.do("revive", name)
    assert status(client, name) == "running"
    yours.do("revive", name)
    assert status(client, name) == "running"
    yours.do("kill", name)
    yours.do("kill", name)
    assert status(client, name) == "exited"
    yours.do("revive", name)
    assert not list(debts.folder().glob("*"))


def test_one_that_is_not_there(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match="no container of this name"):
        Existing(engine).do("kill", "shop-that-never-was")
    target = load(write(tmp_path, ["shop-that-never-was"])).target
    assert "no container of this name" in why_not(target, "kill")
    # Its address is of no use to anybody, so that everything else goes on.
    assert [each.host for each in contained.members(target)] == [""]


def test_the_engine_knows_the_address(fleet: ContainerFleet, engine: Engine, own_container: OwnContainer) -> None:
    name = own_container(network=fleet.network.name)
    state = engine.state(name)
    assert state is not None
    assert Existing(engine).address(name, 8000) == (state.addresses[fleet.network.name], 8000)
    with pytest.raises(SetupFault, match="nobody says at which port"):
        Existing(engine).address(name)


def test_a_fork_has_a_connection_of_its_own(engine: Engine) -> None:
    """Workers are forks, and two processes on one connection would take each other's answers."""
    mine = existing.engine()
    assert existing.engine() is mine
    child = os.fork()
    if child == 0:
        os._exit(existing.engine() is mine)
    assert os.waitpid(child, 0)[1] == 0


OWES = """
import sys
from limpet.harness.containers.cleaning import clean
from limpet.harness.containers.engine import Engine, State
from limpet.harness.containers.existing import Existing

yours = Existing(Engine())
yours.do("kill", sys.argv[1])
yours.do("hang", sys.argv[2])
yours.do("kill", sys.argv[3])
print("down", flush=True)
input()
"""


def test_what_a_killed_run_left_down_is_brought_back(engine: Engine, client: Any, own_container: OwnContainer) -> None:
    killed, hung, used = (own_container() for _ in range(3))
    with subprocess.Popen(
        [sys.executable, "-c", OWES, killed, hung, used], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline().strip() == "down"
        assert debts.settle(engine) == [], "it still lives, and may want them down"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    # Its user started and stopped this one since: that it is down now is not limpet's doing.
    client.containers.get(used).start()
    client.containers.get(used).kill()
    assert sorted(debts.settle(engine)) == sorted([killed, hung])
    assert [status(client, each) for each in (killed, hung, used)] == ["running", "running", "exited"]
    assert debts.settle(engine) == []


@pytest.fixture
def shop(fleet: ContainerFleet, client: Any, image: str, tmp_path: Path) -> Iterator[tuple[Path, list[str]]]:
    """A stack of the user's: three containers and the balancer in a fourth. Its target, and their names."""
    names, backends = [], []
    try:
        for number in (1, 2, 3):
            address = fleet.network.next_address()
            name = f"shop-{fleet.run.id}-{number}"
            command = ["limpet", "backend", "--listen", f"{address}:8000", "--name", name, "--allow-remote"]
            made = client.containers.create(
                image, command, name=name, network=fleet.network.name,
                networking_config={fleet.network.name: client.api.create_endpoint_config(ipv4_address=address)},
            )  # fmt: skip
            names.append(name)
            made.start()
            backends.append(f'[[pool.member]]\nname = "{name}"\nhost = "{address}"\nport = 8000\n')
        config = tmp_path / "fleet" / "lb.toml"
        config.write_text(
            '[listener]\nhost = "0.0.0.0"\nport = 8080\n[affinity]\nmode = "lb-cookie"\nduration = "20m"\n'
            '[affinity.cookie]\nexpires = "duration"\n'
            '[health]\ninterval = "300ms"\ntimeout = "1s"\nfall = 2\n[timeouts]\nconnect = "1s"\nresponse = "2s"\n'
            + "".join(backends)
        )
        berth, _ = fleet.program("balancer", ["limpet", "lb", "--config", str(config)])
        yield write(tmp_path / "shop", names, f"http://{berth.address}:8080", 'wait = "60s"\n'), names
    finally:
        for name in names:
            client.containers.get(name).remove(force=True)


def judge(target: Path, out: Path, *behaviours: str, more: Sequence[str] = ()) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "--target", str(target), "--out", str(out)]
    words = [word for each in behaviours for word in ("--behaviour", each)]
    outside = {name: value for name, value in os.environ.items() if name != "CI"}  # there nobody is asked
    return subprocess.Popen(
        [*command, *words, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=outside
    )


def test_a_run_takes_them_down_and_brings_them_back(shop: tuple[Path, list[str]], client: Any, tmp_path: Path) -> None:
    target, names = shop
    with judge(target, tmp_path / "out", "failover.repins", "failover.modes*") as run:
        said, _ = run.communicate(timeout=180)
    assert run.returncode == 0, said
    rows = {row.behaviour: row.variants for row in conformance.load(tmp_path / "out/conformance.json").targets[0].rows}
    assert rows["failover.repins"] == {"": "held"}
    assert rows["failover.modes"]["hang"] == "held"
    assert [status(client, name) for name in names] == ["running"] * 3


def test_a_stack_of_ones_own_is_judged_under_chaos_after_a_yes(
    shop: tuple[Path, list[str]], client: Any, tmp_path: Path
) -> None:
    target, names = shop
    with judge(target, tmp_path / "asked", "chaos.steady-state", more=("--seed", "4")) as run:
        said, _ = run.communicate(timeout=180)
    assert "shop, which limpet did not start" in said
    assert any(f"{kind} {name}" in said for kind in ("kill", "hang") for name in names), said
    (row,) = conformance.load(tmp_path / "asked/conformance.json").targets[0].rows
    assert row.variants == {"": "not checkable"}
    assert [client.containers.get(name).attrs["RestartCount"] for name in names] == [0] * 3
    begun = [client.containers.get(name).attrs["State"]["StartedAt"] for name in names]

    with judge(target, tmp_path / "out", "chaos.steady-state", more=("--seed", "4", "--yes")) as run:
        said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    (result,) = conformance.load(tmp_path / "out/conformance.json").results
    assert result.verdict is Verdict.HELD, said
    done = " ".join(step.text for step in result.steps)
    assert "kill shop-" in done or "hang shop-" in done
    assert [status(client, name) for name in names] == ["running"] * 3
    if "kill shop-" in done:
        assert begun != [client.containers.get(name).attrs["State"]["StartedAt"] for name in names]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nobody_frozen(
    shop: tuple[Path, list[str]], client: Any, tmp_path: Path, how: signal.Signals
) -> None:
    target, names = shop

    def frozen() -> bool:
        return "paused" in [status(client, name) for name in names]

    with judge(target, tmp_path / "out", "failover.modes[hang]") as run:
        wait_until(frozen, timeout=60, what="a container to be frozen")
        run.send_signal(how)
        run.communicate(timeout=60)
    if how == signal.SIGKILL:
        assert frozen()
        assert [line for line in clean() if line.endswith("runs again")]
    assert [status(client, name) for name in names] == ["running"] * 3
