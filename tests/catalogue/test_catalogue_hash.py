"""A table about a hash goes with keys that somebody else makes up, and with no others."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from limpet.harness.model.contract import Contract

HEADER = {"affinity": "header", "header": {"name": "X-Session", "minted": False}}
URL = {"affinity": "url", "url": {"query": "sid", "minted": False}}
COOKIE = {"affinity": "lb-cookie", "cookie": {"name": "LB"}}
MINTED = {"affinity": "header", "header": {"name": "X-Session", "minted": True}}


def contract(keys: dict[str, object]) -> Contract:
    return Contract.model_validate({"title": "a hash", "layer": 7, "hash": {"kind": "consistent"}, **keys})


@pytest.mark.parametrize("keys", [HEADER, URL, {"affinity": "source-ip"}], ids=lambda keys: str(keys["affinity"]))
def test_it_may_say_how_keys_are_dealt(keys: dict[str, object]) -> None:
    placed = contract(keys).hash
    assert placed is not None and placed.kind is not None and placed.kind.sole == "consistent"


@pytest.mark.parametrize("keys", [MINTED, COOKIE], ids=["minted", "cookie"])
def test_what_somebody_must_remember_is_no_hash(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a hash remembers nothing"):
        contract(keys)
