"""Every product with a sticky target has one that is not sticky: what that one breaks shows that checks can fail."""

from __future__ import annotations

from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.load import load, names


def test_every_product_has_a_control_that_is_not_sticky() -> None:
    found: dict[str, set[str]] = {}  # what really runs: several products' profiles may be played by one
    for name in names():
        try:
            loaded = load(name)
        except UsageFault:
            continue  # test_targets_load says so
        launch = loaded.target.launch
        if launch is not None:
            program = launch.python or loaded.product
            found.setdefault(program, set()).add(loaded.own.affinity)
    without = sorted(program for program, modes in found.items() if "none" not in modes)
    assert not without, f'no target whose profile has affinity = "none": {", ".join(without)}'
