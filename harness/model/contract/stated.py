"""What a documentation says about one field: the values it allows, and how firmly it says so.

In a catalogue a field is a plain value (``"repin"``: documented), a list (documented: any of these), or a table::

    clock = { allowed = ["idle", "absolute"], status = "conflict", sources = ["https://…"], note = "…" }

Only what is documented can fail a run. Of a *conflict* each reading is allowed, and only what no reading allows is
wrong; what is *inferred* allows everything and is merely shown.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

T = TypeVar("T")

Status = Literal["documented", "inferred", "conflict"]


class Stated(BaseModel, Generic[T]):
    """The allowed values of one contract field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allowed: tuple[T, ...]
    status: Status = "documented"
    sources: tuple[str, ...] = ()
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: object) -> object:
        if isinstance(given, list | tuple):
            return {"allowed": tuple(given)}
        if isinstance(given, dict) and "value" in given:
            rest = {key: value for key, value in given.items() if key != "value"}
            return {"allowed": (given["value"],), **rest}
        if isinstance(given, dict) and ({"allowed", "status"} & given.keys()):
            return given
        if isinstance(given, Stated):
            return given
        return {"allowed": (given,)}

    @model_validator(mode="after")
    def _not_empty(self) -> Stated[T]:
        if not self.allowed:
            raise ValueError("allows nothing: name at least one value")
        if self.status == "conflict" and len(self.allowed) < 2:
            raise ValueError("a conflict needs the readings that are in conflict: name at least two allowed values")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Editors offer the short forms too."""
        full = handler.resolve_ref_schema(handler(core))
        item = full.get("properties", {}).get("allowed", {}).get("items", {})
        return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}, dict(full)]}

    @property
    def binding(self) -> bool:
        """Whether a balancer can be wrong about it: documented, or a conflict outside all of its readings."""
        return self.status != "inferred"

    @property
    def sole(self) -> T | None:
        """The one value that is promised; None where there are several or it is merely inferred."""
        return self.allowed[0] if len(self.allowed) == 1 and self.status == "documented" else None

    def may(self, value: T) -> bool:
        """Whether a balancer that does this breaks nothing."""
        return not self.binding or value in self.allowed

    def must(self, value: T) -> bool:
        """Whether nothing but this value is allowed."""
        return self.binding and self.allowed.count(value) == len(self.allowed)

    def __str__(self) -> str:
        """For reports: ``idle or absolute (conflict)``."""
        words = " or ".join(str(value) for value in self.allowed)
        return words if self.status == "documented" else f"{words} ({self.status})"


def may(stated: Stated[T] | None, value: T) -> bool:
    """Like `Stated.may`; what is not stated at all allows everything."""
    return stated is None or stated.may(value)


def must(stated: Stated[T] | None, value: T) -> bool:
    """Like `Stated.must`; what is not stated at all demands nothing."""
    return stated is not None and stated.must(value)
