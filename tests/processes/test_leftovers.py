from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from limpet.harness.engine import cleaning
from limpet.harness.processes import leftovers, table
from limpet.harness.processes.keeper import Keeper

# A shell whose child goes on in a session of its own, as a daemon does: nothing but its keeper would end it.
DAEMON = "setsid sleep 600 >/dev/null 2>&1 & echo $!; wait"

HOLDER = """
import sys, time
from pathlib import Path
from limpet.harness.processes.keeper import Keeper
keeper = Keeper(run=sys.argv[1])
keeper.spawn(["sh", "-c", sys.argv[2]], output=Path(sys.argv[3]))
print(keeper.pid, flush=True)
time.sleep(600)
"""


def await_(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def of(run: str) -> list[leftovers.Orphan]:
    return [each for each in leftovers.orphans() if each.run == run]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path


def test_what_a_living_keeper_started_is_nobodys_leftover(tmp_path: Path) -> None:
    run = f"test{os.getpid()}a"
    with Keeper(run=run) as keeper:
        keeper.spawn(["sh", "-c", DAEMON], output=tmp_path / "out", env={"PATH": os.environ["PATH"]})
        await_(lambda: (tmp_path / "out").read_text().strip().isdigit(), "the daemon to start")
        assert run in leftovers.living()
        assert of(run) == []
    assert run not in leftovers.living()


def test_what_a_killed_keeper_left_is_found_and_removed(tmp_path: Path) -> None:
    run, output = f"test{os.getpid()}b", tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, run, DAEMON, str(output)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        keeper = int(holder.stdout.readline())
        await_(lambda: output.exists() and output.read_text().strip().isdigit(), "the daemon to start")
        daemon = int(output.read_text())
        os.kill(holder.pid, signal.SIGSTOP)  # it must not clean up after its keeper
        os.kill(keeper, signal.SIGKILL)
        try:
            # The keeper is a zombie as long as its parent is stopped; a zombie keeps nobody.
            await_(lambda: [each.pid for each in of(run)] == [daemon], "only the daemon to be left")
            assert "sleep 600" in of(run)[0].command
            assert leftovers.end(of(run)[0])
            await_(lambda: table.entry(daemon) is None or table.entry(daemon).state == "Z", "it to be gone")  # type: ignore[union-attr]
            assert of(run) == []
        finally:
            with suppress(ProcessLookupError):
                os.kill(daemon, signal.SIGKILL)
            os.kill(holder.pid, signal.SIGKILL)


def test_an_id_that_is_another_processs_now_is_let_live() -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        assert not leftovers.end(leftovers.Orphan(stranger.pid, "of-somebody", "sleep"))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_directory_is_removed_when_its_owner_is_dead_and_not_before(elsewhere: Path) -> None:
    path, descriptor = leftovers.new_directory()
    (path / "history").write_text("x")
    assert leftovers.remove_directories() == []
    holder = subprocess.Popen(["sleep", "600"], pass_fds=[descriptor])
    os.close(descriptor)
    assert leftovers.remove_directories() == [], "its keeper lives"
    holder.kill()
    holder.wait()
    assert leftovers.remove_directories() == [path]
    assert not path.exists()


def test_what_no_run_is_known_to_have_made_stays(elsewhere: Path) -> None:
    (elsewhere / "limpet-results").mkdir()
    (elsewhere / "limpet-results" / "mine").write_text("x")
    target = elsewhere / "elsewhere"
    target.mkdir()
    (target / ".owner").touch()
    (elsewhere / "limpet-link").symlink_to(target)
    (elsewhere / "limpet-file").write_text("x")
    assert leftovers.remove_directories() == []
    assert target.exists()
    assert (elsewhere / "limpet-results" / "mine").exists()


def test_cleaning_says_what_it_removed(elsewhere: Path) -> None:
    path, descriptor = leftovers.new_directory()
    os.close(descriptor)
    assert f"work directory {path}" in cleaning.clean().done
    assert not path.exists()
