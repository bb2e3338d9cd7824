"""The reference balancer with a fault in it, as a program. The keeper forks it in the right one's place.

This is the only module of the harness that knows the reference balancer, and no other code of the harness runs in the
process that it makes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from limpet.harness.selftest.loading import module_at
from limpet.reference_lb.main import EXIT_CONFIG, run
from limpet.reference_lb.parts.protocols import Parts
from limpet.reference_lb.settings.config import Config
from limpet.reference_lb.settings.load import check, load
from limpet.reference_lb.settings.problems import ConfigError

ENTRY = f"{__name__}:main"


def main(args: Sequence[str]) -> int:
    """Serves until a signal.

    Args:
        args: the fault's file, the file that becomes the evidence of its activation, and the balancer's own arguments.

    Returns:
        The balancer's exit code.
    """
    fault, evidence, *own = args
    parser = argparse.ArgumentParser(prog="limpet lb (faulty)")
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(own)
    module = module_at(Path(fault))
    activated = activation(Path(evidence))
    try:
        config = _config(module, options.config, activated)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG

    def arrange(parts: Parts) -> Parts:
        wrong: Parts = module.fault(parts, activated) if hasattr(module, "fault") else parts
        return wrong

    return run(config, arrange)


def _config(module: ModuleType, path: Path, activated: Callable[[], None]) -> Config:
    """The configuration as a faulty balancer understands it."""
    if not hasattr(module, "settings"):
        return load(path)
    table = tomllib.loads(path.read_text("utf-8"))
    return check(module.settings(table, activated), path)


def activation(evidence: Path) -> Callable[[], None]:
    """What a fault calls when it really does something wrong: leaves a line in a file, once for each process.

    The line is there before the wrong answer is, so that a kill loses no evidence.
    """
    told = False

    def activated() -> None:
        nonlocal told
        if told:
            return
        told = True
        file = os.open(evidence, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(file, f"process {os.getpid()} at {time.monotonic():.3f}\n".encode())
        finally:
            os.close(file)

    return activated
