"""Another version of a scenario's balancer, or another product: what ``--upgrade-to`` names, beside the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from limpet.harness.engine.copies import require_copies
from limpet.harness.engine.nodes import Node, nodes_agree
from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.contract import Contract
from limpet.harness.model.contract.stated import must
from limpet.harness.model.verdict import RequirementRef
from limpet.harness.targets.load import LoadedTarget


@contextmanager
def upgraded(scenario: Scenario) -> Iterator[Node]:
    """The other balancer, with the members and the key material of the scenario's own; stopped in the end.

    What its users send and get is judged by the promise of the first one, whose keys they bring.

    Raises:
        NotCheckable: nobody said what to upgrade to, or it cannot run beside the first.
        SetupFault: it did not come up.
    """
    newer = scenario.system.loaded.newer
    if newer is None:
        raise NotCheckable("no --upgrade-to was given")
    require_copies(scenario)
    node = Node(scenario.system, scenario.system.target.members)
    node.loaded = newer
    try:
        node.start()
        nodes_agree(scenario, node)
        try:
            yield node
        finally:
            scenario.note_end(node, "other balancer")
    finally:
        node.stop()


def unfit(loaded: LoadedTarget, newer: LoadedTarget) -> str:
    """Why nobody can be upgraded from one target to the other; "" where that can be tried."""
    if loaded.target.launch is None or newer.target.launch is None:
        return "limpet must start both balancers itself, to give them the same backends and keys"
    if loaded.own.layer != newer.own.layer or loaded.target.backends.protocol != newer.target.backends.protocol:
        return f"{loaded.target.name} and {newer.target.name} do not speak the same protocol to their backends"
    if loaded.own.affinity == "none":
        return f"{loaded.target.name} is not sticky: it has no keys that could be replayed"
    return ""


def expectation(loaded: LoadedTarget) -> RequirementRef:
    """What may be expected of an upgrade that no documentation mentions.

    Where both say that any node of the same configuration and keys keeps a pin, one of another version should. That is
    concluded and not cited, so it fails a strict run alone; where they do not, it is only shown.
    """
    newer = loaded.newer
    kept = newer is not None and _any_node_keeps(loaded.contract) and _any_node_keeps(newer.contract)
    return RequirementRef(
        "UPGRADE",
        "should" if kept else "observe",
        "Keys handed out before an upgrade mean the same after it, with the same backends and key material.",
        (),
        "inferred",
    )


def _any_node_keeps(contract: Contract) -> bool:
    return must(contract.reaction.second_node, "keep")
