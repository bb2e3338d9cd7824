"""`limpet run` without --target judges one target of each affinity mode, and nothing that cannot be started here."""

from __future__ import annotations

from pathlib import Path

import pytest

from limpet.harness.targets import binaries
from limpet.harness.targets.bundled import missing, startable
from limpet.harness.targets.load import load, names


def test_every_affinity_mode_is_shown() -> None:
    modes = {load(name).contract.affinity for name in names()}
    assert {load(name).contract.affinity for name in startable(shown_only=True)} == modes


def test_what_is_hidden_is_judged_with_all() -> None:
    targets = [load(name).target for name in names()]
    hidden = {each.name for each in targets if not each.shown and each.launch and each.launch.python}
    assert hidden and hidden <= set(startable())
    assert not hidden & set(startable(shown_only=True))


def test_what_cannot_be_started_is_never_judged_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_in_package", lambda binary: None)
    monkeypatch.setattr("shutil.which", lambda name, **more: None)
    assert missing(load("nginx-ip-hash")).startswith("after: ")
    assert "nginx-ip-hash" not in startable() and "reference-round-robin" in startable()


def test_a_target_of_a_users_own_is_shown() -> None:
    examples = Path(binaries.__file__).parents[2] / "fixtures" / "examples"
    found = [load(each.parent).target.shown for each in examples.glob("*/target.toml")]
    assert found and all(found)
