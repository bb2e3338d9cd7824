"""What limpet could not heal is told as a line that can be typed as it is."""

from __future__ import annotations

from pathlib import Path

from limpet.harness.targets.by_hand import affinity_by_hand, pool_by_hand, revived_by_hand
from limpet.harness.targets.load import LoadedTarget, load

TARGET = """
name = "mine"
profile = "reference/lb-cookie-idle"

[endpoint]
url = "http://127.0.0.1:9080"

[options]
zone = "west"

[control]
apply = [{ http = "PUT {balancer.url}/members/{options.zone}", body = "{}" }]
covers = ["add", "remove"]
affinity_on = [{ exec = ["ssh", "{balancer.host}", "stick now"] }]
affinity_off = [{ exec = ["ssh", "{balancer.host}", "stick never"] }]

[backends]
owner = "yours"
identity = { header = "X-Backend" }
revive = [{ exec = ["{target}/up", "{backend.name}", "{backend.host}:{backend.port}"] }]

[[backends.member]]
name = "one"
host = "127.0.0.1"
port = 9001

[[backends.member]]
name = "two"
host = "127.0.0.1"
port = 9002
revive = [{ exec = ["start", "the second one"] }]
"""


def mine(tmp_path: Path) -> LoadedTarget:
    (tmp_path / "target.toml").write_text(TARGET, "utf-8")
    return load(str(tmp_path))


def test_what_the_target_says_is_filled_in_and_quoted(tmp_path: Path) -> None:
    loaded = mine(tmp_path)
    assert revived_by_hand(loaded, "one") == (f"{tmp_path}/up one 127.0.0.1:9001",)
    assert revived_by_hand(loaded, "two") == ("start 'the second one'",)
    assert affinity_by_hand(loaded) == ("ssh 127.0.0.1 'stick now'",)
    assert pool_by_hand(loaded) == ("PUT http://127.0.0.1:9080/members/west",)


def test_what_only_a_running_balancer_tells_stays_a_placeholder() -> None:
    assert all("{" in line for line in pool_by_hand(load("nginx-ip-hash")))
