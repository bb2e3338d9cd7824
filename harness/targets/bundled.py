"""Which of the bundled targets this machine can start, and which of them run when nobody names any."""

from __future__ import annotations

import shutil

from limpet.harness.model.errors import SetupFault
from limpet.harness.targets.binaries import locate
from limpet.harness.targets.load import LoadedTarget, load, names


def missing(loaded: LoadedTarget) -> str:
    """What keeps a target from being started here: ``after: LINE THAT INSTALLS IT`` or ``no, REASON``; else ""."""
    launch = loaded.target.launch
    if launch is None or launch.python:
        return ""
    if launch.binary is None:
        return "" if shutil.which(launch.command[0]) else f"no, {launch.command[0]} is not on PATH"
    try:
        locate(launch.binary)
    except SetupFault as fault:
        return f"after: {launch.binary.install}" if launch.binary.install else f"no, {fault.what}"
    return ""


def startable(*, shown_only: bool = False) -> list[str]:
    """The bundled targets that this machine can start, sorted.

    Args:
        shown_only: only those that stand for their affinity mode (``shown`` in target.toml), so that a run of them all
            is short.

    Raises:
        UsageFault: one of them does not load.
    """
    found = [load(name) for name in names()]
    return [each.directory.name for each in found if (each.target.shown or not shown_only) and not missing(each)]
