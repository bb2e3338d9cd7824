from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.backends import fleet as fleets
from limpet.harness.backends.fleet import Fleet
from limpet.harness.network import loopback
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    with Keeper(preload=(*fleets.PRELOAD, *loopback.PRELOAD)) as one:
        yield one


@pytest.fixture(scope="session")
def lease() -> Iterator[LoopbackLease]:
    with LoopbackLease() as one:
        yield one


@pytest.fixture
def fleet(keeper: Keeper, lease: LoopbackLease, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(keeper, tmp_path / "fleet", lease) as one:
        yield one
