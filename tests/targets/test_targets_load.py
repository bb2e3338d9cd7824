"""What a target directory may say, and what bad ones get: one message with every problem."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.load import BUNDLED, load, names
from limpet.harness.targets.schema import schema

EXAMPLES = BUNDLED.parent / "examples"
MakeTarget = Callable[..., Path]
RUNS = '[endpoint]\nurl = "http://127.0.0.1:1"\n[backends]\nmember = [{ listen = "127.0.0.1:2" }]\n'
SERVER = '[launch]\ncommand = ["{python}"]\n'


@pytest.mark.parametrize("name", names())
def test_every_bundled_target_loads_and_gives_reasons(name: str) -> None:
    loaded = load(name)
    assert loaded.target.name == name == loaded.directory.name
    assert loaded.contract == loaded.own
    assert loaded.target.launch is not None
    timing = loaded.target.timing
    moot = {"retried"} if loaded.target.backends.health_checked else set()
    moot |= {"nodes_agree"} if loaded.target.control.nodes_agree is None else set()
    for field in type(timing).model_fields.keys() - moot:
        assert field in timing.model_fields_set, f"{field} is left to chance"
        assert len(getattr(timing, field).reason) > 20


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("running-*")), ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    loaded = load(path)
    assert loaded.target.launch is None
    assert loaded.target.name == path.name


def test_nginx_cookie_target_promises_what_its_template_sets() -> None:
    contract = load("nginx-sticky-cookie").contract
    assert contract.cookie is not None
    assert contract.cookie.name == "route"
    attributes = contract.cookie.attributes
    assert attributes.http_only is not None and attributes.http_only.sole is True
    assert attributes.secure is not None and attributes.secure.sole is False
    assert contract.duration.value == 3600.0


def test_target_is_found_by_its_file_and_by_its_directory(make_target: MakeTarget) -> None:
    directory = make_target(RUNS)
    assert load(directory).directory == load(str(directory / "target.toml")).directory == directory.resolve()


def test_choices_are_merged_over_the_profile(make_target: MakeTarget) -> None:
    chosen = '[contract]\nduration = "3s"\ncookie_name = "MINE"\nalgorithm = "least-connections"\n'
    loaded = load(make_target(f"{chosen}[contract.cookie.attributes]\nhttp_only = true\n{RUNS}"))
    contract = loaded.contract
    assert contract.duration.value == 3.0
    assert contract.duration.max is not None and contract.duration.max.sole == 3600.0
    assert contract.algorithm is not None and contract.algorithm.sole == "least-connections"
    assert contract.cookie is not None and contract.cookie.name == "MINE"
    assert contract.cookie.attributes.path is not None and contract.cookie.attributes.path.sole == "/"
    assert contract.cookie.attributes.http_only is not None


def test_another_profile_judges_but_the_own_contract_renders(make_target: MakeTarget) -> None:
    loaded = load(make_target(f'[contract]\ncookie_name = "MINE"\n{RUNS}'), profile="toy/plain")
    assert loaded.contract.affinity == "none"
    assert loaded.contract.cookie is None
    assert loaded.own.cookie is not None and loaded.own.cookie.name == "MINE"
    assert loaded.profile_name == "plain"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[contract]\nduration = "2h"\n' + RUNS, ["[contract]", "duration", "above the maximum of 1h"]),
        ('[contract]\nduration = "soon"\n' + RUNS, ["duration.value", "'soon' is no duration"]),
        ('[contract]\nalgorithm = "random"\n' + RUNS, ["algorithm", "'random'", "allowed: round-robin, least-conn"]),
        ('[contract.reaction]\nunhealthy = "stay"\n' + RUNS, ["reaction.unhealthy", "'stay'", "allowed: repin"]),
        ('[contract]\naffinity = "source-ip"\n' + RUNS, ["affinity", "another profile"]),
        ('[contract]\ncookies = "x"\n' + RUNS, ["cookies: unknown key", 'did you mean "cookie"']),
        ("", ["no [launch] and no address"]),
        ('[endpoint]\nurl = "http://192.0.2.1"\n' + RUNS[RUNS.index("[backends]") :], ["192.0.2.1", "allow_remote"]),
        ('[endpoint]\nurl = "127.0.0.1:80"\n', ["endpoint", "is no address"]),
        ('[endpoint]\nproxy_protokol = "v2"\n', ["endpoint.proxy_protokol: unknown key", '"proxy_protocol"']),
        ('[endpoint]\nurl = "http://127.0.0.1:1"\nca = "ca.pem"\n', ["endpoint", "about TLS"]),
        ('[endpoint]\nurl = "http://127.0.0.1:1"\nverify = false\n', ["endpoint", "about TLS"]),
        ('[endpoint]\nurl = "https://127.0.0.1:1"\nca = "x"\nverify = false\n', ["endpoint", "one of the two"]),
        (SERVER + '[endpoint]\ntls = true\nca = "{nowhere}/x.pem"\n', ["endpoint.ca", "{nowhere}"]),
        ('[endpoint]\nurl = "http://127.0.0.1:1"\n', ["[[backends.member]]", "listen"]),
        (RUNS + "[timing]\ndown_notice = 1\n", ["timing.down_notice: unknown key", 'did you mean "down_noticed"']),
        (RUNS + '[timing]\ndown_noticed = "often"\n', ["timing.down_noticed", "'often' is no duration"]),
        (SERVER + 'config = "lb.conf.j2"\n', ['template "lb.conf.j2" does not exist']),
        (SERVER + '[endpoint]\nhost = "127.0.0.1"\nport = 1\n', ["limpet chooses the address"]),
        ('[launch]\ncommand = ["{balancer.prt}"]\n', ["launch.command", "{balancer.prt}", '"balancer.port"']),
        ('[launch]\npython = "a:b"\ncommand = ["x"]\n', ["either command or python"]),
        (SERVER + 'ready = "soon"\n', ["ready", "tcp, http, http:STATUS, log:REGEX"]),
        (SERVER + '[control]\napply = [{ signal = "HUPP" }]\ncovers = ["add"]\n', ["control.apply[0]", '"HUPP"']),
        (SERVER + '[control]\napply = [{ signal = "HUP" }]\n', ["apply and covers go together"]),
        (SERVER + '[control]\nreload = [{ exec = ["x"], signal = "HUP" }]\n', ["exactly one of", "signal and exec"]),
        (SERVER + '[control]\nreload = [{ signal = "HUP", body = "x" }]\n', ["body does not go with signal"]),
        (SERVER + '[control]\nreload = [{ exec = ["{seconds}"] }]\n', ["control.reload[0]", "{seconds}"]),
        (SERVER + '[control]\nrestart = "again"\n', ['restart = "again"', "relaunch"]),
        (SERVER + '[backends]\nowner = "yours"\n', ["[[backends.member]]"]),
        (SERVER + "[backends]\ncount = 3\nweights = [1, 2]\n", ["2 weights for 3 backends"]),
        (SERVER + "[backends]\ncount = 0\n", ["backends.count"]),
    ],
)
def test_bad_targets_are_usage_faults_that_name_the_place(
    make_target: MakeTarget, text: str, expected: list[str]
) -> None:
    with pytest.raises(UsageFault) as caught:
        load(make_target(text))
    message = str(caught.value)
    assert [part for part in expected if part not in message] == [], message
    assert "target.toml" in message
    assert "Traceback" not in message


def test_every_problem_is_told_at_once(make_target: MakeTarget) -> None:
    with pytest.raises(UsageFault) as caught:
        load(make_target('[launch]\ncommand = ["{wrkdir}", "{confg}"]\nconfig = ["a.j2", "b.j2"]\n'))
    assert all(word in str(caught.value) for word in ("4 problems", "{wrkdir}", "{confg}", "a.j2", "b.j2"))


def test_remote_endpoint_is_allowed_and_limited_when_asked_for(make_target: MakeTarget) -> None:
    text = '[endpoint]\nurl = "https://lb.example"\nallow_remote = true\n' + RUNS[RUNS.index("[backends]") :]
    endpoint = load(make_target(text)).target.endpoint
    assert endpoint.remote
    assert endpoint.rate == 50.0
    assert endpoint.address == ("lb.example", 443)
    assert load(make_target(RUNS)).target.endpoint.rate is None


def test_no_such_target_profile_or_file(make_target: MakeTarget, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match='did you mean "nginx-ip-hash"'):
        load("nginx-iphash")
    with pytest.raises(UsageFault, match=r"has no target\.toml"):
        load(tmp_path)
    with pytest.raises(UsageFault, match="there is no such directory"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageFault, match=r"valid: .* and \d+ more\b"):
        load("zzzz")
    with pytest.raises(UsageFault, match=r'no profile "toy/stick".*did you mean "toy/sticky"'):
        load(make_target(RUNS, head='name = "toy"\nprofile = "toy/stick"\n'))
    with pytest.raises(UsageFault, match="--profile"):
        load(make_target(RUNS), profile="toy/none")
    with pytest.raises(UsageFault, match="is no valid TOML") as broken:
        load(make_target("[["))
    assert "no profile" not in str(broken.value), "what could not be read has no wrong profile"


def test_template_that_is_not_jinja_names_its_line(make_target: MakeTarget) -> None:
    with pytest.raises(UsageFault, match=r"lb\.j2, line 2"):
        load(make_target(SERVER + 'config = "lb.j2"\n', lb__j2="fine\n{% if %}\n"))


def test_schema_is_exported() -> None:
    document = json.loads(schema())
    assert {"launch", "endpoint", "backends", "control", "timing"} <= document["properties"].keys()
    assert document["additionalProperties"] is False


def test_what_is_wrong_in_the_file_hides_nothing_under_contract(make_target: MakeTarget) -> None:
    with pytest.raises(UsageFault) as caught:
        load(make_target(f"[timming]\n[contract]\nduratoin = 1\n{RUNS}"))
    assert "timming" in str(caught.value)
    assert "duratoin" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "slip", "expected"),
    [
        (f"[timming]\n{RUNS}", ('name = "TOY"', 'nam = "TOY"'), ["timming", "cookie.nam:"]),
        (
            '[launch]\ncommand = ["{pyton}"]\n[contract]\nduratoin = 1\n',
            ('name = "TOY"', 'nam = "TOY"'),
            ["{pyton}", "duratoin:", "cookie.nam:"],
        ),
        (f"[timming]\n{RUNS}", ("[product]", "[["), ["timming", "profile.toml: is no valid TOML"]),
        ("[[", ('name = "TOY"', 'nam = "TOY"'), ["target.toml: is no valid TOML", "cookie.nam:"]),
        (f"[timming]\n{RUNS}", ('name = "toy"', 'nme = "toy"'), ["timming", "product.nme:", "product.name:"]),
        (f"[timming]\n{RUNS}", ("profile.sticky", "profile.stick"), ["timming", 'did you mean "toy/stick"']),
    ],
    ids=["both", "contract-too", "profile-no-toml", "target-no-toml", "product-without-name", "no-such-profile"],
)
def test_a_bad_target_does_not_hide_its_bad_profile(
    make_target: MakeTarget, toy_profile: str, text: str, slip: tuple[str, str], expected: list[str]
) -> None:
    with pytest.raises(UsageFault) as caught:
        load(make_target(text, profile=toy_profile.replace(*slip)))
    message = str(caught.value)
    assert [message.count(part) for part in expected] == [1] * len(expected), message
    assert "target.toml" in message


def test_what_judges_and_what_is_its_own_are_told_together(make_target: MakeTarget, toy_profile: str) -> None:
    bad = toy_profile.replace('affinity = "none"', 'affinity = "nun"')
    with pytest.raises(UsageFault) as caught:
        load(make_target(f"[timming]\n{RUNS}", profile=bad), profile="nginx/ip-hahs")
    assert all(part in str(caught.value) for part in ("timming", "'nun'", "--profile", '"nginx/ip-hash"'))
