"""A hash of the client's address that says where it goes, with nothing remembered between its requests."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from limpet.harness.model.contract.stated import Stated


class SourceHash(BaseModel):
    """How the keys are dealt out to the backends that are open.

    ``modulo``: whenever another set of backends is open, any key may belong elsewhere. ``consistent``: a backend that
    closes or leaves hands on its own keys alone, and one that opens or joins takes keys only for itself. ``uneven``: a
    backend's true share may be so many times what its weight says, by the luck of its virtual nodes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Stated[Literal["modulo", "consistent"]] | None = None
    uneven: float = Field(default=2.0, ge=1.0, le=10.0)
