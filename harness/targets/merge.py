"""A deployment's contract: the profile's promise, narrowed by what the target chose.

``[contract]`` of a target takes the keys of a catalogue profile, and three short forms: ``duration = "3s"`` is
``duration.value``, ``cookie_name`` is ``cookie.name``, ``application_name`` is ``application.name``.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from limpet.harness.model.contract import Contract, Stated
from limpet.harness.model.contract.validation import parse, problems
from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.model import Table

_TABLES = {
    "cookie", "cookie.attributes", "application", "duration", "reaction", "key_prefix", "client_address", "scope",
}  # fmt: skip
"""What is merged key by key; everything else is one value."""
_SHORT = {"cookie_name": ("cookie", "name"), "application_name": ("application", "name")}
_FIXED = ("affinity", "layer", "protocol")


def narrow(raw: Table, chosen: Table, *, profile: str, where: str) -> Contract:
    """The profile's raw table with a target's choices, as a contract.

    Raises:
        UsageFault: a choice is no contract field, or lies outside of what the profile allows.
    """
    base = parse(Contract, raw, where=f"profile {profile}")
    if not chosen:
        return base
    place = f"{where} [contract]"
    own = parse(Contract, merged(raw, _long_form(chosen)), where=place)
    wrong = list(_outside(base, own, profile))
    if wrong:
        raise UsageFault("\n  ".join(["chosen outside of what the profile allows", *wrong]), where=place)
    return own


def strange(raw: Table, chosen: Table) -> list[str]:
    """What is wrong with a target's choices alone, whatever is wrong with the profile."""
    known = problems(Contract, raw)
    return [each for each in problems(Contract, merged(raw, _long_form(chosen))) if each not in known]


def merged(base: Table, over: Table, prefix: str = "") -> Table:
    """``base`` with ``over`` laid on it."""
    result = dict(base)
    for key, value in over.items():
        path = f"{prefix}{key}"
        below = base.get(key)
        if path in _TABLES and isinstance(below, dict) and isinstance(value, dict):
            result[key] = merged(below, value, f"{path}.")
        else:
            result[key] = value
    return result


def _long_form(chosen: Table) -> Table:
    result: Table = {}
    for key, value in chosen.items():
        if key == "duration" and not isinstance(value, dict):
            result = merged(result, {"duration": {"value": value}})
        elif key in _SHORT:
            table, name = _SHORT[key]
            result = merged(result, {table: {name: value}})
        else:
            result = merged(result, {key: value})
    return result


def _outside(base: Contract, own: Contract, profile: str) -> Iterator[str]:
    for key in _FIXED:
        promised, chosen = getattr(base, key), getattr(own, key)
        if promised != chosen:
            yield f'{key}: the profile {profile} is "{promised}"; "{chosen}" is another profile'
    theirs = dict(_stated(own, ""))
    for path, stated in _stated(base, ""):
        if not stated.binding or path not in theirs:
            continue
        beyond = [value for value in theirs[path].allowed if value not in stated.allowed]
        if beyond:
            allowed = ", ".join(str(value) for value in stated.allowed)
            yield f"{path}: {', '.join(map(repr, beyond))} is not what {profile} promises; allowed: {allowed}"


def _stated(part: BaseModel, prefix: str) -> Iterator[tuple[str, Stated[object]]]:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Stated):
            yield f"{prefix}{name}", value
        elif isinstance(value, BaseModel):
            yield from _stated(value, f"{prefix}{name}.")
