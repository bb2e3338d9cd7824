"""The hosts of a lab: network namespaces without a name, and the links between them.

Nothing here has a name outside of limpet's own descriptors, so nothing is left when limpet is gone, however it went.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from limpet.harness.model.errors import SetupFault
from limpet.harness.processes import netns

_NEEDED = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12}
_NET_RAW = 13
_SYSCTL = Path("/proc/sys/net")
_QUIET = {
    # Filters that would throw away what comes from a chosen address; the parent's settings are inherited.
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # A closed port of a datagram says so each time, as it does on loopback.
    "ipv4/icmp_ratelimit": "0",
    "ipv6/icmp/ratelimit": "0",
    # Addresses are the lab's to give: no waiting for duplicates, no advertisements.
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    # A local route makes an address of IPv4 one that can be bound; IPv6 wants to be told.
    "ipv6/ip_nonlocal_bind": "1",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
}
_FORWARD = {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}


class Host:
    """One namespace: held by a descriptor, entered by threads, given to processes by its path."""

    def __init__(self, name: str, address: str, descriptor: int) -> None:
        self.name = name
        self.address = address
        self.descriptor = descriptor
        self.router: Host | None = None

    @property
    def path(self) -> str:
        """Where any process of this machine's root finds it, as long as it is held."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is on that host meanwhile."""
        with netns.inside(self.path):
            yield

    @contextmanager
    def configured(self) -> Iterator[IPRoute]:
        """Its routing, to be changed.

        Raises:
            SetupFault: the kernel refused a change.
        """
        with self.inside(), contextlib.closing(IPRoute()) as kernel:
            try:
                yield kernel
            except NetlinkError as err:
                raise SetupFault(f"the kernel refused a change of the lab's network: {err}", where=self.name) from err

    def set(self, settings: Mapping[str, str]) -> None:
        """Sets sysctls below ``net``; those that this kernel does not have are passed over."""
        with self.inside():
            for name, value in settings.items():
                with contextlib.suppress(OSError):
                    (_SYSCTL / name).write_text(value)

    def filter(self, rules: str) -> None:
        """Loads rules of nftables on this host, all or none.

        Raises:
            SetupFault: there is no `nft`, or it refused them.
        """
        with self.inside():
            try:
                done = subprocess.run(
                    ["nft", "-f", "-"], input=rules, capture_output=True, text=True, timeout=30, check=False
                )
            except (OSError, subprocess.SubprocessError) as err:
                raise SetupFault(f"nft does not run: {err}", where=self.name, do="apt install nftables") from err
        if done.returncode:
            raise SetupFault(f"nft refused rules: {done.stderr.strip()[:400]}", where=self.name)

    def close(self) -> None:
        """Lets go of it; it ends with its last process. Idempotent."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def make(name: str, address: str, *, forwards: bool = False) -> Host:
    """A new host without links; this thread stays where it is.

    Raises:
        SetupFault: this process may not, or the kernel has no more of them.
    """
    home = netns.current()
    try:
        netns.leave()
        host = Host(name, address, netns.current())
    except OSError as err:
        raise SetupFault(f"no network namespace can be made: {err.strerror}", where=name, do=_DO) from err
    finally:
        netns.enter(home)
        os.close(home)
    host.set(_QUIET | (_FORWARD if forwards else {}))
    with host.configured() as kernel:
        kernel.link("set", index=1, state="up")
    return host


_DO = "run as root (CAP_SYS_ADMIN and CAP_NET_ADMIN), or use --network loopback"


@functools.cache
def missing() -> str:
    """Why no lab can be made on this machine; "" where one can. Nothing is left of the trial."""
    lacking = [name for name, bit in _NEEDED.items() if not _capable(bit)]
    if lacking:
        return f"network namespaces need {' and '.join(lacking)}, which this user does not have"
    found: list[str] = []

    def attempt() -> None:
        try:
            netns.leave()
        except OSError as err:
            found.append(f"the kernel makes no network namespace: {err.strerror}")

    # A thread of its own, whose namespace ends with it.
    trial = threading.Thread(target=attempt)
    trial.start()
    trial.join()
    return "".join(found)


def missing_raw() -> str:
    """Why no packet can be forged or recorded here; "" where that can be."""
    return "" if _capable(_NET_RAW) else "without CAP_NET_RAW"


def missing_filter() -> str:
    """Why the hosts of a lab can have no rules of nftables here; "" where `nft` is there to load them."""
    return "" if shutil.which("nft") else "there is no nft on this machine (apt install nftables)"


def missing_ipv6() -> str:
    """Why nobody speaks IPv6 here, in a lab as little as elsewhere; "" where the kernel has it."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError as err:
        return f"this machine has no IPv6: {err.strerror}"
    return ""


def refused(act: Callable[[Host], None]) -> str:
    """What the kernel says against doing this on a host of a lab's; "" where it does it. Nothing is left of the trial.

    Says nothing ("") where no such host can be made: `missing` has the reason.
    """
    if missing():
        return ""
    host = make("a trial", "")
    try:
        act(host)
    except SetupFault as fault:
        return " ".join(fault.what.split())
    finally:
        host.close()
    return ""


def _capable(bit: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return False
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return bool(found and int(found[1], 16) >> bit & 1)
