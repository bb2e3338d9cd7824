"""However a run in the lab ends, nothing of it is left: processes, namespaces, links, filters, files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.processes import leftovers, table

OURS = Path("/proc/self/ns/net").readlink()


def await_(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def namespaces_of(pids: set[int]) -> set[str]:
    """The network namespaces that these processes are in, without the machine's own."""
    found = set()
    for pid in pids:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/net").readlink()))
        except OSError:
            continue
    return found - {str(OURS)}


def below(root: int) -> set[int]:
    return {each.pid for each in table.descendants(root, table.table())}


def busy(run: int) -> bool:
    """Whether each worker is in the middle: a balancer and backends of its own are on at least five hosts."""
    keepers = [pid for pid in below(run) if named(pid) == leftovers.KEEPER]
    workers = min(2, len(os.sched_getaffinity(0)))
    return len(keepers) >= workers and all(len(namespaces_of({pid, *below(pid)})) >= 5 for pid in keepers)


def named(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def in_namespaces(namespaces: set[str]) -> set[int]:
    return {pid for pid in table.table() if namespaces_of({pid}) & namespaces}


def names_and_links() -> tuple[list[str], list[str], str]:
    named = Path("/run/netns")
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
    return (
        sorted(each.name for each in named.iterdir()) if named.exists() else [],
        sorted(name for _, name in socket.if_nameindex()),
        rules,
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_in_the_middle_leaves_nothing(filtered: None, tmp_path: Path, how: signal.Signals) -> None:
    before = names_and_links()
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "--network", "namespace"]
    command += ["--target", "reference-real-idle", "--behaviour", "duration.*", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_(lambda: busy(run.pid), "the labs to be busy")
        made = below(run.pid)
        inside = namespaces_of(made)
        assert run.poll() is None
        run.send_signal(how)
        run.wait(120)
        await_(lambda: not in_namespaces(inside), f"nobody to be in the lab's namespaces after {how.name}")
        await_(lambda: not list(scratch.glob("limpet-*")), "the work directories to be gone")
        assert not [each for each in leftovers.orphans() if each.pid in made]
        assert names_and_links() == before
    finally:
        run.kill()
        run.wait()


def test_the_next_run_removes_what_a_killed_keeper_left(filtered: None, tmp_path: Path) -> None:
    before = names_and_links()
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    run_it = [sys.executable, "-m", "limpet.harness.cli.main", "run", "--network", "namespace"]
    # What a keeper has started dies with it; what that has started does not. A balancer that is rules has such a child.
    command = [*run_it, "--target", "nftables-jhash-source", "--target", "reference-real-idle"]
    command += ["--behaviour", "membership.*", "--behaviour", "duration.*", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_(lambda: busy(run.pid) and bool(sleepers(run.pid)), "the labs to be busy")
        made = below(run.pid)
        inside = namespaces_of(made)
        # The worst case: limpet, its workers and their keepers die at the same moment, and nobody is left to clean up.
        for pid in [run.pid, *sorted(made)]:
            if _keeps_or_runs(pid):
                os.kill(pid, signal.SIGKILL)
        run.wait(120)
        assert list(scratch.glob("limpet-*")), "nobody was left to remove them"
        left = in_namespaces(inside)
        assert left & made, "somebody is still there, or the next run has nothing to do"
        again = subprocess.run(
            [*run_it, "--target", "reference-real-idle", "--behaviour", "affinity.holds", "--out",
             str(tmp_path / "again")],
            env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert again.returncode == 0, again.stdout + again.stderr
        assert not list(scratch.glob("limpet-*"))
        assert not in_namespaces(inside)
        assert not [each for each in leftovers.orphans() if each.pid in made]
        assert names_and_links() == before
    finally:
        run.kill()
        run.wait()


def sleepers(root: int) -> set[int]:
    """Children of a balancer's own process."""
    return {pid for pid in below(root) if named(pid) == "sleep"}


def _keeps_or_runs(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return named(pid) == leftovers.KEEPER or b"run" in command
