"""`limpet matrix` and `limpet doctor`: what is missing is told with its cure, and concerns nobody else."""

from __future__ import annotations

import importlib
import json
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from limpet_cli_place import Place

from limpet.harness.cli import machine
from limpet.harness.cli.main import main
from limpet.harness.model.verdict import ExitCode
from limpet.harness.network import namespaces
from limpet.harness.targets.load import BUNDLED

CURE = "apt-get install -y gone-balancer"
ROUND_ROBIN = "reference-round-robin"
SPREAD = "affinity.new-sessions-spread"
README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")

Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*arguments: object) -> tuple[int, str]:
        code = main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out + err

    return run


def copy(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """A target of one's own, made from the bundled one that is not sticky."""
    directory = folder / name
    shutil.copytree(BUNDLED / ROUND_ROBIN, directory)
    if not (folder / "_shared").exists():
        shutil.copytree(BUNDLED / "_shared", folder / "_shared")
    file = directory / "target.toml"
    text = re.sub(r"^name = .*$", f'name = "{name}"', file.read_text("utf-8"), count=1, flags=re.MULTILINE)
    for old, new in changes:
        changed = re.sub(old, new, text, count=1, flags=re.MULTILINE)
        assert changed != text, old
        text = changed
    file.write_text(text, "utf-8")
    return directory


def gone(folder: Path) -> Path:
    """A target whose program is nowhere."""
    binary = f'binary = {{ name = "gone", install = "{CURE}" }}\ncommand = ["{{gone}}"]'
    return copy(folder, "gone", (r"^python = .*$", binary), (r"^args = .*$", ""))


def dead(folder: Path) -> Path:
    """A target whose balancer ends while it starts, and says why."""
    command = 'command = ["{python}", "-c", "import sys; sys.exit(\'no such directive: stick\')"]'
    return copy(folder, "dead", (r"^python = .*$", command), (r"^args = .*$", ""))


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Replaces the bundled targets by these."""

    def use(*targets: str | Path) -> None:
        # By name: the package has a function of the module's name.
        module = importlib.import_module("limpet.harness.targets.load")
        monkeypatch.setattr(module, "names", lambda: [str(each) for each in targets])

    return use


def test_doctor_tells_what_is_missing_what_it_costs_and_the_cure(said: Said, bundled, tmp_path: Path) -> None:
    wrong = copy(tmp_path, "wrong", (r"^profile = .*$", 'profile = "no/such"'))
    bundled(ROUND_ROBIN, gone(tmp_path), wrong)
    code, text = said("doctor")
    assert code == 0
    assert re.search(r"✔ limpet +1 target, \d+ rows", text)
    assert re.search(rf"✘ gone +1 target, \d+ rows: gone\n +{CURE}", text)
    assert "wrong does not load" in text and 'no profile "no/such"' in text
    assert "1 of 3 bundled targets start here" in text


def test_doctor_tells_where_a_version_is_not_the_documented_one(said: Said, bundled, tmp_path: Path) -> None:
    nginx = (r"^profile = .*$", 'profile = "nginx/round-robin"'), (r"^product = .*$", 'product = "nginx"')
    bundled(copy(tmp_path, "old", *nginx, (r"^version = .*$", 'version = ["echo", "1.28.0"]')))
    told = r"limpet +1 target, .* 1\.28\.0 \(judged by the documentation of 1\.29\.6 or newer"
    assert re.search(told, said("doctor")[1])
    assert json.loads(said("doctor", "--json")[1])["programs"][0]["documented"].startswith("1.29.6")


def test_doctor_says_the_same_to_machines(said: Said, bundled, tmp_path: Path) -> None:
    bundled(ROUND_ROBIN, "reference-shared-sessions", gone(tmp_path))
    code, text = said("doctor", "--json")
    found = json.loads(text)
    assert code == 0
    here, missing = found["programs"]
    assert (
        here["found"]
        and here["targets"] == [ROUND_ROBIN, "reference-shared-sessions"]
        and here["rows"] > missing["rows"] > 0
    )
    assert not missing["found"] and missing["install"] == CURE and missing["targets"] == ["gone"]
    assert missing["reason"] == "gone not found in PATH"
    offers = {each["name"]: each for each in found["machine"]}
    assert offers["redis-server"]["targets"] == 1, "one of these targets keeps sessions in Redis"
    assert offers["loopback 127.0.0.0/8"]["targets"] == 3 and offers["loopback 127.0.0.0/8"]["there"]


def test_doctor_says_what_a_machine_lacks(said: Said, bundled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    bundled(ROUND_ROBIN, "reference-shared-sessions")
    code, text = said("doctor")
    assert code == 0
    assert re.search(
        r"✘ redis-server +not found in PATH\n +needed by: 1 target, \d+ rows; apt install redis-server", text
    )
    assert re.search(r"✘ open files +256\n +needed by: 2 targets, \d+ rows; raise the hard limit", text)
    assert re.search(r"✘ processes and threads +256\n", text)


def test_doctor_says_what_shifted_clocks_are_for(said: Said, bundled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "no_time_namespace", lambda: "this machine gives no time namespace: not permitted")
    bundled("reference-lb-cookie-idle", ROUND_ROBIN)
    code, text = said("doctor")
    assert code == 0
    assert re.search(r"✘ time namespaces +not permitted\n +needed by: 1 target, 1 row", text), text


def test_doctor_says_what_a_lab_lacks_and_how_many_rows_each_lack_costs(
    said: Said, bundled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "_capable", lambda _bit: False)
    monkeypatch.setattr(shutil, "which", lambda _name, **_more: None)
    here = machine.Offer("IPv6 loopback", False, "not available", "")
    monkeypatch.setattr(machine, "ipv6", lambda: here)
    namespaces.missing.cache_clear()
    bundled("reference-udp-flow", "reference-source-ip", "nftables-jhash-source")
    try:
        code, text = said("doctor")
    finally:
        namespaces.missing.cache_clear()
    assert code == 0
    found = dict(re.findall(r"✘ (.+?)  +.*\n +needed by: (\d+ targets?, \d+ rows?)", text))
    rows = {name: int(cost.split()[2]) for name, cost in found.items()}
    assert rows["CAP_NET_RAW"] == 4, "three of the flows, and the rules' SYNs"
    assert min(rows["network namespaces"], rows["nft"]) > 20, "all of the rules' rows need a host"
    assert found["IPv6 loopback"] == "2 targets, 4 rows", "homes, and privacy addresses, of users and of a persona"


def test_a_limit_that_may_be_raised_is_cured_by_ulimit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 100_000))
    assert machine.files() == machine.Offer("open files", False, "1024", f"ulimit -n {machine.FILES}")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert machine.files() == machine.Offer("open files", True, "unlimited")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "reference-round-robbin"), ["--only", '"reference-round-robin"']),
        (("--only", "ngnix*"), ['did you mean "nginx"?']),
        (("--only", "zzz"), ["valid: apache, ", "traefik"]),
        (("--jobs", "0"), ["--jobs"]),
        (("--target", "/"), ["has no target.toml"]),
        (("--only", ROUND_ROBIN, "--behaviour", "afinity.*"), ["--behaviour", "affinity"]),
        (("--junit", "/dev/null/junit.xml"), ["cannot be written"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_wrong_usage_is_told(said: Said, tmp_path: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    code, text = said("matrix", *arguments, "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert all(word in text for word in words), text


def test_where_nothing_can_start_the_cure_is_told(said: Said, bundled, tmp_path: Path) -> None:
    bundled(gone(tmp_path))
    code, text = said("matrix", "--out", tmp_path / "out")
    assert code == ExitCode.SETUP and CURE in text and not (tmp_path / "out").exists()


def test_a_target_that_does_not_load_costs_the_exit_code_and_no_other_target(
    said: Said, bundled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[str, ...]] = []

    def judge(options, told, *, suites=()):
        judged.append(options.targets)
        return ExitCode.HELD

    monkeypatch.setattr("limpet.harness.cli.testing.judge_for", judge)
    wrong = copy(tmp_path, "wrong", (r"^profile = .*$", 'profile = "no/such"'))
    bundled(wrong, ROUND_ROBIN)
    code, text = said("matrix", "--out", tmp_path / "out")
    assert code == ExitCode.USAGE and judged == [(ROUND_ROBIN,)] and 'no profile "no/such"' in text
    code, _ = said("matrix", "--only", ROUND_ROBIN, "--out", tmp_path / "out")
    assert code == ExitCode.HELD, "what is not asked for may be as wrong as it likes"


def test_only_means_targets_and_products_and_controls_come_last(bundled) -> None:
    from limpet.harness.cli.matrix import choose

    nginx, sticky, plain = "nginx-round-robin", "nginx-sticky-cookie", "reference-lb-cookie-idle"
    bundled(nginx, plain, sticky, ROUND_ROBIN)
    every, left_out, unreadable = choose(())
    assert unreadable == []
    here = [each for each in every if each.startswith("nginx")]
    assert here in ([sticky, nginx], []) and len(here) + len(left_out) == 2, (
        "where nginx is not installed it is left out"
    )
    assert every[len(here) :] == [plain, ROUND_ROBIN]
    assert choose(("reference",))[0] == [plain, ROUND_ROBIN]
    assert choose(("*-idle",))[0] == [plain]


def test_one_that_cannot_start_and_one_that_is_not_there_leave_the_others_alone(place: Place, tmp_path: Path) -> None:
    code, text = place.run(
        "matrix", "--only", ROUND_ROBIN, "--target", dead(tmp_path), "--target", gone(tmp_path),
        "--behaviour", SPREAD, "--behaviour", "affinity.holds", "--jobs", "1", "--seed", "5", "--out", "out",
    )  # fmt: skip
    assert code == ExitCode.SETUP, text
    found = json.loads((place.cwd / "out" / "matrix.json").read_text("utf-8"))
    verdicts = {target: cell["verdict"] for target, cell in row(found, SPREAD).items()}
    assert verdicts == {ROUND_ROBIN: "held", "dead": "setup failed"}
    assert row(found, "affinity.holds")[ROUND_ROBIN]["verdict"] == "not promised"
    assert [each["target"] for each in found["left_out"]] == ["gone"] and found["left_out"][0]["install"] == CURE
    assert found["exit_code"] == code and found["slowest"] == [ROUND_ROBIN] and found["wall"] > 0
    page = (place.cwd / "out" / "matrix.html").read_text("utf-8")
    assert "no such directive: stick" in page and CURE in page
    assert "no such directive: stick" in text and CURE in text, "the balancer's own last lines"
    again = {each["target"]: each["again"] for each in found["targets"]}
    assert again["dead"] == f"limpet run --target {tmp_path / 'dead'} --seed 5"
    for cell in row(found, SPREAD).values():
        assert all((place.cwd / "out" / history).is_file() for history in cell["histories"])
    assert (place.cwd / "out" / "report.html").is_file() and (place.cwd / "out" / "conformance.json").is_file()
    place.nothing_left()


def row(found: Any, behaviour: str) -> dict[str, Any]:
    """The cells of one behaviour, by target."""
    (line,) = [each for each in found["behaviours"] if each["behaviour"] == behaviour]
    cells: dict[str, Any] = line["cells"]
    return cells


def test_the_cheap_matrix_of_the_readme_runs_and_writes_what_it_says(place: Place) -> None:
    (line,) = [line for line in README.splitlines() if line.startswith("limpet matrix --only")]
    words = [word.strip("'") for word in line.split()[1:]]
    code, text = place.run(*words)
    assert code == 0, text
    said = re.search(r"writes `(limpet-matrix/matrix\.html)`", README)
    assert said and (place.cwd / said[1]).is_file() and (place.cwd / said[1]).with_suffix(".json").is_file()
    assert re.search(r"new-sessions-spread +✔ held", text), "the terminal shows it as a table"
