from __future__ import annotations

import http.server
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets import Member

PROFILE = """
[product]
name = "toy"
title = "Toy"
documentation = "https://example.org/"

[profile.sticky]
title = "sticky"
layer = 7
affinity = "lb-cookie"
algorithm = ["round-robin", "least-connections"]
[profile.sticky.cookie]
name = "TOY"
attributes = { path = "/" }
[profile.sticky.duration]
default = "20m"
min = "1s"
max = "1h"
[profile.sticky.reaction]
unhealthy = "repin"
recovered = { allowed = ["stay"], status = "inferred" }

[profile.plain]
title = "plain"
layer = 7
affinity = "none"
"""

HEAD = 'name = "toy"\nprofile = "toy/sticky"\n'
SERVER = """
[launch]
command = ["{python}", "-m", "http.server", "{balancer.port}", "--bind", "{balancer.host}", "-d", "{workdir}"]
ready = "http"
"""

MakeTarget = Callable[..., Path]


@pytest.fixture
def make_target(tmp_path: Path) -> MakeTarget:
    """Writes a target directory; `files` are more files in it."""

    def make(text: str, *, head: str = HEAD, profile: str = PROFILE, **files: str) -> Path:
        directory = tmp_path / "toy"
        directory.mkdir(exist_ok=True)
        (directory / "target.toml").write_text(head + text)
        (directory / "profile.toml").write_text(profile)
        for name, content in files.items():
            (directory / name.replace("__", ".")).write_text(content)
        return directory

    return make


@pytest.fixture
def toy_profile() -> str:
    """The profile.toml that `make_target` writes."""
    return PROFILE


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    with Keeper(preload=["limpet.reference_lb.main"]) as one:
        yield one


@pytest.fixture(scope="session")
def lease() -> Iterator[LoopbackLease]:
    with LoopbackLease() as one:
        yield one


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers with its own address; ``/login`` hands out a session in a cookie and in a header."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        text = str(self.server.server_address[0]).encode()  # type: ignore[index]
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        if self.path == "/login":
            made = secrets.token_hex(8)
            self.send_header("Set-Cookie", f"SHOPSESSION={made}; Path=/")
            self.send_header("Mcp-Session-Id", made)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def members(lease: LoopbackLease) -> Iterator[list[Member]]:
    """Three backends that answer with their address: b1, b2, b3."""
    servers = [http.server.ThreadingHTTPServer(lease.next_endpoint(), Backend) for _ in range(3)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    addresses = [server.server_address for server in servers]
    yield [Member(f"b{n}", str(host), int(port)) for n, (host, port, *_) in enumerate(addresses, 1)]
    for server in servers:
        server.shutdown()
        server.server_close()
