"""What `make bench` measures with can tell a right answer from a wrong one, and does without what is not there."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("bench_balancers")
    for name in ("bench_balancers", "generator"):
        sys.modules.pop(name, None)


async def measured(bench: ModuleType, names: list[str], *, rate: float | None, seconds: float = 0.3):
    """The generator directly against a backend whose answers carry these names in turn, with a cookie."""
    generator = sys.modules["generator"]
    loop = asyncio.get_running_loop()

    class Turning(generator.Backend):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__(names[0])
            answers = [generator.Backend(name)._answer for name in names]
            self._answers = [a.replace(b"\r\nX-", b"\r\nSet-Cookie: LIMPET=v1; Path=/\r\nX-") for a in answers]
            self._seen = 0

        def data_received(self, data: bytes) -> None:
            assert data.count(b"\r\n\r\n") == 1
            assert (b"\r\nCookie: LIMPET=v1\r\n" in data) == bool(self._seen)
            self._answer = self._answers[self._seen % len(self._answers)]
            self._seen += 1
            super().data_received(data)

    server = await loop.create_server(Turning, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    load = await generator.drive(port, os.getpid(), users=3, seconds=seconds, rate=rate)
    server.close()
    return load


@pytest.mark.parametrize("rate", [None, 200.0])
def test_every_answer_is_counted_and_an_answer_of_another_backend_is_wrong(bench: ModuleType, rate) -> None:
    right = asyncio.run(measured(bench, ["b1"], rate=rate))
    assert right.done == len(right.latencies) > 10 and right.wrong == 0
    assert 0 < right.p99 < 5 and right.seconds >= 0.3
    if rate is not None:
        assert right.done <= rate * right.seconds + 1
    moved = asyncio.run(measured(bench, ["b1", "b2"], rate=rate))
    assert 0 < moved.wrong < moved.done


def test_the_time_that_a_request_waited_to_be_sent_counts(bench: ModuleType) -> None:
    generator = sys.modules["generator"]

    async def late() -> float:
        class Slow(generator.Backend):  # type: ignore[name-defined, misc]
            def data_received(self, data: bytes) -> None:
                asyncio.get_running_loop().call_later(0.05, super().data_received, data)

        server = await asyncio.get_running_loop().create_server(lambda: Slow("b1"), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        load = await generator.drive(port, os.getpid(), users=1, seconds=0.6, rate=100)
        server.close()
        return float(load.p99)

    assert asyncio.run(late()) > 0.2, "a request that is due while another one is under way waits for it"


def test_what_is_not_here_is_left_out_with_a_sentence(bench: ModuleType, monkeypatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert set(bench.commands(tmp_path, [1, 2])) == {bench.OURS, bench.OURS_IDLE}
    said = capsys.readouterr().out
    assert "HAProxy is not here" in said and "aiohttp is not here" in said


def test_the_configurations_are_right(bench: ModuleType, tmp_path: Path) -> None:
    from limpet.reference_lb.main import main

    found = bench.commands(tmp_path, [4711, 4712])
    for name in (bench.OURS, bench.OURS_IDLE):
        assert main([*found[name][1][3:], "--check"]) == 0
