"""Walks as files: what is written is read again, and what is wrong is said with what to do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.harness.chaos.replay import Walk, parse, read, text_of
from limpet.harness.chaos.walk import Step, problems
from limpet.harness.chaos.walk_draw import Dealer
from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.load import load

WALK = Walk("reference-source-ip", "source-ip", (Step("visit", users=(1, 2)), Step("kill", backend="of 1")), "moved")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.text(max_size=30))
def test_a_dealt_walk_comes_back_as_it_was(seed: int, text: str) -> None:
    loaded = load("reference-lb-cookie-idle")
    steps = Dealer(loaded, random.Random(seed)).walk()
    walk = Walk("reference-lb-cookie-idle", "lb-cookie", steps, "moved", str(seed))
    assert parse(text_of(walk, [text] * len(steps), [text]), "here") == walk


def test_it_is_small_and_readable(tmp_path: Path) -> None:
    text = text_of(WALK, ["both: b1", "b1 dies"], ["Somebody moved."])
    assert text.splitlines() == [
        "# Somebody moved.",
        "limpet-walk = 1",
        'target = "reference-source-ip"',
        'affinity = "source-ip"',
        'violation = "moved"',
        'seed = "walk"',
        "step = [",
        '    { do = "visit", users = [1, 2] },  # both: b1',
        '    { do = "kill", backend = "of 1" },  # b1 dies',
        "]",
    ]
    path = tmp_path / "walk.toml"
    path.write_text(text)
    assert read(path) == WALK


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("limpet-walk = 1", "limpet-walk = 2"), "is a walk of version 2; this limpet plays version 1"),
        (("limpet-walk = 1", ""), "says nothing of `limpet-walk`"),
        (('do = "kill"', 'do = "kil"'), 'step 2: no step "kil"; did you mean "kill"?'),
        (("users", "user"), 'step 1: user: unknown key; did you mean "users"?'),
        (('"of 1"', '"b1"'), 'step 2: "b1" names no backend'),
        (('"moved"', '"mowed"'), 'did you mean "moved"?'),
        (("users = [1, 2]", 'users = "all"'), "step[0].users"),
        (('seed = "walk"', "sead = 1"), "sead"),
        (("step = [", "step = {"), "is no TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = tmp_path / "walk.toml"
    path.write_text(text_of(WALK).replace(*change))
    with pytest.raises(UsageFault) as fault:
        read(path)
    assert said in str(fault.value) and str(path) in str(fault.value)


def test_another_version_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "walk.toml"
    path.write_text("limpet-walk = 7\n")
    with pytest.raises(UsageFault, match="Play it with the limpet that wrote it"):
        read(path)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "walk.toml"
    path.write_text(text_of(WALK).replace('"of 1"', '"b1"').replace("users = [1, 2]", "users = [0]"))
    with pytest.raises(UsageFault) as fault:
        read(path)
    assert "step 1" in str(fault.value) and "step 2" in str(fault.value)


def test_a_walk_without_steps_is_none(tmp_path: Path) -> None:
    path = tmp_path / "walk.toml"
    path.write_text('limpet-walk = 1\ntarget = "x"\naffinity = "url"\nstep = []\n')
    with pytest.raises(UsageFault, match="without any step"):
        read(path)


def test_problems_are_none_for_what_is_right() -> None:
    assert [problems(step) for step in WALK.step] == [[], []]
