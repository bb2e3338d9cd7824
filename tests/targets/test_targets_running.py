"""A balancer's life: start, faults at the start, verbs, stop, and nothing left behind."""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault, UsageFault
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member, RunningTarget, launching, load
from limpet.harness.targets.answers import accepts

MakeTarget = Callable[..., Path]
MEMBERS = (Member("b1", "127.0.0.1", 9), Member("b2", "127.0.0.1", 10, weight=2, drain=True))
SERVER = """
[launch]
command = ["{python}", "-m", "http.server", "{balancer.port}", "--bind", "{balancer.host}", "-d", "{workdir}"]
ready = "http"
version = ["{python}", "--version"]
"""


@pytest.fixture
def running(tmp_path: Path, keeper: Keeper, lease: LoopbackLease) -> Callable[[Path], RunningTarget]:
    def make(directory: Path) -> RunningTarget:
        return RunningTarget(load(directory), keeper=keeper, lease=lease, workdir=tmp_path / "work", members=MEMBERS)

    return make


def test_start_restart_and_stop(make_target: MakeTarget, running: Callable[[Path], RunningTarget]) -> None:
    target = running(make_target(SERVER + '[control]\nrestart = "relaunch"\n'))
    assert not target.alive()
    target.start()
    try:
        assert target.alive()
        assert accepts(target.host, target.port, timeout=2)
        target.restart()
        assert accepts(target.host, target.port, timeout=2)
        assert target.version() == ".".join(map(str, sys.version_info[:3]))
    finally:
        target.stop()
    target.stop()
    assert not target.alive()
    assert not accepts(target.host, target.port, timeout=2)


def test_what_dies_while_starting_shows_its_last_words(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget]
) -> None:
    text = '[launch]\ncommand = ["sh", "-c", "echo line 3: bad word >&2; exit 1"]\n'
    with pytest.raises(SetupFault) as caught:
        running(make_target(text)).start()
    assert "ended while starting" in str(caught.value)
    assert "line 3: bad word" in str(caught.value)


def test_never_ready_ends_the_process(make_target: MakeTarget, running: Callable[[Path], RunningTarget]) -> None:
    target = running(make_target('[launch]\ncommand = ["sleep", "60"]\nready_timeout = "0.2s"\n'))
    with pytest.raises(SetupFault, match=r"not ready after 0\.2 s: .* does not accept connections"):
        target.start()
    assert not target.alive()


def test_ready_by_its_output(make_target: MakeTarget, running: Callable[[Path], RunningTarget]) -> None:
    target = running(make_target('[launch]\ncommand = ["sh", "-c", "echo up; sleep 60"]\nready = "log:^up$"\n'))
    target.start()
    assert target.last_lines() == "up"
    target.stop()


def test_port_in_use_is_no_readiness(make_target: MakeTarget, running: Callable[[Path], RunningTarget]) -> None:
    target = running(make_target(SERVER))
    with socket.create_server((target.host, target.port)), pytest.raises(SetupFault, match="Address already in use"):
        target.start()
    assert not target.alive()


def test_command_that_does_not_exist(make_target: MakeTarget, running: Callable[[Path], RunningTarget]) -> None:
    with pytest.raises(SetupFault, match="command not found"):
        running(make_target('[launch]\ncommand = ["no-such-balancer"]\n')).start()


def test_missing_binary_says_how_to_install_it(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget]
) -> None:
    binary = '{ name = "nolb", package = "nolb_wheel", install = "pip install nolb" }'
    text = f'[launch]\nbinary = {binary}\ncommand = ["{{nolb}}"]\n'
    with pytest.raises(SetupFault, match=r"nolb not found in PATH and the package nolb_wheel(.|\n)*pip install nolb"):
        running(make_target(text)).start()


def test_templates_see_the_deployment_and_its_contract(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget]
) -> None:
    template = (
        "{{ balancer.host }} {{ contract.cookie.name }} {{ contract.duration.seconds }} {{ contract.duration.text }} "
        "{{ options.speed }}\n"
        "{% for m in members %}{{ m.name }}:{{ m.port }}:{{ m.weight }}:{{ m.drain }}\n{% endfor %}"
    )
    text = '[contract]\nduration = "3s"\n' + SERVER + 'config = "lb.j2"\n[options]\nspeed = 3\n'
    target = running(make_target(text, lb__j2=template))
    assert target.text_of("lb.j2") == f"{target.host} TOY 3.0 3s 3\nb1:9:1:False\nb2:10:2:True\n"


def test_unknown_template_variable_names_file_line_and_word(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget]
) -> None:
    target = running(make_target(SERVER + 'config = "lb.j2"\n', lb__j2="one\n{{ mambers }}\n"))
    with pytest.raises(UsageFault, match=r"lb\.j2: line 2: 'mambers' is undefined(.|\n)*members"):
        target.start()


def test_apply_renders_the_new_pool(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget], tmp_path: Path
) -> None:
    text = SERVER + (
        'config = "pool.j2"\n[control]\napply = [{ render = "pool.j2" }]\ncovers = ["add", "affinity"]\n'
        'settled = { http = "GET {balancer.url}/pool", until = "^{generation} " }\n'
    )
    template = "{{ generation }} {{ members | map(attribute='name') | join(' ') }} {{ affinity_enabled }}\n"
    target = running(make_target(text, pool__j2=template))
    target.start()
    try:
        target.apply([Member("b3", "127.0.0.1", 1)])
        assert (tmp_path / "work" / "pool").read_text() == "2 b3 True\n"
        target.set_affinity(False)
        assert (tmp_path / "work" / "pool").read_text() == "3 b3 False\n"
        assert not target.affinity_enabled
    finally:
        target.stop()


def test_what_it_cannot_do_has_a_reason(make_target: MakeTarget, running: Callable[[Path], RunningTarget]) -> None:
    target = running(make_target(SERVER + '[control]\napply = [{ signal = "HUP" }]\ncovers = ["add"]\n'))
    assert target.can("add") and target.can("kill") and target.can("backend-history")
    assert target.why_not("drain") == 'control.apply of toy does not cover "drain"'
    assert target.why_not("advance_clock") == "toy has no control.advance_clock"
    with pytest.raises(SetupFault, match=r"no control\.reload"):
        target.reload()
    with pytest.raises(KeyError):
        target.can("fly")


OWN = """
[endpoint]
url = "http://{address}"
[backends]
owner = "yours"
kill = [{{ exec = ["sh", "-c", "echo {{backend.name}} {{backend.port}} >>killed"] }}]
member = [{{ name = "b1", host = "127.0.0.1", port = 9 }}, {{ name = "b2", host = "127.0.0.1" }}]
[control]
noticed_down = {{ exec = ["cat", "killed"], until = "^{{backend.name}} " }}
"""


def test_own_backends_are_killed_by_own_commands(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget]
) -> None:
    directory = make_target(OWN.format(address="127.0.0.1:1"))
    target = running(directory)
    assert target.noticed("b1", up=False) is False
    assert target.noticed("b1", up=True) is None
    target.backend_verb("kill", "b1")
    assert (directory / "killed").read_text() == "b1 9\n"
    assert target.noticed("b1", up=False) is True
    assert target.why_not("revive") == "toy has no backends.revive for b1, b2"
    assert "nobody knows" in target.why_not("identity")
    assert target.alive()


def test_running_balancer_that_answers_nothing_or_garbage(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget], lease: LoopbackLease
) -> None:
    host, port = lease.next_endpoint()
    target = running(make_target(OWN.format(address=f"{host}:{port}")))
    with pytest.raises(SetupFault, match=r"does not answer: .*Connection refused(.|\n)*Is it running"):
        target.start()
    with socket.create_server((host, port)) as server:
        server.settimeout(10)

        def garbage() -> None:
            channel, _ = server.accept()
            with channel:
                channel.recv(1000)
                channel.sendall(b"\x15\x03\x01\x00\x02\x02\n")

        thread = threading.Thread(target=garbage)
        thread.start()
        with pytest.raises(SetupFault, match="answers, but not in HTTP"):
            target.start()
        thread.join()


def test_an_end_at_a_verb_is_put_down_to_it(make_target: MakeTarget, running: Callable[[Path], RunningTarget]) -> None:
    """Its new configuration may be at fault, which the target's author wrote."""
    script = 'trap "echo bad word in line 3; exit 3" HUP; echo up; while :; do sleep 0.01; done'
    launch = f'[launch]\ncommand = ["sh", "-c", \'{script}\']\nready = "log:^up$"\n'
    target = running(make_target(launch + '[control]\nreload = [{ signal = "HUP" }]\n'))
    target.start()
    assert target.ended() is None
    target.reload()
    deadline = time.monotonic() + 20
    while target.alive():
        assert time.monotonic() < deadline, "it did not end"
        time.sleep(0.01)
    end = target.ended()
    assert end is not None and (end.code, end.during) == (3, "reload")
    target.stop()
    assert target.ended() == end, "what ended before it was stopped has ended by itself"


@pytest.mark.parametrize(
    ("ready", "missing"), [("http:404", ""), ("http", ""), ("http:200", "answers 404 .*, not 200")]
)
def test_ready_with_a_status(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget], ready: str, missing: str
) -> None:
    target = running(make_target(SERVER))
    launch = target.target.launch
    assert launch is not None
    target.start()
    try:
        asked = launching._not_ready(target, launch.model_copy(update={"ready": ready}), f"{target.url}/nothing")
        assert re.search(f"(?s){missing}", asked) and bool(asked) is bool(missing)
    finally:
        target.stop()


@pytest.mark.parametrize("word", ["http:", "http:20", "https", "http:999", "udp"])
def test_ready_is_one_of_the_known_words(make_target: MakeTarget, word: str) -> None:
    with pytest.raises(UsageFault, match="valid: tcp, http, http:STATUS, log:REGEX"):
        load(make_target(SERVER.replace('"http"', f'"{word}"')))


def test_a_running_balancer_may_come_up_late(
    make_target: MakeTarget, running: Callable[[Path], RunningTarget], lease: LoopbackLease
) -> None:
    host, port = lease.next_endpoint()
    text = OWN.format(address=f"{host}:{port}").replace("[backends]", 'wait = "60s"\n[backends]', 1)
    target = running(make_target(text))

    def late() -> None:
        with socket.create_server((host, port)) as server:
            server.settimeout(60)
            channel, _ = server.accept()
            with channel:
                channel.recv(1000)
                channel.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    timer = threading.Timer(0.3, late)
    timer.start()
    target.start()  # which refuses at first
    timer.join()


def test_what_limpet_launches_is_not_waited_for_that_way(make_target: MakeTarget) -> None:
    with pytest.raises(UsageFault, match="ready_timeout"):
        load(make_target(SERVER + '[endpoint]\nwait = "5s"\n'))
