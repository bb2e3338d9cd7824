"""All bundled catalogue files, read and checked."""

from __future__ import annotations

import tomllib
from pathlib import Path

from limpet.harness.engine.collecting import CATALOGUE, behaviours
from limpet.harness.engine.plan import known_names
from limpet.harness.model.contract import Catalogue
from limpet.harness.model.contract.validation import parse
from limpet.harness.targets.load import check_behaviours


def catalogues() -> dict[str, Catalogue]:
    """Every product's catalogue, by the product's name; what their requirements name is seen to exist.

    Raises:
        UsageFault: a file is wrong, with every problem of it.
    """
    read: dict[Path, Catalogue] = {}
    for file in sorted(CATALOGUE.glob("*.toml")):
        read[file] = parse(Catalogue, tomllib.loads(file.read_text("utf-8")), where=str(file))
    check_behaviours(read.items(), known_names(behaviours()))
    return {each.product.name: each for each in read.values()}
