"""Which product a report speaks about: what ran, and, apart from it, what that was judged as."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from limpet.harness.model.events import RunStarted, TargetInfo
from limpet.harness.session import Options, RunSession
from limpet.reports.evidence import emulation_note
from limpet.reports.run import Section
from limpet.reports.terminal import TerminalReport

HUAWEI = "Huawei Cloud Elastic Load Balance"
REFERENCE = "limpet reference balancer"


def info(tmp_path: Path, target: str, profile: str | None = None) -> TargetInfo:
    session = RunSession(Options(targets=(target,), profile=profile, out=tmp_path), ())
    return session._info(session.loaded[0])


def test_limpets_version_is_never_given_to_the_product_that_it_plays(tmp_path: Path) -> None:
    found = info(tmp_path, "reference-huawei-elb-lb-cookie")
    assert (found.product, found.plays, found.emulation) == (REFERENCE, HUAWEI, True)
    ran = f"{REFERENCE} {found.version}"
    assert emulation_note(found) == f"Emulation of {HUAWEI} by {ran}: says nothing about {HUAWEI} itself."
    assert (
        Section(found, ()).subtitle
        == f"{ran} · profile huawei-elb/lb-cookie · emulation of {HUAWEI} · network loopback"
    )


@pytest.mark.parametrize(
    ("target", "runs"),
    [("nginx-round-robin", "nginx (open source)"), ("reference-aws-alb-duration-cookie", REFERENCE)],
)
def test_who_is_judged_by_anothers_profile_plays_nobody(tmp_path: Path, target: str, runs: str) -> None:
    found = info(tmp_path, target, "huawei-elb/lb-cookie")
    assert (found.product, found.plays, found.emulation) == (runs, HUAWEI, False)
    note = emulation_note(found)
    assert note.startswith(runs)
    assert f"judged by the contract of {HUAWEI}: says nothing about {HUAWEI} itself" in note
    assert "mulation" not in note + Section(found, ()).subtitle


@pytest.mark.parametrize(
    ("target", "profile"), [("nginx-round-robin", "nginx/sticky-cookie"), ("reference-lb-cookie-idle", None)]
)
def test_the_product_itself_is_judged_without_a_note(tmp_path: Path, target: str, profile: str | None) -> None:
    found = info(tmp_path, target, profile)
    assert (found.plays, found.emulation, emulation_note(found)) == ("", False, "")


def test_another_version_than_the_documentations_stands_in_the_head(tmp_path: Path, toy_lb: Path) -> None:
    found = info(tmp_path, str(toy_lb))
    told = "Toy 2.0.1 (judged by the documentation of 1.4)"
    assert Section(found, ()).subtitle == f"{told} · profile toy/sticky · network loopback"
    output = io.StringIO()
    handler = TerminalReport(Console(file=output, width=100), live=False)
    handler.handle(RunStarted("r", 1, "0.1", "now", (found,), 3, "limpet run"))
    assert told in output.getvalue().splitlines()


@pytest.fixture
def toy_lb(tmp_path: Path) -> Path:
    """A target whose program is newer than what was read of it."""
    directory = tmp_path / "toy"
    directory.mkdir()
    (directory / "profile.toml").write_text(
        '[product]\nname = "toy"\ntitle = "Toy"\ndocumentation = "https://example.org/"\nversion = "1.4"\n'
        '[profile.sticky]\ntitle = "sticky"\nlayer = 7\naffinity = "source-ip"\n'
    )
    (directory / "target.toml").write_text(
        'name = "toy"\nprofile = "toy/sticky"\n[launch]\ncommand = ["true"]\nversion = ["echo", "toy 2.0.1"]\n'
    )
    return directory
