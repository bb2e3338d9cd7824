"""A server's name in the application's own cookie."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from limpet.harness.model.contract.stated import Stated


class Mark(BaseModel):
    """How the application's cookie says which backend it belongs to.

    ``prefix``: the balancer puts a name and the ``separator`` before the value for clients and takes them off for
    backends. ``rewrite``: the balancer puts a name in the place of the value. ``route``: the backend itself appends the
    separator and its own name, and the balancer changes nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Stated[Literal["prefix", "rewrite", "route"]]
    separator: str = Field(default="~", min_length=1, max_length=1)
