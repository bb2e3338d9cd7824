from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.backends.fleet import PRELOAD, Fleet
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    with Keeper(preload=PRELOAD) as one:
        yield one


@pytest.fixture(scope="session")
def lease() -> Iterator[LoopbackLease]:
    with LoopbackLease() as one:
        yield one


@pytest.fixture
def fleet(keeper: Keeper, lease: LoopbackLease, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(keeper, tmp_path / "fleet", lease) as one:
        yield one
