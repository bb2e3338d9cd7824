"""A behaviour: one checkable property, implemented by one test function in the suites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from limpet.harness.model.contract import Contract

if TYPE_CHECKING:
    from limpet.harness.engine.scenario import Scenario
    from limpet.harness.targets.load import LoadedTarget

Touches = Literal["nothing", "backends", "membership", "settings", "clock"]
Need = Literal[
    "backend-history", "kill", "hang", "faults", "health", "sessions", "add", "remove", "drain", "weight", "reorder",
    "replace", "reload", "change", "restart", "affinity", "rotate-keys", "launch", "client-clock",
    "upgrade", "forging", "time-namespace",
]  # fmt: skip
Test = Callable[["Scenario"], None]
Variants = Sequence[str] | Callable[[Contract], Sequence[str]]
Unless = Callable[[Contract], str]
Foretells = Callable[["LoadedTarget", str, float], str]
Weights = Sequence[int] | Mapping[str, Sequence[int]]

ATTRIBUTE = "__limpet_behaviour__"
EQUAL = (1, 1, 1)

ERROR_RATE = 1e-6
"""The largest probability with which a behaviour may accuse a right balancer."""
CONFIDENCE = 0.95
"""The probability with which a fault of the share that a behaviour ``sees`` is found."""


@dataclass(frozen=True)
class Special:
    """What one variant needs and touches besides its behaviour's other variants; see `Behaviour`."""

    needs: tuple[Need, ...] = ()
    touches: Touches = "nothing"
    waits: bool = False


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
        weights: the weights of the deployment's backends, in order; or such a list for each variant that has its own.
        error_rate: the probability of a false accusation by one run of one variant; 0.0 where no luck is involved.
        budget: how many requests one run of one variant sends at the most; who is placed elsewhere while a user of a
            certain backend is looked for is not counted.
        sees: the smallest share of faulty answers that its samples show with a probability of `CONFIDENCE`; None where
            no such share can be said: it looks at a single fact, or judges nothing.
        certainty: what these three do not say, in words.
        unless: why a contract that states all the fields promises nothing here ("" when it does).
        special: variants that need or touch more than the others.
        wired: whether fault proxies are to stand between balancer and backends, where that can be.
        lengthy: takes so long that it runs only where a target or a behaviour is named.
        foretells: from the target, the seed of its plan and how long a soak lasts, the faults that it will inflict, for
            people. On a balancer that limpet did not start it runs only after somebody said yes to them.
        charted: what it does is worth a picture in the report, whatever comes of it.
        only_cited: no field of a contract states it: where no sentence of a documentation names it, it is observed.
    """

    id: str
    test: Test
    error_rate: float
    budget: int
    sees: float | None = None
    fields: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    touches: Touches = "nothing"
    alone: bool = False
    layers: tuple[int, ...] = (4, 7)
    keyed: bool | None = True
    affinities: tuple[str, ...] = ()
    variants: Variants = ()
    waits: bool = False
    weights: Weights = EQUAL
    certainty: str = ""
    unless: Unless | None = None
    special: Mapping[str, Special] = field(default_factory=dict)
    wired: bool = False
    lengthy: bool = False
    charted: bool = False
    foretells: Foretells | None = None
    only_cited: bool = False

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

    def for_variant(self, variant: str) -> Behaviour:
        """The behaviour as this variant of it needs it."""
        special = self.special.get(variant)
        if special is None:
            return self
        return replace(
            self,
            needs=(*self.needs, *special.needs),
            touches=special.touches if special.touches != "nothing" else self.touches,
            waits=self.waits or special.waits,
        )

    def weights_for(self, variant: str) -> tuple[int, ...]:
        """The weights of the backends for this variant."""
        own = self.weights.get(variant, EQUAL) if isinstance(self.weights, Mapping) else self.weights
        return tuple(own)

    def unpromised(self, contract: Contract) -> str:
        """Why this contract promises nothing that the behaviour could check ("" when it does)."""
        if contract.layer not in self.layers:
            return f"is about layer {self.layers[0]}; this profile works on layer {contract.layer}"
        if self.keyed is not None and self.keyed != (contract.affinity != "none"):
            return "needs an affinity key" if self.keyed else "is about deployments without stickiness"
        if self.affinities and contract.affinity not in self.affinities:
            return f"is about {' and '.join(self.affinities)}; this profile goes by {contract.affinity}"
        stated = {name: contract.stated(name) for name in self.fields}
        missing = [name for name, what in stated.items() if what is None or what.allowed == ((),)]
        if missing:
            return f"the documentation does not state {', '.join(missing)}"
        return self.unless(contract) if self.unless else ""


F = TypeVar("F", bound=Test)


def behaviour(
    name: str,
    *,
    error_rate: float,
    budget: int,
    sees: float | None = None,
    fields: Sequence[str] = (),
    needs: Sequence[Need] = (),
    touches: Touches = "nothing",
    alone: bool = False,
    layers: Sequence[int] = (4, 7),
    keyed: bool | None = True,
    affinities: Sequence[str] = (),
    variants: Variants = (),
    waits: bool = False,
    weights: Weights = EQUAL,
    certainty: str = "",
    unless: Unless | None = None,
    special: Mapping[str, Special] | None = None,
    wired: bool = False,
    lengthy: bool = False,
    charted: bool = False,
    foretells: Foretells | None = None,
    only_cited: bool = False,
) -> Callable[[F], F]:
    """Marks a test function as the check of one behaviour; see `Behaviour` for the arguments.

    Raises:
        ValueError: an error rate above `ERROR_RATE`, a budget below 0 or a share outside (0, 1].
    """
    if not 0 <= error_rate <= ERROR_RATE:
        raise ValueError(f"{name}: an error_rate of {error_rate:g} is not between 0 and {ERROR_RATE:g}")
    if budget < 0:
        raise ValueError(f"{name}: a budget of {budget} requests is none")
    if sees is not None and not 0 < sees <= 1:
        raise ValueError(f"{name}: sees={sees:g} is no share of the answers")

    def mark(test: F) -> F:
        spec = Behaviour(
            id=name,
            test=test,
            error_rate=error_rate,
            budget=budget,
            sees=sees,
            fields=tuple(fields),
            needs=tuple(needs),
            touches=touches,
            alone=alone,
            layers=tuple(layers),
            keyed=keyed,
            affinities=tuple(affinities),
            variants=variants,
            waits=waits,
            weights=weights,
            certainty=certainty,
            unless=unless,
            special=special or {},
            wired=wired,
            lengthy=lengthy,
            charted=charted,
            foretells=foretells,
            only_cited=only_cited,
        )
        setattr(test, ATTRIBUTE, spec)
        return test

    return mark
