"""Links of a lab that are cut: the router between balancer and backend throws packets away, one way or both.

Only what goes between the balancers' host and one backend's address and port is concerned: backends of other
deployments on the same host, and limpet's own looks at this one, go on.
"""

from __future__ import annotations

import functools
import threading

from limpet.harness.network import topology
from limpet.harness.network.namespaces import Host, missing_filter, refused

LINK_DOWN, ONE_WAY = "link-down", "one-way"


class Link:
    """The link between the balancers and one backend. Thread-safe.

    Args:
        router: where packets pass.
        host: the backend's address, IPv4.
        port: its port; of TCP, and of UDP too.
    """

    def __init__(self, router: Host, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._router = router
        self._lock = threading.Lock()
        self._cut: set[str] = set()

    def impair(self, kind: str, value: float) -> None:
        """Cuts it, open connections included; nobody is told.

        Args:
            kind: ``link-down``: nothing comes through either way. ``one-way``: what the balancer sends arrives, and
                no answer comes back.
            value: without a meaning.

        Raises:
            SetupFault: the kernel refused it.
        """
        with self._lock:
            self._filter(self._cut | {kind})

    def mend(self, kind: str) -> None:
        """Ends one kind of cut.

        Raises:
            SetupFault: the kernel refused it.
        """
        with self._lock:
            self._filter(self._cut - {kind})

    def shut(self) -> None:
        """Nothing: who is dead refuses connections itself."""

    def open(self) -> None:
        """Nothing."""

    def _filter(self, cut: set[str]) -> None:
        if cut != self._cut:
            self._router.filter(rules(self.host, self.port, cut))
            self._cut = cut


class Links:
    """The links of one deployment.

    Args:
        router: the one that they all go over.
    """

    made_of = "links of the lab, cut by nftables"
    kinds = (LINK_DOWN, ONE_WAY)

    def __init__(self, router: Host) -> None:
        self._router = router
        self._links: list[Link] = []

    def lay(self, name: str, host: str, port: int) -> Link:
        """The link to the backend at this address; it is there already."""
        link = Link(self._router, host, port)
        self._links.append(link)
        return link

    def close(self) -> None:
        """Leaves no link cut. Idempotent."""
        for link in self._links:
            for kind in self.kinds:
                link.mend(kind)


def rules(host: str, port: int, cut: set[str]) -> str:
    """What nftables is told: a table for each link that is cut, made anew with each change.

    Args:
        host: the backend's address.
        port: its port.
        cut: in which ways; empty for none.
    """
    table = f"ip limpet-{host.replace('.', '-')}-{port}"
    gone = f"add table {table}\ndelete table {table}\n"
    if not cut:
        return gone
    balancers = topology.BALANCER.prefixes[0]
    drops = [f"ip saddr {host} ip daddr {balancers} meta l4proto {{ tcp, udp }} th sport {port} drop"]
    if LINK_DOWN in cut:
        drops.append(f"ip saddr {balancers} ip daddr {host} meta l4proto {{ tcp, udp }} th dport {port} drop")
    body = "\n".join(["type filter hook forward priority filter; policy accept;", *drops])
    return f"{gone}table {table} {{\nchain between {{\n{body}\n}}\n}}\n"


def missing_links() -> str:
    """Why no link of a lab can be cut here; "" where they can."""
    return missing_filter() or _refused()


@functools.cache
def _refused() -> str:
    cut = rules(topology.BACKENDS[0].address, 1, {LINK_DOWN, ONE_WAY})
    reason = refused(lambda host: host.filter(cut))
    return f"the kernel cuts no links: {reason}" if reason else ""
