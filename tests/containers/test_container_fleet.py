"""What can be done to backends in containers, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from limpet.harness.containers.backend import ContainerBackend
from limpet.harness.containers.cleaning import clean, remove_leftovers
from limpet.harness.containers.engine import Engine
from limpet.harness.containers.fleet import ContainerFleet
from limpet.harness.containers.labels import RUN
from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.processes.waiting import wait_until


def ask(backend: ContainerBackend, request: str = "r", *, timeout: float = 10.0) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        url = f"http://{backend.host}:{backend.port}/"
        return session.get(url, headers={"Limpet-Request": request}, timeout=timeout)


def of_run(engine: Engine, run: str) -> tuple[int, int]:
    label = f"{RUN}={run}"
    return len(engine.containers(label)), len(engine.networks(label))


def test_a_backend_lives_through_a_kill_at_its_address(fleet: ContainerFleet) -> None:
    backend = fleet.start("b1")
    where, first = backend.host, backend.instance
    assert ask(backend, "one").headers["Limpet-Backend"] == "b1"
    backend.kill()
    assert not backend.alive
    with pytest.raises(requests.RequestException):
        ask(backend)
    backend.revive()
    assert ask(backend, "two").headers["Limpet-Instance"] == backend.instance != first
    assert backend.host == where
    # What it saw before its death is not lost.
    assert [each.id for each in backend.arrived()] == ["one", "two"]


def test_who_is_frozen_accepts_and_keeps_silent(fleet: ContainerFleet) -> None:
    backend = fleet.start("b1")
    instance = backend.instance
    backend.hang()
    with socket.create_connection((backend.host, backend.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: limpet\r\n\r\n")
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    backend.revive()
    assert ask(backend).headers["Limpet-Instance"] == instance


def test_who_is_disconnected_keeps_its_memory(fleet: ContainerFleet) -> None:
    backend = fleet.start("b1")
    instance = backend.instance
    backend.disconnect()
    with pytest.raises(requests.RequestException):
        ask(backend, timeout=1)
    assert backend.alive
    backend.revive()
    assert ask(backend).headers["Limpet-Instance"] == instance


def test_other_faults_are_those_of_any_backend(fleet: ContainerFleet) -> None:
    backend = fleet.start("b1")
    backend.status(503)
    assert ask(backend).status_code == 503
    backend.reset()
    with pytest.raises(requests.ConnectionError):
        ask(backend)
    backend.revive()
    assert ask(backend).status_code == 200


def test_a_rolling_deploy(fleet: ContainerFleet, client: Any, image: str) -> None:
    """Another address, and another image: each time a new instance under the same name."""
    client.images.get(image).tag("limpet-test", "next")
    try:
        backend = fleet.start("b1")
        first, old = backend.instance, backend.host
        backend.move(fleet.network.next_address())
        second = backend.instance
        assert backend.host != old and ask(backend).headers["Limpet-Instance"] == second != first
        backend.replace("limpet-test:next")
        assert ask(backend).headers["Limpet-Instance"] == backend.instance not in (first, second)
        assert backend.berth.image == "limpet-test:next"
        running = client.containers.list(filters={"label": f"{RUN}={fleet.run.id}"})
        assert [each.attrs["Config"]["Image"] for each in running] == ["limpet-test:next"]
    finally:
        fleet.close()
        client.images.remove("limpet-test:next")


def test_who_is_told_to_end_ends(fleet: ContainerFleet) -> None:
    backend = fleet.start("b1")
    backend.end(grace=30)
    state = backend.berth.state()
    assert state is not None and state.exit_code != 137, "it was killed instead"


def test_there_is_no_way_out_of_the_network(fleet: ContainerFleet, client: Any) -> None:
    fleet.start("b1")
    found = client.networks.get(fleet.network.name)
    assert found.attrs["Internal"] and found.attrs["IPAM"]["Config"][0]["Subnet"] == str(fleet.network.subnet)


def test_the_balancer_may_be_one_of_them(fleet: ContainerFleet, tmp_path: Path) -> None:
    backend = fleet.start("b1")
    listen, member = "0.0.0.0:8080", f"b1={backend.host}:{backend.port}"
    command = ["limpet", "lb", "--preset", "huawei-elb/lb-cookie", "--listen", listen, "--backend", member]
    berth, process = fleet.program("balancer", command)

    def through() -> str | None:
        assert process.alive(), process.last_lines()
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"http://{berth.address}:8080/", timeout=5)
        return answer.headers.get("Limpet-Backend")

    assert wait_until(through, timeout=30, what="an answer through the balancer") == "b1"
    berth.kill()
    assert not process.alive() and process.exit_code() == 137
    berth.start()
    assert process.alive() and wait_until(through, timeout=30, what="an answer through the balancer") == "b1"


def test_closing_leaves_nothing(engine: Engine, image: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ContainerFleet(image, tmp_path, engine=engine) as fleet:
        fleet.start("b1").hang()
        fleet.program("sleeper", ["sleep", "600"])
        assert of_run(engine, fleet.run.id) == (2, 1)
        raise KeyboardInterrupt
    assert of_run(engine, fleet.run.id) == (0, 0)


KILLED = """
import pathlib, sys
from limpet.harness.containers.fleet import ContainerFleet

fleet = ContainerFleet(sys.argv[1], pathlib.Path(sys.argv[2]))
fleet.start("b1")
print(fleet.run.id, flush=True)
input()
"""


def test_who_was_killed_is_cleaned_up_after_and_nobody_else(
    engine: Engine, fleet: ContainerFleet, image: str, tmp_path: Path
) -> None:
    backend = fleet.start("mine")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, image, str(tmp_path / "killed")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        run = child.stdout.readline().strip()
        assert of_run(engine, run) == (1, 1)
        remove_leftovers(engine)
        assert of_run(engine, run) == (1, 1), "it still lives"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert of_run(engine, run) == (1, 1), "nothing else can have removed it"
    assert any(line.startswith("1 containers and 1 networks") for line in clean())
    assert of_run(engine, run) == (0, 0)
    assert ask(backend).status_code == 200
    assert list(clean()) == []


def test_bad_input_is_told(engine: Engine, fleet: ContainerFleet, tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match="no such image") as caught:
        ContainerFleet("limpet-test:never-built", tmp_path / "other", engine=engine)
    assert "docker build" in caught.value.do
    fleet.start("b1")
    with pytest.raises(HarnessFault, match="of this name already"):
        fleet.start("b1")
