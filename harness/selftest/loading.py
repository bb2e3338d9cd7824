"""A fault's file as a module: faults are data found by path, never imported by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def module_at(path: Path) -> ModuleType:
    """Runs the file.

    Raises:
        ImportError: it is no Python file. Besides, whatever running it raises.
    """
    spec = importlib.util.spec_from_file_location(f"limpet_fault_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
