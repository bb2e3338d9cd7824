"""Who waits for the target's request rate does not keep others from sending meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

from limpet.harness.engine.deployment import Deployment
from limpet.harness.engine.ground import Ground
from limpet.harness.engine.timeline import Timeline
from limpet.harness.network.site import LoopbackSite
from limpet.harness.targets.load import load

SITE = SimpleNamespace(clients=LoopbackSite.clients, proxies=(), lease=None)
SLOW = """
name = "slow"
profile = "nginx/round-robin"
[endpoint]
url = "http://127.0.0.1:1"
max_rate = 0.5
[backends]
member = [{ listen = "127.0.0.1:2" }]
"""


def test_the_slot_is_lent_while_the_rate_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "target.toml").write_text(SLOW)
    timeline = Timeline(1)
    ground = Ground(None, SITE, None, timeline, tmp_path, 1, None)  # type: ignore[arg-type]
    deployment = Deployment(load(tmp_path), ground, "slow")
    pacing, paced, other = threading.Event(), threading.Event(), threading.Event()

    def sends() -> None:
        with timeline.slot():
            deployment.pace()
            pacing.set()
            deployment.pace()  # two seconds from now
            paced.set()

    def goes_meanwhile() -> None:
        pacing.wait(30)
        with timeline.slot():
            seen.append(paced.is_set())
            other.set()

    seen: list[bool] = []
    threads = [threading.Thread(target=work, daemon=True) for work in (sends, goes_meanwhile)]
    for thread in threads:
        thread.start()
    assert other.wait(30) and paced.wait(30)
    timeline.cancel()
    assert seen == [False], "the slot was held for the whole pause"
