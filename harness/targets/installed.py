"""What a target needs on this machine to be started: its program, where that is, and the line that installs it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from limpet.harness.model.errors import SetupFault
from limpet.harness.targets.binaries import locate
from limpet.harness.targets.load import LoadedTarget

BUNDLED = "limpet"
"""The program of targets that limpet starts from its own code."""


@dataclass(frozen=True)
class Program:
    """The program of a target.

    Attributes:
        name: as it is called; `BUNDLED` for limpet's own.
        path: where it is; "" where it is missing, or there is nothing to be found.
        reason: why it cannot be started here; "" where it can.
        install: the line that installs it, "" where the target gives none.
    """

    name: str
    path: str = ""
    reason: str = ""
    install: str = ""


def program(loaded: LoadedTarget) -> Program:
    """The program that a target starts, and whether it is here. One that runs already needs none."""
    launch = loaded.target.launch
    if launch is None:
        return Program("")
    if launch.python:
        return Program(BUNDLED)
    if launch.binary is None:
        name = launch.command[0]
        if name.startswith("{python}"):
            return Program(BUNDLED)
        path = shutil.which(name)
        return Program(name, path) if path else Program(name, reason=f"{name} not found in PATH")
    binary = launch.binary
    try:
        return Program(binary.name, locate(binary), install=binary.install)
    except SetupFault as fault:
        return Program(binary.name, reason=fault.what, install=binary.install)
