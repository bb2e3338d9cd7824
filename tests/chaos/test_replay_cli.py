"""`limpet replay` as people type it."""

from __future__ import annotations

from pathlib import Path

import pytest

from limpet.harness.chaos import random_walk
from limpet.harness.cli.main import main
from limpet.harness.model.verdict import ExitCode
from limpet.harness.network import namespaces
from limpet.harness.targets.load import find, load

WALK = """limpet-walk = 1
target = "reference-lb-cookie-idle"
affinity = "lb-cookie"
violation = "served-by-draining"
step = [
    { do = "visit", users = [1] },
    { do = "drain", backend = "of 1" },
    { do = "add" },
    { do = "visit", users = [1, 2, 3] },
]
"""


def replay(tmp_path: Path, text: str, *more: str) -> int:
    file = tmp_path / "walk.toml"
    file.write_text(text)
    return main(["replay", str(file), "--out", str(tmp_path / "out"), *more])


def test_it_tells_verdict_story_and_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(tmp_path, WALK) == ExitCode.HELD
    said = capsys.readouterr().out
    assert "the served-by-draining of the file did not happen" in said
    assert "What happened:" in said and "  3. b4 joins the pool" in said
    assert "chaos.random-walk_replay.jsonl" in said
    assert list((tmp_path / "out" / "histories").rglob("*.jsonl"))


def test_with_the_fault_it_goes_wrong_in_the_same_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(tmp_path, WALK, "--fault", "newcomer-opens-the-drained") == ExitCode.BROKEN
    assert "This is the same: served-by-draining." in capsys.readouterr().out


def test_a_target_that_cannot_take_a_step_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = WALK.replace("users = [1, 2, 3]", 'users = [1], show = "first"')
    assert replay(tmp_path, shown, "--target", "reference-source-ip") == ExitCode.UNDECIDED
    said = " ".join(capsys.readouterr().out.split())
    assert "a user of source-ip cannot help showing its own key" in said and "the walk is one of lb-cookie" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("limpet-walk = 1", "limpet-walk = 2"), "this limpet plays version 1"),
        (("reference-lb-cookie-idle", "their-balancer"), "--target DIR"),
        (('"drain"', '"drian"'), 'did you mean "drain"?'),
    ],
)
def test_bad_input_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], said: str
) -> None:
    assert replay(tmp_path, WALK.replace(*change)) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_fault_goes_into_the_reference_balancer_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--target", "nginx-sticky-cookie", "--fault", "newcomer-opens-the-drained")
    assert replay(tmp_path, WALK, *words) == ExitCode.USAGE
    assert "is not the reference balancer" in capsys.readouterr().err


def test_the_line_that_its_report_names_plays_it_again(tmp_path: Path) -> None:
    assert replay(tmp_path, WALK, "--seed", "7") == ExitCode.HELD
    assert "--seed 7" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_what_is_of_a_lab_only_says_so_and_is_not_checkable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = WALK.replace("reference-lb-cookie-idle", "nftables-jhash-source").replace("lb-cookie", "source-ip")
    assert replay(tmp_path, rules) == ExitCode.UNDECIDED
    assert "--network namespace" in " ".join(capsys.readouterr().out.split())


def test_a_lab_that_cannot_be_had_is_told_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "_capable", lambda _bit: False)
    namespaces.missing.cache_clear()
    try:
        assert replay(tmp_path, WALK, "--network", "namespace") == ExitCode.SETUP
    finally:
        namespaces.missing.cache_clear()
    said = capsys.readouterr().err
    assert "CAP_SYS_ADMIN and CAP_NET_ADMIN" in said and "--network loopback" in said
    assert not (tmp_path / "out" / "histories").exists()


def test_the_line_that_a_walk_names_plays_it_where_it_was_found(tmp_path: Path) -> None:
    class Site:
        name = "namespace"

    class System:
        loaded = load("nftables-jhash-source")
        site = Site()

    class Found:
        system = System()

    file = tmp_path / "a walk.toml"
    line = f"limpet replay '{file}' --network namespace"
    assert random_walk._replayed(Found(), file) == line  # type: ignore[arg-type]
    place = tmp_path / "nftables-jhash-source"
    place.mkdir()
    text = (find("nftables-jhash-source") / "target.toml").read_text("utf-8")
    (place / "target.toml").write_text(
        text.replace("../_shared", str(find("nftables-jhash-source").parent / "_shared"))
    )
    System.loaded, Site.name = load(place), "loopback"
    assert random_walk._replayed(Found(), file) == f"limpet replay '{file}' --target {place}"  # type: ignore[arg-type]
