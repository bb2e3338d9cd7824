"""What may go together in the pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from limpet.reference_lb.settings.config import Affinity, Listener, PoolConfig
from limpet.reference_lb.settings.problems import Problem


def pool_problems(pool: PoolConfig) -> Iterator[Problem]:
    """Names are unique, and there are members or groups, not both."""
    key = "pool.group" if pool.group else "pool.member"
    for name, count in Counter(member.name for member in pool.wanted).items():
        if count > 1:
            yield Problem(key, f'{count} members are named "{name}"; each needs a name of its own')
    if pool.group and pool.member:
        yield Problem("pool.group", "there are members beside it: make each of them a group of one server")


def group_problems(pool: PoolConfig, listener: Listener, affinity: Affinity) -> Iterator[Problem]:
    """Groups are for requests, and for pins that the balancer itself hands out or finds by the client's address."""
    if not pool.group:
        return
    if listener.protocol != "http":
        yield Problem("pool.group", f'it needs listener.protocol = "http", and protocol is "{listener.protocol}"')
    if affinity.mode not in ("lb-cookie", "source-ip", "none") or affinity.store != "table":
        yield Problem("pool.group", 'it needs affinity.mode "lb-cookie", "source-ip" or "none", with store = "table"')
