"""A behaviour: one checkable property, implemented by one test function in the suites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from limpet.harness.model.contract import Contract

if TYPE_CHECKING:
    from limpet.harness.engine.scenario import Scenario

Touches = Literal["nothing", "backends", "membership", "settings", "clock"]
Need = Literal[
    "backend-history", "kill", "hang", "faults", "health", "sessions", "add", "remove", "drain", "weight", "reorder",
    "replace", "reload", "restart", "affinity", "rotate-keys", "launch", "client-clock",
]  # fmt: skip
Test = Callable[["Scenario"], None]
Variants = Sequence[str] | Callable[[Contract], Sequence[str]]

ATTRIBUTE = "__limpet_behaviour__"


@dataclass(frozen=True)
class Behaviour:
    """What is known about a behaviour before it runs.

    Attributes:
        id: ``theme.name``, as in reports and requirements.
        test: the scenario.
        fields: contract fields that must be stated, or the behaviour is *not promised*.
        needs: what the target must offer, or the behaviour is *not checkable*.
        touches: what it disturbs; whatever is not ``nothing`` gets a deployment of its own.
        alone: a deployment of its own although it disturbs nothing (statistics that other traffic would alias).
        layers: the layers it makes sense on.
        keyed: whether it needs an affinity key (False: only without one; None: either).
        affinities: the modes it is about; empty for all.
        waits: whether it waits for the affinity clock; such scenarios start first.
        weights: the weights of the deployment's backends, in order.
        certainty: error rate and smallest visible fault, in words.
    """

    id: str
    test: Test
    fields: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    touches: Touches = "nothing"
    alone: bool = False
    layers: tuple[int, ...] = (4, 7)
    keyed: bool | None = True
    affinities: tuple[str, ...] = ()
    variants: Variants = ()
    waits: bool = False
    weights: tuple[int, ...] = (1, 1, 1)
    certainty: str = ""

    @property
    def doc(self) -> str:
        """What the test says that it checks."""
        return " ".join((self.test.__doc__ or "").split())

    @property
    def own_deployment(self) -> bool:
        """Whether the scenario may not share its deployment."""
        return self.touches != "nothing" or self.alone

    def variants_for(self, contract: Contract) -> tuple[str, ...]:
        """The variants under this contract; ``("",)`` where there are none."""
        found = self.variants(contract) if callable(self.variants) else self.variants
        return tuple(found) or ("",)

    def unpromised(self, contract: Contract) -> str:
        """Why this contract promises nothing that the behaviour could check ("" when it does)."""
        if contract.layer not in self.layers:
            return f"is about layer {self.layers[0]}; this profile works on layer {contract.layer}"
        if self.keyed is not None and self.keyed != (contract.affinity != "none"):
            return "needs an affinity key" if self.keyed else "is about deployments without stickiness"
        if self.affinities and contract.affinity not in self.affinities:
            return f"is about {' and '.join(self.affinities)}; this profile goes by {contract.affinity}"
        missing = [field for field in self.fields if contract.stated(field) is None]
        return f"the documentation does not state {', '.join(missing)}" if missing else ""


F = TypeVar("F", bound=Test)


def behaviour(
    name: str,
    *,
    fields: Sequence[str] = (),
    needs: Sequence[Need] = (),
    touches: Touches = "nothing",
    alone: bool = False,
    layers: Sequence[int] = (4, 7),
    keyed: bool | None = True,
    affinities: Sequence[str] = (),
    variants: Variants = (),
    waits: bool = False,
    weights: Sequence[int] = (1, 1, 1),
    certainty: str = "",
) -> Callable[[F], F]:
    """Marks a test function as the check of one behaviour; see `Behaviour` for the arguments."""

    def mark(test: F) -> F:
        spec = Behaviour(
            id=name,
            test=test,
            fields=tuple(fields),
            needs=tuple(needs),
            touches=touches,
            alone=alone,
            layers=tuple(layers),
            keyed=keyed,
            affinities=tuple(affinities),
            variants=variants,
            waits=waits,
            weights=tuple(weights),
            certainty=certainty,
        )
        setattr(test, ATTRIBUTE, spec)
        return test

    return mark
