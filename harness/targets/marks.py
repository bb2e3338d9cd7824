"""What in a draft still waits for its owner's answer: nobody is to be accused by what `limpet init` made up."""

from __future__ import annotations

from pathlib import Path

from limpet.harness.model.errors import UsageFault

MARK = "FILL IN"


def marked(file: Path) -> list[tuple[str, str]]:
    """Place (``FILE:LINE``) and text of every line with the mark; comments that only explain it are none."""
    return [
        (f"{file}:{number}", line.partition("#")[0].strip())
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if MARK in line.partition("#")[2] and not line.lstrip().startswith("#")
    ]


def check_answered(file: Path) -> None:
    """Sees that the owner of a target has looked at each line that a draft left to them.

    Raises:
        UsageFault: with every line that still has the mark.
    """
    left = marked(file)
    if left:
        count = "1 line waits" if len(left) == 1 else f"{len(left)} lines wait"
        lines = [f"{place}: {text}" for place, text in left]
        raise UsageFault(
            "\n  ".join([f"{count} for your answer", *lines]), where=str(file),
            do=f"Correct what is wrong for your balancer, and take {MARK} off each line that is right.",
        )  # fmt: skip
