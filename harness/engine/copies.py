"""Further copies of a scenario's target: set up for another duration, or simply somebody else's deployment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.outcome import Inconclusive, NotCheckable
from limpet.harness.engine.recorder import HistoryRecorder
from limpet.harness.engine.scenario import Scenario
from limpet.harness.model.contract import Contract
from limpet.harness.model.errors import EndedFault, SetupFault
from limpet.harness.model.verdict import Step
from limpet.harness.targets.load import LoadedTarget


@dataclass(frozen=True)
class Start:
    """What became of a start: whether the balancer ended by itself with an error, and its last words."""

    refused: bool
    exit_code: int | None
    words: str


def with_duration(loaded: LoadedTarget, seconds: float | None) -> LoadedTarget:
    """The target set up for this duration, None for none; also one that its contract forbids."""
    return replace(loaded, contract=_lasting(loaded.contract, seconds), own=_lasting(loaded.own, seconds))


def _lasting(contract: Contract, seconds: float | None) -> Contract:
    # model_copy does not validate: a duration outside of the bounds is the point.
    return contract.model_copy(update={"duration": contract.duration.model_copy(update={"value": seconds})})


def with_application(scenario: Scenario, name: str) -> LoadedTarget:
    """The target set up for an application cookie of this name; also one that its contract forbids.

    Raises:
        NotCheckable: the name does not reach the balancer's configuration.
    """
    loaded = scenario.system.loaded
    own = _called(loaded.own, name)
    if scenario.system.target.configuration(own) == scenario.system.target.configuration(loaded.own):
        raise NotCheckable(f"the configuration of {loaded.target.name} does not have the application cookie's name")
    return replace(loaded, contract=_called(loaded.contract, name), own=own)


def _called(contract: Contract, name: str) -> Contract:
    application = contract.application.model_copy(update={"name": name}) if contract.application else None
    return contract.model_copy(update={"application": application})


def require_copies(scenario: Scenario) -> None:
    """See that a second copy can run beside the first.

    Raises:
        NotCheckable: why not.
    """
    target = scenario.system.loaded.target
    if target.launch is None:
        raise NotCheckable(f"limpet did not start {target.name}")
    if target.endpoint.given:
        raise NotCheckable(f"{target.name} has a fixed endpoint, so that no second copy can run beside it")
    if target.backends.owner == "limpet" and target.backends.member:
        raise NotCheckable(f"the backends of {target.name} have fixed addresses, so that it cannot run twice")


def require_passed_on(scenario: Scenario, seconds: float | None) -> None:
    """See that a duration (None: that there is none) reaches the balancer's configuration.

    Raises:
        NotCheckable: the configuration would be the same with another one.
    """
    loaded = scenario.system.loaded
    own = loaded.own
    wanted = scenario.system.target.configuration(_lasting(own, seconds))
    others = [each for each in (1234.0, own.duration.value, *_defaults(own)) if each is not None and each != seconds]
    for other in others:
        if scenario.system.target.configuration(_lasting(own, other)) == wanted:
            what = "no duration" if seconds is None else f"a duration of {seconds:g} s"
            raise NotCheckable(
                f"the configuration of {loaded.target.name} is the same for {what} and for {other:g} s, "
                "so that the balancer is not told"
            )


def _defaults(contract: Contract) -> tuple[float, ...]:
    default = contract.duration.default
    return default.allowed if default is not None else ()


@contextmanager
def further_copy(scenario: Scenario, loaded: LoadedTarget) -> Iterator[Scenario]:
    """A second deployment of the target with backends of its own, as a scenario; what it finds counts for the first.

    Raises:
        NotCheckable: no second copy can run.
        SetupFault: it did not come up.
    """
    require_copies(scenario)
    deployment = scenario.system.copy(loaded)
    try:
        deployment.start()
        with _beside(scenario, deployment) as child:
            yield child
    finally:
        deployment.stop()


@contextmanager
def ipv6_copy(scenario: Scenario) -> Iterator[Scenario]:
    """A second deployment of the same target whose balancer listens on an IPv6 address, as a scenario.

    Raises:
        NotCheckable: no second copy can run, or none comes up there.
    """
    require_copies(scenario)
    if reason := scenario.system.site.no_ipv6():
        raise NotCheckable(reason)
    deployment = scenario.system.copy(scenario.system.loaded, ipv6=True)
    try:
        try:
            deployment.start()
        except SetupFault as err:
            raise NotCheckable("no copy of it comes up on an IPv6 address") from err
        with _beside(scenario, deployment) as child:
            yield child
    finally:
        deployment.stop()


def child_of(scenario: Scenario, deployment: Deployment, name: str, *, seed: str, cast: str = "") -> Scenario:
    """A scenario within this one, on another deployment, with a history of its own beside this one's.

    Args:
        scenario: whose part it is.
        deployment: a started one.
        name: unique among its children; part of the file's name and of its requests' ids.
        seed: what its luck is drawn from.
        cast: whose personas play, "" for the same as in the run's other scenarios.
    """
    main = scenario._recorder
    recorder = HistoryRecorder(
        main.path.with_name(f"{main.path.stem}-{name}.jsonl"),
        f"{main._prefix}{name}",
        lambda: deployment.offset,
        deployment.pace,
    )
    return Scenario(
        deployment, recorder, scenario._timeline, seed=seed, cast=cast or scenario.cast, variant=scenario.variant
    )


@contextmanager
def _beside(scenario: Scenario, deployment: Deployment) -> Iterator[Scenario]:
    scenario._copies += 1
    name = f"copy{scenario._copies}"  # not the deployment's own, which tells how busy the machine was
    child = child_of(scenario, deployment, name, seed=f"{scenario._seed}/{name}")
    recorder = child.recorder
    try:
        yield child
    finally:
        child.close()
        deployment.deafen()
        _absorb(scenario, child)
        if deployment.loaded.target.backends.owner == "limpet":
            recorder.extend(child.arrived())
        recorder.close()


def _absorb(scenario: Scenario, child: Scenario) -> None:
    """What was found on a copy counts for the scenario that made it."""
    child.note_end(child.system, "copy")
    scenario.endings += child.endings
    verdicts = child.judge()
    scenario.violations += [*child.violations, *verdicts.violations]
    scenario.decided += verdicts.decided
    scenario.decide_together(child.decided, child.visible)
    scenario.controls += child.controls
    scenario.observations += child.observations
    for text in child.certainties:
        scenario.certain(text)
    scenario.waited += child.waited
    scenario._recorder.count_in(child.requests)
    later = child.begin - scenario.begin
    scenario.steps += [Step(step.t + later, step.text) for step in child.steps]


def try_to_start(scenario: Scenario, loaded: LoadedTarget) -> Start:
    """Starts a copy only to see whether the balancer itself refuses its configuration, and stops it again.

    Raises:
        NotCheckable: no second copy can run.
        Inconclusive: it neither ended nor became ready.
        SetupFault: something else went wrong.
    """
    require_copies(scenario)
    deployment = scenario.system.copy(loaded)
    try:
        deployment.start()
        return Start(False, None, deployment.target.last_lines())
    except SetupFault as err:
        code = deployment.target.exit_code()
        if code is None:
            raise  # it was never launched
        if not isinstance(err, EndedFault) or code <= 0:
            # Ended by limpet, which lost its patience, or by a signal: the balancer refused nothing.
            raise Inconclusive(err.reason) from err
        return Start(True, code, deployment.target.last_lines())
    finally:
        deployment.stop()
