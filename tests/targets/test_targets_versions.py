"""The version that runs: too old or unknown for a target, or another one than the documentation is about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault, UsageFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member, RunningTarget, load
from limpet.harness.targets.versions import documented_otherwise, fits, version_of

MakeTarget = Callable[..., Path]
MEMBERS = (Member("b1", "127.0.0.1", 9),)
SERVER = """
[launch]
command = ["{python}", "-m", "http.server", "{balancer.port}", "--bind", "{balancer.host}", "-d", "{workdir}"]
ready = "http"
"""


@pytest.mark.parametrize(
    ("runs", "documented", "right"),
    [
        ("2.8.25-5cf5d0683", "2.8", True),
        ("2.9.1", "2.8", False),
        ("3.8.1", "2.8", False),
        ("1.31.3", "1.29.6 or newer (sticky is there since then)", True),
        ("1.29.6", "1.29.6 or newer", True),
        ("1.29.5", "1.29.6 or newer", False),
        ("1.9.10", "1.29.6 or newer", False),
        ("9.2.9", "9.2", True),
        ("some build", "2.8", True),
        ("2.8", "", True),
    ],
)
def test_of_which_versions_a_documentation_speaks(runs: str, documented: str, right: bool) -> None:
    assert fits(runs, documented) is right


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('version = "2.4.1"\nat_least = "2.4"', ""),
        ('version = "2.10.0"\nat_least = "2.9.8"', ""),
        ('version = "2.3.9"\nat_least = "2.4"', "it is 2.3.9 and has to be at least 2.4"),
        ('version = ["echo", "who knows"]\nat_least = "2.4"', "cannot be found out, and it has to be at least 2.4"),
        ('version = ["false"]\nversion_required = true', "cannot be found out, and it has to be 1.2"),
        ('version = "1.3.0"\nversion_required = true', "its promises were read in the documentation of 1.2"),
        ('version = "1.3.0"', ""),
        ('version = "1.2.7"\nversion_required = true', ""),
    ],
)  # fmt: skip
def test_a_wrong_version_is_not_set_up(
    make_target: MakeTarget, tmp_path: Path, keeper: Keeper, lease: LoopbackLease, toy_profile: str, lines: str,
    said: str,
) -> None:  # fmt: skip
    profile = toy_profile.replace('title = "Toy"\n', 'title = "Toy"\nversion = "1.2"\n')
    loaded = load(make_target(SERVER + lines + "\n", profile=profile))
    target = RunningTarget(loaded, keeper=keeper, lease=lease, workdir=tmp_path / "work", members=MEMBERS)
    try:
        if not said:
            target.start()
            return
        with pytest.raises(SetupFault) as caught:
            target.start()
        assert said in str(caught.value)
    finally:
        target.stop()


def test_another_documentation_is_told(make_target: MakeTarget, toy_profile: str) -> None:
    profile = toy_profile.replace('title = "Toy"\n', 'title = "Toy"\nversion = "1.2"\n')
    assert documented_otherwise(load(make_target(f'{SERVER}version = "1.3.0"\n', profile=profile))) == "1.2"
    assert documented_otherwise(load(make_target(f'{SERVER}version = "1.2.9"\n', profile=profile))) == ""
    other = 'name = "toy"\nprofile = "toy/sticky"\nproduct = "something else"\n'
    assert documented_otherwise(load(make_target(f'{SERVER}version = "1.3.0"\n', head=other, profile=profile))) == ""


def test_a_program_is_asked_once(make_target: MakeTarget, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    loaded = load(make_target(f'{SERVER}version = ["sh", "-c", "echo x >> {asked}; echo version 7.1"]\n'))
    assert [version_of(loaded), version_of(loaded)] == ["7.1", "7.1"]
    assert asked.read_text().split() == ["x"]


def test_a_demand_without_a_way_to_know_is_refused(make_target: MakeTarget) -> None:
    with pytest.raises(UsageFault, match="go by version"):
        load(make_target(f'{SERVER}at_least = "1.2"\n'))
