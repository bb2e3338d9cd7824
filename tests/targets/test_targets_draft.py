"""What `limpet init` writes loads as soon as its marked lines are filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from limpet.harness.model.errors import UsageFault
from limpet.harness.targets import draft, load


def test_draft_loads_when_filled_in(tmp_path: Path) -> None:
    file = draft(tmp_path / "My Balancer", product="Acme LB", url="http://127.0.0.1:8080")
    with pytest.raises(UsageFault, match="needs a name and a host"):
        load(file.parent)
    text = file.read_text()
    for number in (1, 2):
        text = text.replace('name = ""', f'name = "b{number}"', 1).replace('host = ""', 'host = "127.0.0.1"', 1)
    file.write_text(text)
    loaded = load(file.parent)
    assert loaded.target.name == "my-balancer"
    assert loaded.profile == "acme-lb/sticky"
    assert loaded.contract.affinity == "lb-cookie"
    assert loaded.target.gate.require == ("affinity.holds",)
    assert [member.name for member in loaded.target.backends.member] == ["b1", "b2"]


def test_commented_lines_are_valid_too(tmp_path: Path) -> None:
    file = draft(tmp_path / "mine", url="http://127.0.0.1:8080")
    (file.parent / "pool.conf.j2").write_text("{{ members }}")
    text = file.read_text().replace('name = ""', 'name = "one"', 1).replace('name = ""', 'name = "two"', 1)
    lines = []
    for line in text.replace('host = ""', 'host = "127.0.0.1"').splitlines():
        bare = line.removeprefix("# ")
        key = bare.split(" ")[0]
        optional = line.startswith("# ") and bare[len(key) :].lstrip().startswith("=") and key not in ("json", "regex")
        lines.append(bare if optional else line)
    file.write_text("\n".join(lines))
    target = load(file.parent).target
    assert target.backends.member[0].kill and target.control.settled and target.control.covers
    assert target.endpoint.max_rate == 50


def test_draft_without_an_address_says_so(tmp_path: Path) -> None:
    file = draft(tmp_path / "lb")
    assert "FILL IN: http://HOST:PORT" in file.read_text()


def test_draft_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "profile.toml").write_text("mine")
    with pytest.raises(UsageFault, match="overwrites nothing"):
        draft(tmp_path)
    assert not (tmp_path / "target.toml").exists()
