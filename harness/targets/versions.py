"""Which version of a balancer this is, asked without starting it."""

from __future__ import annotations

import sys

import limpet
from limpet.harness.model.errors import LimpetFault
from limpet.harness.targets import launching
from limpet.harness.targets.binaries import locate
from limpet.harness.targets.load import LoadedTarget


def version_of(loaded: LoadedTarget) -> str:
    """What a target's balancer says it is, asked without starting it; "" when nobody knows or it is not installed."""
    target = loaded.target
    values = {
        "python": sys.executable,
        "target": str(loaded.directory),
        "limpet.version": limpet.__version__,
        **{f"options.{name}": str(value) for name, value in target.options.items()},
    }
    try:
        if target.launch is not None and target.launch.binary is not None:
            values[target.launch.binary.name] = locate(target.launch.binary, where=target.name)
        return launching.version(target, values, cwd=loaded.directory, name=target.name)
    except LimpetFault:
        return ""
