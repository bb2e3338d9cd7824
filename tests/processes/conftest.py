from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from limpet.harness.processes.keeper import Keeper


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        with Keeper(preload=["forked_entries"]) as one:
            yield one
