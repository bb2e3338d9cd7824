"""A catalogue file: the profiles of one product and the documented requirements they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from limpet.harness.model.contract.profile import Contract
from limpet.harness.model.contract.validation import nearest

Known = Mapping[str, Sequence[str] | None]
"""The behaviours that there are, each with its variants; None where it depends on the contract which it has."""

Level = Literal["must", "should", "observe"]


class Requirement(BaseModel):
    """One documented statement.

    ``behaviours`` are the ids of the checks that decide it; where no client can see it, ``invisible`` says why.
    ``profiles`` are names within the same file. ``sources`` are addresses or repository paths of the documentation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Z0-9]+(-[A-Z0-9]+)+$")
    level: Level
    profiles: tuple[str, ...] = Field(min_length=1)
    text: str = Field(min_length=10)
    sources: tuple[str, ...] = Field(min_length=1)
    status: Literal["documented", "inferred", "conflict", "observed"] = "documented"
    behaviours: tuple[str, ...] = ()
    invisible: str = ""

    @model_validator(mode="after")
    def _decidable(self) -> Requirement:
        if bool(self.behaviours) == bool(self.invisible):
            raise ValueError(f"{self.id}: name its behaviours, or say in `invisible` why no client can see it")
        if self.status in ("inferred", "observed") and self.level != "observe":
            raise ValueError(f'{self.id}: what is {self.status} is not promised; its level can only be "observe"')
        return self


class Product(BaseModel):
    """Whose balancer this is, and which documentation was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    documentation: str
    version: str = ""
    read: str = ""


class Catalogue(BaseModel):
    """One ``suites/catalogue/<product>.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: Product
    profile: dict[str, Contract]
    requirement: tuple[Requirement, ...] = ()

    @model_validator(mode="after")
    def _known_profiles(self) -> Catalogue:
        seen: set[str] = set()
        for requirement in self.requirement:
            if requirement.id in seen:
                raise ValueError(f"requirement id {requirement.id} is used twice")
            seen.add(requirement.id)
            for name in requirement.profiles:
                if name not in self.profile:
                    raise ValueError(f'{requirement.id}: no profile "{name}"; {nearest(name, self.profile)}')
        return self

    def requirements(self, profile: str, behaviour: str) -> list[Requirement]:
        """The requirements of a profile that a behaviour decides, in file order."""
        return [
            each
            for each in self.requirement
            if profile in each.profiles and any(_names(pattern, behaviour) for pattern in each.behaviours)
        ]

    def unknown_behaviours(self, known: Known) -> list[str]:
        """One line for each name in a requirement that is no behaviour, or no variant of one: key and nearest name."""
        problems: list[str] = []
        for number, requirement in enumerate(self.requirement):
            for position, name in enumerate(requirement.behaviours):
                if problem := _unknown(name, known):
                    key = f"requirement[{number}].behaviours[{position}]"
                    problems.append(f"{key} ({requirement.id}): {problem}")
        return problems


def _unknown(name: str, known: Known) -> str:
    behaviour, bracket, variant = name.partition("[")
    if behaviour not in known:
        close = nearest(behaviour, known)
        return f'no behaviour "{behaviour}"; {close if close.endswith("?") else "`limpet behaviours` lists them"}'
    variants = known[behaviour]
    if not bracket or variants is None or name in {f"{behaviour}[{each}]" for each in variants}:
        return ""
    if not variants:
        return f'{behaviour} has no variants, and so no "{variant.rstrip("]")}"'
    return f'{behaviour} has no variant "{variant.rstrip("]")}"; {nearest(variant.rstrip("]"), variants)}'


def _names(named: str, behaviour: str) -> bool:
    """A requirement names a whole behaviour (``failover.modes``) or one variant of it (``failover.modes[hang]``)."""
    return named == behaviour or behaviour.partition("[")[0] == named
