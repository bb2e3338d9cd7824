"""The files of docker-compose.yml fit each other. That it runs, CI shows (.ci/compose)."""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from pathlib import Path

from limpet.harness.containers.subnets import PREFIX, RANGES, candidates
from limpet.harness.targets.load import BUNDLED, load
from limpet.reference_lb.main import main as balancer

ROOT = Path(__file__).parents[2]
EXAMPLE = BUNDLED.parent / "examples" / "compose"
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")


def test_each_backend_has_its_proxy_and_its_member() -> None:
    target = load(EXAMPLE).target
    names = [member.name for member in target.backends.member]
    proxies = {each["name"]: each for each in json.loads((EXAMPLE / "toxiproxy.json").read_text("utf-8"))}
    members = tomllib.loads((EXAMPLE / "balancer.toml").read_text("utf-8"))["pool"]["member"]
    assert sorted(proxies) == sorted(names) == sorted(each["name"] for each in members)
    for each in members:
        assert each["host"] == "toxiproxy"
        assert proxies[each["name"]]["listen"] == f"0.0.0.0:{each['port']}"
        assert proxies[each["name"]]["upstream"] == f"{each['name']}:8000"
        assert re.search(rf"^  {each['name']}:", TEXT, re.MULTILINE)


def test_the_balancer_takes_its_file_and_promises_what_the_target_says() -> None:
    assert balancer(["--config", str(EXAMPLE / "balancer.toml"), "--check"]) == 0
    affinity = tomllib.loads((EXAMPLE / "balancer.toml").read_text("utf-8"))["affinity"]
    contract = load(EXAMPLE).contract
    assert contract.cookie is not None and affinity["cookie"]["name"] == contract.cookie.name
    assert affinity["mode"] == contract.affinity
    assert affinity["duration"] == f"{contract.duration.value:g}s"


def test_the_stack_has_no_way_out_and_documentation_addresses() -> None:
    assert "internal: true" in TEXT and "ports:" not in TEXT
    subnets = re.findall(r"\d+\.\d+\.\d+\.\d+/\d+", TEXT)
    assert subnets
    for each in map(ipaddress.IPv4Network, subnets):
        assert any(each.subnet_of(wide) for wide in RANGES)
        # A run of limpet's own containers on the same machine begins with others.
        assert not next(iter(candidates([]))).overlaps(each) and each.prefixlen <= PREFIX
