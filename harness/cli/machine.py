"""What this machine offers to a run, apart from balancers."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from limpet.harness.backends.redis_server import INSTALL, PROGRAM
from limpet.harness.model.errors import SetupFault
from limpet.harness.processes.clocks import no_time_namespace

FILES = 4096
"""Open files that a run of all targets should be allowed; every scenario that waits keeps its connections."""

THREADS = 4096
"""Processes and threads likewise: each scenario is a thread, and each balancer a few processes."""

_CAP_NET_ADMIN = 12
_VERSION = re.compile(r"v=(\S+)|(\d+\.\d+\S*)")


@dataclass(frozen=True)
class Offer:
    """One thing that the machine has or lacks.

    Attributes:
        name: a word for it.
        there: whether it is there, or there is enough of it.
        found: what was found, in words.
        do: what makes up for its lack; "" where nothing is known or needed.
    """

    name: str
    there: bool
    found: str
    do: str = ""


def loopback() -> Offer:
    """Whether any address of 127.0.0.0/8 can be served and can be a client's, without having been configured."""
    try:
        with socket.socket() as server, socket.socket() as client:
            server.bind(("127.1.0.1", 0))
            server.listen(1)
            client.bind(("127.128.0.1", 0))
            client.settimeout(5)
            client.connect(server.getsockname())
    except OSError as err:
        return Offer("loopback 127.0.0.0/8", False, str(err.strerror or err), "ip address add 127.0.0.1/8 dev lo")
    return Offer("loopback 127.0.0.0/8", True, "every address of it serves and connects")


def ipv6() -> Offer:
    """Whether ``::1`` can be served."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
            server.bind(("::1", 0))
    except OSError as err:
        return Offer("IPv6 loopback", False, str(err.strerror or err), "sysctl net.ipv6.conf.lo.disable_ipv6=0")
    return Offer("IPv6 loopback", True, "::1")


def redis() -> Offer:
    """Whether there is a Redis server for backends that share their sessions."""
    path = shutil.which(PROGRAM)
    if path is None:
        return Offer(PROGRAM, False, "not found in PATH", INSTALL)
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as err:
        return Offer(PROGRAM, False, f"{path} does not run: {err}", INSTALL)
    version = _VERSION.search(said)
    return Offer(PROGRAM, True, " ".join(filter(None, [version and (version[1] or version[2]), path])))


def containers() -> Offer:
    """Whether a container engine answers, for containers of the user's that a target names."""
    from limpet.harness.containers.engine import INSTALL as START
    from limpet.harness.containers.engine import Engine

    try:
        engine = Engine()
    except SetupFault as fault:
        return Offer("container engine", False, fault.what, START)
    engine.close()
    return Offer("container engine", True, engine.version)


def files() -> Offer:
    """How many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft == resource.RLIM_INFINITY or soft >= FILES
    may = hard == resource.RLIM_INFINITY or hard >= FILES
    do = f"ulimit -n {FILES}" if may else f"raise the hard limit of open files (LimitNOFILE, limits.conf) to {FILES}"
    return Offer("open files", enough, _limit(soft), "" if enough else do)


def threads() -> Offer:
    """How many processes and threads this user, or this container, may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    limits = [] if soft == resource.RLIM_INFINITY else [soft]
    with contextlib.suppress(OSError, ValueError):  # no limit, or none that can be read
        limits.append(int(Path("/sys/fs/cgroup/pids.max").read_text("ascii")))
    found = min(limits, default=resource.RLIM_INFINITY)
    enough = found == resource.RLIM_INFINITY or found >= THREADS
    return Offer("processes and threads", enough, _limit(found), "" if enough else f"ulimit -u {THREADS}")


def clocks() -> Offer:
    """Whether a process can be given a machine that seems to have been started at another time."""
    reason = no_time_namespace()
    found = reason.partition(": ")[2] if reason else "clocks since the start can be shifted"
    return Offer("time namespaces", not reason, found, "run it as root" if reason and os.geteuid() else "")


def root() -> Offer:
    """Whether network interfaces and packet filters may be changed."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        status = ""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    capable = bool(found and int(found[1], 16) >> _CAP_NET_ADMIN & 1)
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    return Offer("CAP_NET_ADMIN", capable, f"{who}, {'with' if capable else 'without'} CAP_NET_ADMIN")


def laboratory() -> Offer:
    """Whether a lab of network namespaces can be made (`limpet run --network namespace`)."""
    from limpet.harness.network.namespaces import missing

    if reason := missing():
        return Offer("network namespaces", False, reason, "run as root")
    return Offer("network namespaces", True, "a lab can be made (--network namespace)")


def packets() -> Offer:
    """Whether packets can be forged in a lab, and recorded for whoever reads of a violation."""
    from limpet.harness.network.namespaces import missing_raw

    if reason := missing_raw():
        return Offer("CAP_NET_RAW", False, f"{reason}: no forged packets, and none of a violation", "run as root")
    return Offer("CAP_NET_RAW", True, "a lab can forge packets, and record those of a violation")


def gateways() -> Offer:
    """Whether hosts of a lab can translate addresses."""
    from limpet.harness.network.nat import missing_gateways

    path = shutil.which("nft")
    if path is None:
        return Offer("nft", False, "not found in PATH: a lab has no NAT gateways", "apt install nftables")
    if reason := missing_gateways():
        return Offer("nft", False, f"{path}, but {reason}")
    return Offer("nft", True, f"a lab can have NAT gateways, {path}")


def _limit(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)
