from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease

PROFILE = """
[product]
name = "toy"
title = "Toy"
documentation = "https://example.org/"

[profile.sticky]
title = "sticky"
layer = 7
affinity = "lb-cookie"
algorithm = ["round-robin", "least-connections"]
[profile.sticky.cookie]
name = "TOY"
attributes = { path = "/" }
[profile.sticky.duration]
default = "20m"
min = "1s"
max = "1h"
[profile.sticky.reaction]
unhealthy = "repin"
recovered = { allowed = ["stay"], status = "inferred" }

[profile.plain]
title = "plain"
layer = 7
affinity = "none"
"""

HEAD = 'name = "toy"\nprofile = "toy/sticky"\n'
SERVER = """
[launch]
command = ["{python}", "-m", "http.server", "{balancer.port}", "--bind", "{balancer.host}", "-d", "{workdir}"]
ready = "http"
"""

MakeTarget = Callable[..., Path]


@pytest.fixture
def make_target(tmp_path: Path) -> MakeTarget:
    """Writes a target directory; `files` are more files in it."""

    def make(text: str, *, head: str = HEAD, profile: str = PROFILE, **files: str) -> Path:
        directory = tmp_path / "toy"
        directory.mkdir(exist_ok=True)
        (directory / "target.toml").write_text(head + text)
        (directory / "profile.toml").write_text(profile)
        for name, content in files.items():
            (directory / name.replace("__", ".")).write_text(content)
        return directory

    return make


@pytest.fixture
def toy_profile() -> str:
    """The profile.toml that `make_target` writes."""
    return PROFILE


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    with Keeper(preload=["limpet.reference_lb.main"]) as one:
        yield one


@pytest.fixture(scope="session")
def lease() -> Iterator[LoopbackLease]:
    with LoopbackLease() as one:
        yield one
