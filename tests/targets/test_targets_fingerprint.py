"""A mode that is not on is never judged: what shows that it is, and that this does not show when it is off."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault, UsageFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member, RunningTarget, fingerprint, load
from limpet.harness.targets.bundled import missing
from limpet.harness.targets.load import LoadedTarget, names
from limpet.harness.targets.render import Address, Situation, render

MakeTarget = Callable[..., Path]
MEMBERS = (Member("b1", "127.0.0.1", 9), Member("b2", "127.0.0.1", 10), Member("b3", "127.0.0.1", 11))
ANSWERS = """
[launch]
command = ["{python}", "-c", "{options.script}", "{balancer.host}", "{balancer.port}"]
ready = "http"
config = "toy.conf.j2"
[options]
script = '''
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Set-Cookie", "TOY=1; Path=/")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *what):
        pass
print("listening", flush=True)
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Answer).serve_forever()
'''
"""


def real_and_sticky() -> list[LoadedTarget]:
    found = [load(name) for name in names()]
    return [one for one in found if one.target.launch and one.target.launch.command and one.own.affinity != "none"]


def quick(loaded: LoadedTarget) -> LoadedTarget:
    """The same, with less patience: the balancer is ready, so that what there is to see can be seen."""
    wanted = loaded.target.fingerprint
    assert wanted is not None
    state = tuple(step.model_copy(update={"timeout": 1.0}) for step in wanted.state)
    target = loaded.target.model_copy(update={"fingerprint": wanted.model_copy(update={"state": state})})
    return replace(loaded, target=target)


def one_of_each_kind() -> list[str]:
    """Targets that have not yet the product and the way of looking of another."""
    found: dict[tuple[str, bool, str], str] = {}
    for loaded in real_and_sticky():
        wanted = loaded.target.fingerprint
        assert loaded.target.launch is not None
        if loaded.target.launch.own_host:
            continue  # tests/lab/test_nftables.py looks at it in a lab
        if wanted is not None and (wanted.cookie or wanted.state):
            seen = " ".join(step.until for step in wanted.state)
            found.setdefault((loaded.product, bool(wanted.cookie), seen), loaded.target.name)
    return sorted(found.values())


def test_every_sticky_target_of_a_real_balancer_has_one() -> None:
    without = [loaded.target.name for loaded in real_and_sticky() if loaded.target.fingerprint is None]
    assert not without, f"no [fingerprint] in {', '.join(without)}"


def configuration(loaded: LoadedTarget, *, sticky: bool) -> str:
    launch = loaded.target.launch
    assert launch is not None
    situation = Situation(
        balancer=Address("127.0.0.9", 80, "http://127.0.0.9:80"), admin=Address("127.0.0.8", 81, "http://127.0.0.8:81"),
        token="t", secret="c2VjcmV0", workdir=Path("/w"), python="python", generation=1, members=MEMBERS,
        affinity_enabled=sticky,
    )  # fmt: skip
    texts = [render(loaded.directory, config.template, situation, loaded.own, loaded.target.options)
             for config in launch.config]  # fmt: skip
    return "\n".join(texts)


@pytest.mark.parametrize("loaded", real_and_sticky(), ids=lambda one: one.target.name)
def test_the_directive_is_there_only_where_the_mode_is_on(loaded: LoadedTarget) -> None:
    wanted = loaded.target.fingerprint
    if wanted is None or not wanted.directive:
        pytest.skip("goes by what the balancer says or does")
    assert re.search(wanted.directive, configuration(loaded, sticky=True), re.MULTILINE)
    assert not re.search(wanted.directive, configuration(loaded, sticky=False), re.MULTILINE)


@pytest.mark.balancers
@pytest.mark.parametrize("name", one_of_each_kind())
def test_it_shows_when_the_mode_is_on_and_not_when_it_is_off(
    name: str, tmp_path: Path, keeper: Keeper, lease: LoopbackLease, members: list[Member],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    loaded = load(name)
    if reason := missing(loaded):
        pytest.skip(reason)
    on = RunningTarget(loaded, keeper=keeper, lease=lease, workdir=tmp_path / "on", members=members)
    on.start()
    on.stop()
    monkeypatch.setattr(fingerprint, "PATIENCE", 1.0)
    off = RunningTarget(
        replace(quick(loaded), sticky=False), keeper=keeper, lease=lease, workdir=tmp_path / "off", members=members
    )
    off.start()
    try:
        with pytest.raises(SetupFault, match="the mode is not on"):
            off.check_fingerprint()
    finally:
        off.stop()


@pytest.mark.parametrize(
    ("wanted", "missed"),
    [
        ("directive = '^sticky on$'", ""),
        ("directive = '^sticky of'", "no line of its configuration matches"),
        ("cookie = 'TO.'", ""),
        ("cookie = 'TO'", "its first answer sets no cookie 'TO'; last seen: 200 with TOY"),
        ("state = { http = 'GET {balancer.url}/', until = '^$' }", ""),
        ("state = { http = 'GET {balancer.url}/', until = 'sticky', timeout = '0.2s' }", "waited 0.2 s for 'sticky'"),
    ],
)
def test_what_is_looked_at(
    make_target: MakeTarget, tmp_path: Path, keeper: Keeper, lease: LoopbackLease, wanted: str, missed: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(fingerprint, "PATIENCE", 0.3)
    template = "{{ 'sticky on' if affinity_enabled }}\n"
    directory = make_target(f"{ANSWERS}[fingerprint]\n{wanted}\n", toy__conf__j2=template)
    target = RunningTarget(load(directory), keeper=keeper, lease=lease, workdir=tmp_path / "work", members=MEMBERS)
    try:
        if not missed:
            target.start()
            return
        with pytest.raises(SetupFault) as caught:
            target.start()
        assert "the mode is not on" in str(caught.value) and missed in str(caught.value)
        assert "listening" in str(caught.value), "with the balancer's own words"
        assert not target.alive()
    finally:
        target.stop()


@pytest.mark.parametrize(
    ("wanted", "wrong"),
    [
        ("", "shows nothing"),
        ("cookie = '('", "no regular expression"),
        ("state = { http = 'GET http://x/' }", "needs `until`"),
    ],
)
def test_one_that_cannot_show_anything_is_refused(make_target: MakeTarget, wanted: str, wrong: str) -> None:
    with pytest.raises(UsageFault, match=wrong):
        load(make_target(f"{ANSWERS}[fingerprint]\n{wanted}\n", toy__conf__j2=""))
