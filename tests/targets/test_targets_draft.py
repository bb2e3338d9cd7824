"""What `limpet init` writes loads as soon as its marked lines are filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from limpet.harness.cli.catalogues import catalogues
from limpet.harness.model.errors import UsageFault
from limpet.harness.targets import draft, load
from limpet.harness.targets.load import bundled_profile
from limpet.harness.targets.marks import MARK, marked


def answer(directory: Path) -> None:
    """Takes the marks off, as who has looked at each line does."""
    for file in directory.glob("*.toml"):
        file.write_text(file.read_text().replace(f"# {MARK}", "#"))


def test_draft_loads_when_filled_in(tmp_path: Path) -> None:
    file = draft(tmp_path / "My Balancer", product="Acme LB", url="http://127.0.0.1:8080")
    with pytest.raises(UsageFault, match="needs a name and a host"):
        load(file.parent)
    text = file.read_text()
    for number in (1, 2):
        text = text.replace('name = ""', f'name = "b{number}"', 1).replace('host = ""', 'host = "127.0.0.1"', 1)
    file.write_text(text)
    with pytest.raises(UsageFault, match="lines wait for your answer"):
        load(file.parent)
    answer(file.parent)
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
    answer(file.parent)
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


SERVERS = ("127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003")


def test_a_known_profile_before_limpets_own_servers_needs_no_answers_but_timing(tmp_path: Path) -> None:
    file = draft(tmp_path / "shop", url="http://127.0.0.1:8080", profile="nginx/ip-hash", listen=SERVERS)
    assert [text.split(" ")[0] for _, text in marked(file)] == ["down_noticed", "up_noticed"]
    answer(file.parent)
    loaded = load(file.parent)
    assert loaded.profile == "nginx/ip-hash" and loaded.product == "nginx"
    assert loaded.target.backends.owner == "limpet"
    assert tuple(member.listen for member in loaded.target.backends.member) == SERVERS
    assert loaded.target.gate.require == ("affinity.holds",)
    assert not (file.parent / "profile.toml").exists(), "limpet brings it"


def test_what_nobody_has_answered_accuses_nobody(tmp_path: Path) -> None:
    """Not even the lines that would load: how long the balancer may lag, and the promise itself."""
    file = draft(tmp_path / "shop", url="http://127.0.0.1:8080", listen=SERVERS)
    profile = file.parent / "profile.toml"
    with pytest.raises(UsageFault) as told:
        load(file.parent)
    for place, text in (*marked(file), *marked(profile)):
        assert f"{place}: {text}" in str(told.value)
    assert any(text == 'affinity = "lb-cookie"' for _, text in marked(profile))
    file.write_text(file.read_text().replace(f"# {MARK}", "#").replace('"mine/sticky"', '"nginx/ip-hash"'))
    assert load(file.parent).profile == "nginx/ip-hash", "what is not used needs no answer"


def test_a_known_profile_leaves_ones_own_servers_to_fill_in(tmp_path: Path) -> None:
    file = draft(tmp_path / "shop", url="http://127.0.0.1:8080", profile="haproxy/cookie-insert")
    with pytest.raises(UsageFault, match="needs a name and a host"):
        load(file.parent)


def test_every_bundled_profile_can_be_drafted(tmp_path: Path) -> None:
    names = [f"{product}/{mode}" for product, each in catalogues().items() for mode in each.profile]
    assert len(names) > 50
    gated = set()
    for number, name in enumerate(names):
        scheme = bundled_profile(name)[1].protocol
        file = draft(tmp_path / str(number), url=f"{scheme}://127.0.0.1:8080", profile=name, listen=SERVERS)
        answer(file.parent)
        loaded = load(file.parent)
        assert loaded.profile == name
        promised = loaded.promises("affinity.holds")
        assert loaded.target.gate.require == (("affinity.holds",) if promised else ()), name
        gated.add(promised)
    assert gated == {True, False}


def test_what_the_deployment_chose_is_asked_for(tmp_path: Path) -> None:
    text = draft(tmp_path / "lb", profile="nginx/sticky-cookie", listen=SERVERS).read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("cookie_name")]
    assert MARK in line
    assert (
        "tcp://HOST:PORT" in draft(tmp_path / "l4", profile="haproxy/tcp-source-consistent", listen=SERVERS).read_text()
    )


@pytest.mark.parametrize(
    ("profile", "listen", "words"),
    [
        ("nginx/ip-hsh", SERVERS, 'did you mean "nginx/ip-hash"'),
        ("nginx/ip-hash", ("9001",), "--listen: '9001' is no address"),
        ("haproxy/tcp-source-consistent", (), "--listen HOST:PORT"),
    ],
)
def test_a_wrong_answer_is_told_and_nothing_written(tmp_path: Path, profile: str, listen: tuple[str, ...], words: str):
    with pytest.raises(UsageFault) as told:
        draft(tmp_path / "lb", profile=profile, listen=listen)
    assert words in str(told.value)
    assert not (tmp_path / "lb").exists()
