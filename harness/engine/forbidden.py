"""Copies of a target that are set up for what its contract says is refused."""

from __future__ import annotations

from dataclasses import replace

from limpet.harness.engine.outcome import NotCheckable
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.contract import Contract, Stated
from limpet.harness.model.contract.profile import Application, Forbidden
from limpet.harness.targets.load import LoadedTarget


def with_forbidden(scenario: Scenario, forbidden: Forbidden) -> LoadedTarget:
    """The target set up with this change.

    Raises:
        NotCheckable: the change does not reach the balancer's configuration.
    """
    loaded = scenario.system.loaded
    own = changed(loaded.own, forbidden)
    if scenario.system.target.configuration(own) == scenario.system.target.configuration(loaded.own):
        raise NotCheckable(f"the configuration of {loaded.target.name} is the same with and without it")
    return replace(loaded, contract=changed(loaded.contract, forbidden), own=own)


def changed(contract: Contract, forbidden: Forbidden) -> Contract:
    """The contract with the change; it is not validated, since being wrong is the point."""
    update: dict[str, object] = {}
    if forbidden.affinity is not None:
        update["affinity"] = forbidden.affinity
    if forbidden.protocol is not None:
        update["protocol"] = forbidden.protocol
    if forbidden.algorithm is not None:
        update["algorithm"] = Stated[str](allowed=(forbidden.algorithm,))
    if forbidden.application is not None:
        application = contract.application or Application()
        update["application"] = application.model_copy(update={"name": forbidden.application or None})
    return contract.model_copy(update=update)
