"""The memory of a balancer that remembers its pins, as far as its size shows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from limpet.harness.model.contract.stated import Stated


class Table(BaseModel):
    """How many pins there is room for, and which one goes for a further one.

    ``size`` is what the deployment chose. ``full``: the pin that was used longest ago goes, or any may.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=1)
    full: Stated[Literal["longest-unused", "any"]] | None = None
