"""Every known deviation still shows without limpet: the script beside it starts the product and asks it by curl.

A script gets the program's path as its argument and exits 0 when the deviation still happens, 1 when it does not. What
no longer happens is to be removed, here as in known-deviations.toml.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from limpet.harness.targets.binaries import locate
from limpet.harness.targets.bundled import missing
from limpet.harness.targets.deviations import in_force
from limpet.harness.targets.load import BUNDLED, load
from limpet.harness.targets.versions import version_of

SCRIPTS = sorted(BUNDLED.glob("*/reproduce-*.sh"))
PATIENCE = 120.0
"""Seconds for one script; it starts a product and waits a few times for what the product notices."""
_NOT_ALONE = re.compile(r"\blimpet\s+(run|lb|backend)|import\s+limpet|-m\s+limpet")
_OPEN = re.compile(r"0\.0\.0\.0|\[::\]|INADDR_ANY")


def reproduce(script: Path, program: str, temp: Path) -> tuple[int, str, list[int]]:
    """Exit code and output of a script, and what it left running (which is ended)."""
    temp.mkdir()
    environment = {**os.environ, "TMPDIR": str(temp)}
    begun = subprocess.Popen(
        ["bash", str(script), program], cwd=temp, env=environment, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = begun.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        said = f"not done after {PATIENCE:g} s"
    left = _about(str(temp))
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while _about(str(temp)) and time.monotonic() < deadline:  # the kernel takes its time to end them
        time.sleep(0.01)
    return begun.wait(), said, [pid for pid in left if pid != begun.pid]


def _about(place: str) -> list[int]:
    """The processes that inherited the script's folder for temporary files: only what it started did."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"TMPDIR={place}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile, or is not ours
    return found


@pytest.mark.balancers
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_it_still_happens(script: Path, tmp_path: Path) -> None:
    loaded = load(script.parent.name)
    if reason := missing(loaded):
        pytest.skip(f"{script.parent.name} is not installed here: {reason}")
    mine = [each for each in loaded.deviations if Path(each.reproduction).name == script.name]
    if not in_force(mine, version_of(loaded)):
        pytest.skip(f"{version_of(loaded)} is no version that an entry is about")
    launch = loaded.target.launch
    assert launch is not None and not launch.python
    program = locate(launch.binary) if launch.binary else shutil.which(launch.command[0])
    assert program is not None
    code, said, left = reproduce(script, program, tmp_path / "temp")
    assert code == 0, f"exit {code}: it no longer happens, or the script fails; see what it says:\n{said[-3000:]}"
    assert not left, f"left running: {left}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_it_belongs_to_an_entry_and_needs_no_limpet(script: Path) -> None:
    text = script.read_text("utf-8")
    assert not _NOT_ALONE.search(text), "it must show the same without limpet"
    assert not _OPEN.search(text), "nothing may listen beyond loopback"
    entries = [Path(each.reproduction).name for each in load(script.parent.name).deviations]
    assert script.name in entries, "no entry of known-deviations.toml names it"


PRODUCT = """#!/usr/bin/env bash
exec python3 -c 'import sys, http.server as h
class Answer(h.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(%d)
        self.end_headers()
    def log_message(self, *_): pass
server = h.HTTPServer(("127.0.0.9", 0), Answer)
open(sys.argv[1], "w").write(str(server.server_port))
server.serve_forever()' "$1"
"""
SCRIPT = """#!/usr/bin/env bash
# The product answers 204 where its manual says 200.
work=$(mktemp -d)
trap 'kill "$pid"; wait "$pid" 2>/dev/null; rm -rf "$work"' EXIT
"$1" "$work/port" & pid=$!
for _ in $(seq 600); do [ -s "$work/port" ] && break; sleep 0.05; done
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.9:$(cat "$work/port")/")" = 204 ]
"""


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize(("status", "code"), [(204, 0), (200, 1)])
def test_a_script_tells_by_its_exit_code_and_leaves_nothing(tmp_path: Path, status: int, code: int) -> None:
    product, script = tmp_path / "product", tmp_path / "reproduce-status.sh"
    product.write_text(PRODUCT % status)
    product.chmod(0o755)
    script.write_text(SCRIPT)
    ended, said, left = reproduce(script, str(product), tmp_path / "temp")
    assert (ended, left) == (code, []), said
    assert not list((tmp_path / "temp").iterdir())


def test_what_a_script_leaves_behind_is_seen_and_ended(tmp_path: Path) -> None:
    script = tmp_path / "reproduce-nothing.sh"
    script.write_text("setsid sleep 60 >/dev/null 2>&1 </dev/null &\n")
    code, _, left = reproduce(script, "true", tmp_path / "temp")
    assert code == 0 and len(left) == 1
    assert not _about(str(tmp_path / "temp"))
