from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from limpet.harness.containers import engine as engines
from limpet.harness.containers.engine import Engine
from limpet.harness.containers.fleet import ContainerFleet

IMAGE = os.environ.get("LIMPET_IMAGE", "limpet")
MakeContainer = Callable[..., str]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of this machine, with an image of limpet; skips where either is missing."""
    if reason := engines.missing():
        pytest.skip(reason)
    one = Engine()
    if not one.has_image(IMAGE):
        pytest.skip(f"there is no image {IMAGE} in this machine's engine; build it: docker build -t {IMAGE} .")
    yield one
    one.close()


@pytest.fixture(scope="session")
def image() -> str:
    return IMAGE


@pytest.fixture
def fleet(engine: Engine, tmp_path: Path) -> Iterator[ContainerFleet]:
    with ContainerFleet(IMAGE, tmp_path / "fleet", engine=engine) as one:
        yield one


@pytest.fixture
def client(engine: Engine) -> Iterator[Any]:
    """The SDK itself, as a user's own tools would use the engine."""
    import docker

    one = docker.from_env()
    yield one
    one.close()


@pytest.fixture
def own_container(client: Any) -> Iterator[MakeContainer]:
    """Makes containers that are nobody's business, as a user has them; returns their names."""
    made: list[Any] = []

    def make(*command: str, network: str = "none", name: str = "") -> str:
        called = name or f"shop-{secrets.token_hex(3)}"
        container = client.containers.run(
            IMAGE, list(command) or ["sleep", "600"], name=called, network=network, detach=True
        )
        made.append(container)
        return called

    yield make
    for each in made:
        each.remove(force=True)


@pytest.fixture(autouse=True)
def own_debts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test owes is no other run's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
