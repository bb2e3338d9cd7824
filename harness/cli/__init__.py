"""The command-line face."""

from limpet.harness.cli.main import main

__all__ = ["main"]
