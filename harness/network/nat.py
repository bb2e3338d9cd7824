"""NAT gateways of a lab: a host before a network of its own, whose users leave by other addresses than they have.

nftables chooses the egress address of each new connection, the kernel's connection tracking knows which one it was.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from limpet.harness.model.errors import SetupFault
from limpet.harness.network.lab import Lab
from limpet.harness.network.namespaces import Host, missing_filter, refused
from limpet.harness.network.topology import PAIRS, Plan

INSIDE, INSIDE_V6 = "198.51.100.0/24", "2001:db8:4000::/64"
"""What users behind a gateway have. The same behind each: nobody outside ever sees it."""

_TRACKED = Path("/proc/thread-self/net/nf_conntrack")
"""One connection a line: src, dst, sport and dport as its first packet had them, then as its answers have them."""

_FIRST_TABLE = 1000
"""Of the router's tables of routes: each gateway has one, for answers of its own balancer only."""

_ENDS = ("src=", "dst=", "sport=", "dport=")
_TIMEOUTS = {
    # A gateway that forgets a flow in the middle of a scenario would give it another address: that is a scenario of
    # its own (`change`), not something to happen by the way.
    "netfilter/nf_conntrack_udp_timeout": "86400",
    "netfilter/nf_conntrack_udp_timeout_stream": "86400",
}


@dataclass(frozen=True)
class Egress:
    """What the outside sees of one connection."""

    address: str
    port: int


class Gateway:
    """One gateway with the host of its users. Thread-safe.

    Args:
        lab: where it stands.
        egress: its addresses outside, all of one family. Each new connection leaves by the next of them.
        towards: host and port of the one balancer that is reached through it.

    Raises:
        SetupFault: there is no `nft`, or the kernel refused something.
    """

    def __init__(self, lab: Lab, egress: Sequence[str], towards: tuple[str, int]) -> None:
        if reason := missing_gateways():
            raise SetupFault(reason, where="a NAT gateway of the lab")
        self._lab = lab
        self._lock = threading.Lock()
        self._towards = towards
        self._six = ":" in egress[0]
        self.egress: tuple[str, ...] = ()
        self._hosts: list[Host] = []
        self._known: dict[tuple[str, int], str] = {}
        outside, inside = taken = lab.pairs.take()
        self._pair: tuple[Plan, Plan] | None = taken
        self._table = _FIRST_TABLE + PAIRS.index(taken)
        self._diverted = False
        try:
            self._gateway = lab.attach(outside, forwards=True)
            self._hosts.append(self._gateway)
            self._gateway.set(_TIMEOUTS)
            self.inside = lab.attach(replace(inside, prefixes=(INSIDE,), prefixes_v6=(INSIDE_V6,)), self._gateway)
            self._hosts.append(self.inside)
            self._gateway.filter(_table(self._six))
            lab.divert("add", towards, self._table)
            self._diverted = True
            self.change(egress)
        except BaseException:
            self.close()
            raise

    def change(self, egress: Sequence[str]) -> None:
        """Leaves by these addresses from now on; nothing comes back by the old ones, and what stood ends.

        Raises:
            SetupFault: the kernel refused it.
        """
        with self._lock:
            link, via = self._gateway.name, self._gateway.address
            with self._lab.core.configured() as kernel:
                number = kernel.link_lookup(ifname=link)[0]
                for verb, addresses in (("del", self.egress), ("add", egress)):
                    for address in addresses:
                        self._lab.route(kernel, verb, address, number, via, self._table)
            self.egress = tuple(egress)
            self._known.clear()
            self._gateway.filter(_rules(self.egress, self._six))
            with self._gateway.inside():
                _forget()

    def begin_flow(self, source: tuple[str, int]) -> Egress:
        """Gives a flow of datagrams that is about to begin its egress address: the next one, or the one that it had.

        Raises:
            SetupFault: the kernel refused it.
        """
        with self._lock:
            if source in self._known or len(self.egress) == 1:
                address = self._known.get(source, self.egress[0])
            else:
                address = self._known[source] = self.egress[len(self._known) % len(self.egress)]
                family = "ip6" if self._six else "ip"
                element = f"{source[0]} . {source[1]} : {address}"
                self._gateway.filter(f"add element {family} limpet flows {{ {element} }}\n")
        return Egress(address, source[1])

    def leaves_by(self, source: tuple[str, int], transport: str = "tcp") -> Egress | None:
        """What the outside sees of a connection that was opened behind it; None where there is no such connection.

        Raises:
            SetupFault: the kernel does not say.
        """
        began = [source[0], self._towards[0], str(source[1]), str(self._towards[1])]
        with self._gateway.inside():
            lines = _tracked(self._gateway.name)
        for line in lines:
            words = line.split()
            ends = [_plain(each.partition("=")[2]) for each in words if each.startswith(_ENDS)]
            if words[2] == transport and ends[:4] == began:
                return Egress(ends[5], int(ends[7]))
        return None

    def close(self) -> None:
        """Takes it apart. Idempotent."""
        with self._lock:
            while self._hosts:
                self._lab.detach(self._hosts.pop())
            if self._diverted:
                self._diverted = False
                self._lab.divert("del", self._towards, self._table)
            if self._pair is not None:
                self._lab.pairs.give_back(self._pair)
                self._pair = None


def missing_gateways() -> str:
    """Why a lab can have no NAT gateways here; "" where it can.

    That `nft` is there says little: the kernel must translate, track, show what it tracks, and choose routes by who
    sends from which port. All of that is tried once, on a host of its own.
    """
    return missing_filter() or _refused()


@functools.cache
def _refused() -> str:
    reason = refused(_translate) or refused(_choose_routes)
    return f"the kernel can be no NAT gateway: {reason}" if reason else ""


def _translate(host: Host) -> None:
    host.filter(_table(False) + _rules(("192.0.2.1", "192.0.2.2"), False))
    with host.inside():
        _forget()
        _tracked(host.name)


def _choose_routes(host: Host) -> None:
    try:
        with host.configured() as kernel:
            answers = {"src": "192.0.2.1", "table": _FIRST_TABLE, "priority": _FIRST_TABLE}
            kernel.rule("add", **answers, ip_proto=socket.IPPROTO_TCP, sport_range="1:1")
    except SetupFault as err:
        raise SetupFault("it chooses no routes by port (CONFIG_IP_MULTIPLE_TABLES, Linux 4.17 or newer)") from err


def _forget() -> None:
    """The host that this thread is on tracks nothing any more of what it did.

    Raises:
        SetupFault: the kernel refused it.
    """
    try:
        with contextlib.closing(NFCTSocket()) as tracking:
            tracking.flush()
    except (OSError, NetlinkError) as err:
        raise SetupFault(f"connection tracking cannot be flushed: {err}") from err


def _tracked(where: str) -> list[str]:
    """What the host that this thread is on tracks.

    Raises:
        SetupFault: the kernel does not show it.
    """
    try:
        return _TRACKED.read_text("ascii").splitlines()
    except OSError as err:
        raise SetupFault(
            f"the kernel does not show which connections it tracks: {err.strerror}",
            where=where,
            do="It is to be built with CONFIG_NF_CONNTRACK_PROCFS.",
        ) from err


def _plain(end: str) -> str:
    """An address as limpet writes it, a port as it is."""
    return str(ipaddress.ip_address(end)) if ":" in end else end


def _table(six: bool) -> str:
    """The gateway's own table; its rules come later, as they change."""
    family, kind = ("ip6", "ipv6_addr") if six else ("ip", "ipv4_addr")
    return f"""table {family} limpet {{
    map flows {{
        type {kind} . inet_service : {kind}
    }}
    chain out {{
        type nat hook postrouting priority srcnat; policy accept;
    }}
}}
"""


def _rules(egress: Sequence[str], six: bool) -> str:
    family = "ip6" if six else "ip"
    begin = f"flush map {family} limpet flows\nflush chain {family} limpet out\n"
    rule = f'add rule {family} limpet out oifname "eth0"'
    if len(egress) == 1:
        return f"{begin}{rule} snat to {egress[0]}\n"
    choices = ", ".join(f"{number} : {address}" for number, address in enumerate(egress))
    known = f"{rule} meta l4proto udp snat to {family} saddr . udp sport map @flows\n"
    return f"{begin}{known}{rule} snat to numgen inc mod {len(egress)} map {{ {choices} }}\n"
