"""Presets are the balancer's own data: what they say must be what the catalogue says of the same profile."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from limpet.harness.model.contract import Catalogue, Contract, Stated
from limpet.harness.model.contract.profile import Attributes
from limpet.harness.model.contract.validation import parse
from limpet.reference_lb.main import main
from limpet.reference_lb.settings import presets
from limpet.reference_lb.settings.config import Affinity, Config, CookieAttributes
from limpet.reference_lb.settings.durations import parse_duration
from limpet.reference_lb.settings.load import check
from limpet.reference_lb.settings.problems import ConfigError
from limpet.reference_lb.settings.rules import merged

CATALOGUE = Path(__file__).resolve().parents[2] / "suites" / "catalogue"
PRESETS = presets.names()
REACTIONS = ("unhealthy", "in_request", "draining", "recovered", "bad_cookie", "ip_change")


def contract(name: str) -> Contract:
    product, _, profile = name.partition("/")
    path = CATALOGUE / f"{product}.toml"
    return parse(Catalogue, tomllib.loads(path.read_text(encoding="utf-8")), where=str(path)).profile[profile]


def config(name: str, **affinity: Any) -> Config:
    needs = presets.preset(name).needs
    if "affinity.application.name" in needs:
        affinity.setdefault("application", {"name": "SHOP"})
    if "affinity.duration" in needs:
        affinity.setdefault("duration", "1h")
    return check({"preset": name, "listener": {"port": 0}, "affinity": affinity})


def problems(name: str, **affinity: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        config(name, **affinity)
    return {each.key: each.text for each in caught.value.problems}


def test_there_is_one_for_every_vendors_profile() -> None:
    wanted = [
        f"{path.stem}/{name}"
        for path in CATALOGUE.glob("*.toml")
        if path.stem.startswith(("aws-alb", "aws-clb", "aws-nlb", "huawei"))
        for name in tomllib.loads(path.read_text(encoding="utf-8"))["profile"]
    ]
    assert set(PRESETS) >= set(wanted)


def agrees(stated: Stated[Any] | None, value: object, what: str) -> None:
    if stated is not None:
        assert value in stated.allowed, f"{what}: {value} is not {stated}"


@pytest.mark.parametrize("name", PRESETS)
def test_modes_clocks_bounds_and_reactions_are_the_catalogues(name: str) -> None:
    said, own = contract(name), config(name).affinity
    assert own.mode == said.affinity
    assert config(name).listener.protocol == said.protocol
    if own.mode != "app-cookie" or own.span is not None:
        agrees(said.duration.clock, own.clock, "clock")
        # The balancer keeps a duration of its own beside a lifetime of its cookie's: to a client both end the pin.
        words = {own.kept_by, "both"} if own.kept_by == "balancer" else {own.kept_by}
        kept_by = said.duration.kept_by
        assert kept_by is None or words & set(kept_by.allowed)
    agrees(said.duration.default, own.limits.default, "default")
    bounds = [each for each in presets.preset(name).constraint if each.setting == "affinity.duration"]
    assert {parse_duration(each.min) for each in bounds if each.min} == set(
        said.duration.min.allowed if said.duration.min else ()
    )
    assert {parse_duration(each.max) for each in bounds if each.max} == set(
        said.duration.max.allowed if said.duration.max else ()
    )
    for reaction in REACTIONS:
        given = reaction in own.reaction.model_fields_set
        if given or getattr(said.reaction, reaction) is None:
            agrees(getattr(said.reaction, reaction), getattr(own.reaction, reaction), reaction)
        else:
            stated = getattr(said.reaction, reaction)
            assert getattr(own.reaction, reaction) in stated.allowed or not stated.binding, reaction
    if said.algorithm is not None:
        names = {each.removeprefix("weighted-") for each in said.algorithm.allowed}
        # What a vendor's hash chooses nobody can tell from a rotation.
        assert config(name).pool.algorithm.removeprefix("weighted-") in names or names == {"hash"}


def attributes_agree(said: Attributes, own: CookieAttributes, span: float | None, kept_by: str) -> None:
    expires = own.expires
    for key, value in (("expires", expires), ("max_age", own.max_age)):
        stated = getattr(said, key)
        shown = "absent" if value is None else value
        if stated is not None:
            assert shown in stated.allowed, f"{key}: {shown} is not {stated}"
    agrees(said.path, own.path or "absent", "path")
    agrees(said.secure, own.secure is True, "secure")
    agrees(said.http_only, own.http_only, "http_only")
    agrees(said.same_site, own.same_site or "absent", "same_site")


@pytest.mark.parametrize("name", PRESETS)
def test_cookies_are_the_catalogues(name: str) -> None:
    said, own = contract(name), config(name).affinity
    if said.cookie is None:
        assert own.companion is None
        return
    if own.mode == "lb-cookie":
        assert said.cookie.name in (None, own.cookie.name)
        agrees(said.cookie.issued, own.cookie.issued, "issued")
        attributes_agree(said.cookie.attributes, own.cookie, own.span, own.kept_by)
        assert [twin.name for twin in said.cookie.twins] == ([own.cookie.twin.name] if own.cookie.twin else [])
        if own.cookie.twin is not None:
            twin = merged(own.cookie, own.cookie.twin)
            attributes_agree(said.cookie.twins[0].attributes, twin, own.span, own.kept_by)
        return
    assert own.companion is not None and said.cookie.companion is not None
    assert said.cookie.name == own.companion.name
    shards = said.cookie.shards
    assert (shards is None) == (own.companion.shards is None)
    if shards is not None and own.companion.shards is not None:
        mine = own.companion.shards
        assert (shards.prefix, shards.size, shards.count) == (mine.prefix, mine.size, mine.count)
    assert ("lifetime" in said.cookie.companion.mirrors) == (own.companion.lifetime == "application")
    attributes_agree(said.cookie.attributes, own.companion, own.span, own.kept_by)
    assert [twin.name for twin in said.cookie.twins] == ([own.companion.twin.name] if own.companion.twin else [])


@pytest.mark.parametrize("name", PRESETS)
def test_reserved_names_and_sources_are_the_catalogues(name: str) -> None:
    said, preset = contract(name), presets.preset(name)
    reserved = [each for constraint in preset.constraint for each in constraint.reserved or ()]
    assert reserved == list(said.application.reserved if said.application else ())
    assert all(each.source.startswith("https://") for each in preset.constraint)
    for each in preset.constraint:
        here: object = Config.model_construct(affinity=config(name).affinity, pool=config(name).pool,
                                              listener=config(name).listener)  # fmt: skip
        for key in each.setting.split("."):
            assert here is None or hasattr(here, key), f"{each.setting} is no setting"
            here = getattr(here, key, None)


def test_what_a_product_forbids_is_refused_with_setting_bound_and_source() -> None:
    found = problems("aws-alb/application-cookie", duration="8d", application={"name": "AWSALBTGX"})
    assert found["affinity.duration"].startswith("8d is above 7d, the most that aws-alb/application-cookie (https://")
    assert (
        'begin with "AWSALB" are reserved by aws-alb/application-cookie (https://' in found["affinity.application.name"]
    )
    found = problems("huawei-elb/lb-cookie", duration="30s")
    assert found["affinity.duration"].startswith("30s is below 1m, the least that huawei-elb/lb-cookie (https://")
    found = problems("aws-clb/duration-cookie", cookie={"secure": True, "name": "X"})
    assert "is not false, which is all that" in found["affinity.cookie.secure"]
    assert '"X" is not "AWSELB"' in found["affinity.cookie.name"]
    found = problems("huawei-elb/application-cookie", store="hash-modulo", application={"name": "SHOP!"})
    assert 'is not "table", which is all that huawei-elb/application-cookie (https://' in found["affinity.store"]
    assert "holds '!' beside letters, digits and -_., which are all" in found["affinity.application.name"]
    found = problems("huawei-elb/source-ip", application={"name": "SHOP"})
    assert "it is given, and huawei-elb/source-ip (https://" in found["affinity.application"]
    with pytest.raises(ConfigError, match=r"affinity\.duration: it is missing, and aws-clb/duration-cookie \(https"):
        check({"preset": "aws-clb/duration-cookie", "listener": {"port": 0}})
    with pytest.raises(ConfigError, match=r'listener\.protocol: "tcp" is not "http"'):
        check({"preset": "aws-alb/duration-cookie", "listener": {"port": 0, "protocol": "tcp"}})
    with pytest.raises(ConfigError, match=r'no preset "aws-alb/duration" .did you mean "aws-alb/duration-cookie"'):
        check({"preset": "aws-alb/duration", "listener": {"port": 0}})


def test_settings_of_a_file_lie_over_those_of_its_preset() -> None:
    own = config("aws-alb/duration-cookie", duration="3h", cookie={"twin": {"path": "/shop"}}).affinity
    assert (own.duration, own.cookie.name, own.cookie.expires) == (10800.0, "AWSALB", 604800.0)
    assert own.cookie.twin is not None
    assert (own.cookie.twin.name, own.cookie.twin.path) == ("AWSALBCORS", "/shop")
    assert Affinity().cookie.name == "LIMPET"


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--presets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == PRESETS
    right = ["--preset", "aws-alb/duration-cookie", "--listen", "127.0.0.1:0", "--backend", "b1=127.0.0.1:9001"]
    assert main([*right, "--check"]) == 0
    assert capsys.readouterr().err == "aws-alb/duration-cookie: ok\n"
    assert main([*right[:2], "--check"]) == 2
    assert "name at least one: --backend b1=" in capsys.readouterr().err
    assert main([*right[:2], "--backend", "b1", "--listen", "8080", "--check"]) == 2
    said = capsys.readouterr().err
    assert "--backend: 'b1': write NAME=HOST:PORT" in said and "--listen: '8080': write HOST:PORT" in said
    file = tmp_path / "lb.toml"
    file.write_text('preset = "aws-clb/session-cookie"\n[listener]\nport = 0\n')
    assert main(["--config", str(file), "--check"]) == 0
    assert main(["--config", str(file), "--duration", "3h", "--check"]) == 2
    assert "--duration: goes with --preset; here the file says it" in capsys.readouterr().err
    assert main(["--check"]) == 2
