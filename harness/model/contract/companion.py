"""A cookie of the balancer's that comes in several pieces, or beside the application's."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from limpet.harness.model.contract.stated import Stated


class Shards(BaseModel):
    """A long value travels as several cookies: ``prefix`` and a number from 0 name them.

    ``size``: bytes of one at the most; ``count``: how many there are at the most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(min_length=1)
    size: int = Field(ge=1)
    count: int = Field(ge=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that there may be, in order."""
        return tuple(f"{self.prefix}{number}" for number in range(self.count))


class Companion(BaseModel):
    """What ties the balancer's cookie to the application's, where it goes by both.

    ``issued``: it comes with the application's cookie alone, or is renewed by every response of a session that has
    both. ``both_needed``: neither of the two keeps a pin alone. ``any_value``: of the application's cookie only its
    name counts. ``mirrors``: what it takes from the application's cookie (the lifetime: Expires and Max-Age).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issued: Stated[Literal["with-application", "every-response"]] | None = None
    both_needed: Stated[bool] | None = None
    any_value: Stated[bool] | None = None
    mirrors: tuple[Literal["lifetime", "secure", "http_only"], ...] = ()
