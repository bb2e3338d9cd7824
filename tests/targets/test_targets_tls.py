"""A balancer that speaks TLS: what it must prove, and how a user says otherwise."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from limpet.harness.engine.reaching import endpoint_of
from limpet.harness.model.errors import SetupFault
from limpet.harness.model.history import Sent
from limpet.harness.model.oracle.evidence import curl
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.targets.load import load
from limpet.harness.targets.running import RunningTarget
from limpet.reference_lb.settings.config import Listener, Tls
from limpet.reference_lb.transport.tls import server_context

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
OWN = """
[endpoint]
url = "https://127.0.0.1:{port}"
{trust}
[backends]
owner = "yours"
member = [{{ name = "b1", host = "127.0.0.1", port = 1 }}]
identity = {{ header = "X-Backend" }}
"""


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of a server with a certificate of its own making, and that certificate."""
    certificate = tmp_path_factory.mktemp("tls") / "own.pem"
    context = server_context(Listener(port=0, tls=Tls(publish=str(certificate))))
    assert context is not None
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                peer.settimeout(10)
                with suppress(OSError), context.wrap_socket(peer, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(ANSWER)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1], certificate
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.fixture
def running(
    make_target: Callable[..., Path], keeper: Keeper, lease: LoopbackLease, tmp_path: Path, balancer: tuple[int, Path]
) -> Callable[[str], RunningTarget]:
    def make(trust: str) -> RunningTarget:
        directory = make_target(OWN.format(port=balancer[0], trust=trust), own__pem=balancer[1].read_text())
        return RunningTarget(load(directory), keeper=keeper, lease=lease, workdir=tmp_path / "work", members=[])

    return make


def test_a_certificate_that_nobody_vouches_for_is_not_taken_silently(running: Callable[[str], RunningTarget]) -> None:
    with pytest.raises(SetupFault, match=r"CERTIFICATE_VERIFY_FAILED(.|\n)*\[endpoint\] ca(.|\n)*verify = false"):
        running("").start()


@pytest.mark.parametrize("trust", ['ca = "own.pem"', 'ca = "{target}/own.pem"', "verify = false"])
def test_a_target_says_what_it_trusts(running: Callable[[str], RunningTarget], trust: str) -> None:
    target = running(trust)
    target.start()
    endpoint = endpoint_of(target)
    assert endpoint.scheme == "https" and endpoint.verify == (trust != "verify = false")
    assert not endpoint.ca or Path(endpoint.ca).is_file()


@pytest.mark.parametrize("trust", ['ca = "own.pem"', "verify = false"])
def test_the_request_can_be_sent_again_by_curl(running: Callable[[str], RunningTarget], trust: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    target = running(trust)
    sent = Sent("r1", 0.0, "ann", "c1", "127.0.0.1")
    again = subprocess.run(
        curl(sent, target.url, ca=target.trusted), shell=True, capture_output=True, text=True, timeout=20
    )
    assert again.returncode == 0 and again.stdout.startswith("HTTP/1.1 200"), again
    refused = subprocess.run(curl(sent, target.url), shell=True, capture_output=True, timeout=20)
    assert refused.returncode == 60, "curl's word for a certificate that it does not trust"


def test_a_ca_file_that_is_none_is_named(running: Callable[[str], RunningTarget]) -> None:
    with pytest.raises(SetupFault, match=r"target\.toml cannot be used"):
        running('ca = "target.toml"').start()
    with pytest.raises(SetupFault, match=r"nowhere\.pem cannot be used"):
        running('ca = "nowhere.pem"').start()


def test_the_made_certificate_needs_no_more_than_itself(balancer: tuple[int, Path]) -> None:
    context = ssl.create_default_context(cafile=str(balancer[1]))
    assert len(context.get_ca_certs()) <= 1 and context.cert_store_stats()["x509"] == 1


SPEAKS_TLS = """
[endpoint]
tls = true
ca = "{workdir}/own.pem"
[launch]
command = ["{python}", "{target}/server.py", "{balancer.host}", "{balancer.port}", "{workdir}/own.pem"]
certificate = "own.pem"
[control]
restart = "relaunch"
"""
SERVER = """
import http.server, ssl, sys
server = http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def test_a_balancer_gets_a_certificate_that_clients_trust_and_keeps_it(
    make_target: Callable[..., Path], keeper: Keeper, lease: LoopbackLease, tmp_path: Path
) -> None:
    directory = make_target(SPEAKS_TLS, server__py=SERVER)
    running = RunningTarget(load(directory), keeper=keeper, lease=lease, workdir=tmp_path / "work", members=[])
    running.start()
    made = (tmp_path / "work" / "own.pem").read_bytes()
    try:
        context = ssl.create_default_context(cafile=running.ca)
        plain = socket.create_connection((running.host, running.port), timeout=10)
        with context.wrap_socket(plain, server_hostname=running.host) as secure:
            assert secure.version()
        running.restart()
    finally:
        running.stop()
    assert (tmp_path / "work" / "own.pem").read_bytes() == made
    assert (tmp_path / "work" / "own.pem").stat().st_mode & 0o077 == 0
