"""Where there is more than one group of servers: what a pin leads to, and where it ends."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from limpet.harness.model.contract.stated import Stated


class Group(BaseModel):
    """A pin leads to a group of servers, of which "backend" is the name wherever such a contract is judged.

    ``inside``: which of the group's servers a request gets: any of them, chosen anew each time (``balanced``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inside: Stated[Literal["balanced"]] | None = None


class Scope(BaseModel):
    """Beyond what a pin means nothing.

    ``ends``: with its group of servers. ``path``: of a deployment, below which requests go to another group (of the
    same servers).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ends: Stated[Literal["group"]] | None = None
    path: str | None = Field(default=None, pattern=r"^/[^?#]*/$")

    def of(self, path: str) -> str:
        """What tells the keys of a request for this path from those of another group; "" for a deployment's first."""
        return "" if self.path is None or not path.startswith(self.path) else f"{self.path} "
