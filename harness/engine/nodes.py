"""A second node of a scenario's balancer: another process of the same configuration and keys, the same backends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

from limpet.harness.clients import Exchange
from limpet.harness.engine.client import Client
from limpet.harness.engine.copies import require_copies
from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.reaching import endpoint_of
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.history import Arrived
from limpet.harness.processes.clocks import no_time_namespace
from limpet.harness.targets.render import Member
from limpet.harness.targets.running import RunningTarget

_LOOK_AGAIN = 0.05
"""Seconds between two looks at whether the nodes agree."""
_NEWS = 2.5
"""Seconds after which each node is told something new, if they do not agree by then."""


class Node(Deployment):
    """A balancer beside the first: it shares the backends and the key material, and nothing that it remembers.

    What its users send and get is part of the first one's history, which is judged as that of one balancer.
    """

    def __init__(self, first: Deployment, members: Sequence[Member], ahead: float = 0.0) -> None:
        super().__init__(first.loaded, first._ground, first.next_name())
        self._ahead = ahead
        self._first = first
        self._members = tuple(members)

    def start(self) -> None:
        """Starts the balancer alone, at the time of the first one's affinity clock.

        Raises:
            SetupFault: it did not come up.
        """
        self._target = RunningTarget(
            self.loaded,
            keeper=self._ground.keeper,
            lease=self._ground.lease,
            workdir=self._ground.workdir / self.name / "balancer",
            members=self._members,
            secret=self._first.target.secret,
            ahead=self._ahead,
            first=self._first.target.workdir,
        )
        with self._ground.timeline.patience():
            self._target.start()
        if self._first.offset:
            self._target.advance_clock(self._first.offset)

    def arrived(self) -> list[Arrived]:
        """What the backends of both received."""
        return self._first.arrived()

    def finds_down(self, name: str) -> None:
        """Returns when this node too is seen to know that a backend is down, or when its time for that is over."""
        self._await_notice(name, up=False)

    def arrived_of(self, prefix: str) -> list[Arrived]:
        """The same, of requests whose id is ``prefix``, a dash, and anything."""
        return self._first.arrived_of(prefix)

    def visit(self, client: Client) -> Exchange:
        """One plain request of this user to this node, on a new connection; cookies go to and come from its jar."""
        here = endpoint_of(self.target)
        with closing(client.raw(host=here.host, port=here.port, ca=here.ca)) as connection:
            return client.over(connection)


@contextmanager
def second_node(scenario: Scenario, *, reordered: bool = False, ahead: float = 0.0) -> Iterator[Node]:
    """A second node, started now and stopped in the end; what the first one knew it has had time to learn.

    Args:
        scenario: whose balancer is the first node.
        reordered: whether it is told the same members in the reverse order.
        ahead: for how many seconds longer its machine seems to run; see `limpet.harness.processes.clocks`.

    Raises:
        NotCheckable: no second one can run beside the first.
        SetupFault: it did not come up.
    """
    require_copies(scenario)
    members = scenario.system.target.members
    if ahead and (reason := no_time_namespace()):
        raise NotCheckable(reason)
    node = Node(scenario.system, members[::-1] if reordered else members, ahead)
    try:
        node.start()
        nodes_agree(scenario, node)
        try:
            yield node
        finally:
            scenario.note_end(node, "second node")
    finally:
        node.stop()


def nodes_agree(scenario: Scenario, node: Node) -> None:
    """Returns when both nodes are seen to know the same, or when their time for that is over.

    Who pushes what it remembers to the others may take a moment; who promises it has done so by then. A stranger's
    request to each of them comes first: what the other one has acknowledged of it says that all before it is there too.
    """
    lag = node.loaded.target.timing.nodes_agree.value
    if not lag:
        return
    if node.loaded.target.control.nodes_agree is None:
        scenario.real_wait(lag)
        return
    deadline, news = time.monotonic() + lag, 0.0
    while (now := time.monotonic()) < deadline:
        if now >= news:
            scenario.client(cookies=False).visit()
            node.visit(scenario.client(cookies=False))
            news = time.monotonic() + _NEWS
        if scenario.system.target.agrees() and node.target.agrees():
            return
        scenario._timeline.wait(_LOOK_AGAIN)
