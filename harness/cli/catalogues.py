"""All bundled catalogue files, read and checked."""

from __future__ import annotations

import tomllib

from limpet.harness.engine.collecting import CATALOGUE
from limpet.harness.model.contract import Catalogue
from limpet.harness.model.contract.validation import parse


def catalogues() -> dict[str, Catalogue]:
    """Every product's catalogue, by the product's name.

    Raises:
        UsageFault: a file is wrong, with every problem of it.
    """
    found: dict[str, Catalogue] = {}
    for file in sorted(CATALOGUE.glob("*.toml")):
        each = parse(Catalogue, tomllib.loads(file.read_text("utf-8")), where=str(file))
        found[each.product.name] = each
    return found
