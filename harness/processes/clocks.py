"""Processes that see another time since the start of the machine, as those of another machine would (time namespaces).

CLOCK_MONOTONIC and CLOCK_BOOTTIME can be shifted, the time of day cannot: see time_namespaces(7).
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import lru_cache

PROGRAM = "unshare"
_PATIENCE = 10.0
ENTRY = (
    "import importlib, sys; module, name = sys.argv[1].split(':'); "
    "sys.exit(getattr(importlib.import_module(module), name)(sys.argv[2:]))"
)
"""What python -c runs in place of a fork: the namespace is entered by executing something."""


def shifted(argv: Sequence[str], seconds: float) -> list[str]:
    """The command for a process whose machine seems to run for so many seconds longer."""
    ahead = f"{seconds:.0f}"
    return [PROGRAM, "--time", "--monotonic", ahead, "--boottime", ahead, "--", *argv]


@lru_cache(maxsize=1)
def no_time_namespace() -> str:
    """Why no process can be started with shifted clocks here; "" where it can. Tried once."""
    look = ["cat", "/proc/self/timens_offsets"]
    try:
        tried = subprocess.run(shifted(look, 1000), capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as err:
        return f"this machine gives no time namespace: {err}"
    if tried.returncode or " 1000 " not in tried.stdout:
        said = (tried.stderr.strip() or "the offsets have no effect").splitlines()[-1]
        return f"this machine gives no time namespace: {said}"
    return ""
