"""Runs the real `limpet` command and looks for what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LIMPET = Path(sys.executable).parent / "limpet"
PATIENCE = 60.0

PROFILE = """
[product]
name = "toy"
title = "Toy"
documentation = "https://example.org/"

[profile.sticky]
title = "sticky"
layer = 7
affinity = "lb-cookie"
algorithm = "round-robin"
[profile.sticky.cookie]
name = "TOY"
attributes = { path = "/" }
[profile.sticky.duration]
default = "20m"
min = "1s"
max = "1h"
clock = "idle"
"""

SLOW = '''
"""Traffic until the run is ended from outside."""
from limpet import Scenario, behaviour


@behaviour("toy.traffic", error_rate=0.0, budget=1000)
def test_traffic(s: Scenario) -> None:
    """Requests without end."""
    user = s.pinned(s.names[0])
    while True:
        user.visit()
        s.real_wait(0.01)
'''


def profile_beside(directory: Path) -> None:
    (directory / "profile.toml").write_text(PROFILE)


def slow_suite(tmp_path: Path) -> Path:
    file = tmp_path / "suite" / "test_toy_traffic.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(SLOW)
    return file


def mentions(pid: str, text: str) -> bool:
    """Whether a process has anything to do with a path: its command line, folder, environment or open files."""
    entry = Path("/proc") / pid
    try:
        if any(text.encode() in (entry / name).read_bytes() for name in ("cmdline", "environ")):
            return True
        links = [entry / "cwd", *(entry / "fd").iterdir()]
        return any(text in str(link.readlink()) for link in links)
    except OSError:
        return False  # it ended meanwhile, or is not ours


def processes_about(text: str) -> list[str]:
    return [
        each.name
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and int(each.name) != os.getpid() and mentions(each.name, text)
    ]


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s: {what}"
        time.sleep(0.02)


@dataclass
class Place:
    """A folder to call limpet in, with a folder for temporary files of its own."""

    cwd: Path
    temp: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str | Path, **env: str) -> subprocess.Popen[str]:
        """`limpet ARGUMENTS` in the background, in a process group of its own."""
        # What a killed run owes is no other run's on this machine.
        state = {"XDG_STATE_HOME": f"{self.temp}-state"}
        environment = {**os.environ, "TMPDIR": str(self.temp), **state, **env}
        begun = subprocess.Popen(
            [str(LIMPET), *map(str, arguments)],
            cwd=self.cwd, env=environment, text=True, encoding="utf-8", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.running.append(begun)
        return begun

    def run(self, *arguments: str | Path, **env: str) -> tuple[int, str]:
        """`limpet ARGUMENTS`: exit code, and what it wrote on both outputs."""
        return self.end(self.start(*arguments, **env))

    def end(self, begun: subprocess.Popen[str]) -> tuple[int, str]:
        """Waits for the end of a command that `start` began."""
        try:
            said, _ = begun.communicate(timeout=PATIENCE)
        finally:
            if begun.poll() is None:
                begun.send_signal(signal.SIGKILL)
        return begun.returncode, said

    def left(self) -> list[str]:
        """Processes and temporary files that are still there."""
        return [*processes_about(str(self.temp)), *(str(path) for path in self.temp.iterdir())]

    def nothing_left(self) -> None:
        wait_for(lambda: not self.left(), f"something is left: {self.left()}")


def new_place(cwd: Path) -> Place:
    # Short: paths of Unix sockets in it may have 107 bytes.
    return Place(cwd, Path(tempfile.mkdtemp(prefix="lt-")))


def end_place(place: Place) -> None:
    for each in place.running:
        if each.poll() is None:
            each.kill()
            each.wait()
    for folder in (place.temp, f"{place.temp}-state"):
        shutil.rmtree(folder, ignore_errors=True)
