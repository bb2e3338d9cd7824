from __future__ import annotations

import datetime
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from limpet_client_servers import always, answer

from limpet.harness.clients import sockets
from limpet.harness.clients.base import Endpoint
from limpet.harness.clients.bulk import BulkPlan, run_bulk
from limpet.harness.clients.http import HttpClient
from limpet.harness.clients.raw import RawConnection
from limpet.harness.clients.sockets import tls_context


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture
def secure(serve, context):
    def handler(peer):
        with context.wrap_socket(peer.sock, server_side=True) as peer.sock:
            always(answer())(peer)

    return serve(handler)


def test_every_client_speaks_tls(secure, memory):
    endpoint = Endpoint("127.0.0.1", secure.endpoint.port, "https", "shop.example.com", verify=False)
    with HttpClient(endpoint, memory, name="ann", source="127.131.9.1", timeout=5) as ann:
        one, two = ann.get("/"), ann.get("/")
    with RawConnection(endpoint, memory, timeout=5) as raw:
        three = raw.request("ben", "GET", "/")
    bulk = run_bulk(endpoint, memory, [BulkPlan("c", requests=3)], timeout=5)
    assert [one.error, two.error, three.error, *(each.error for each in bulk)] == [""] * 6
    assert one.connection == two.connection and len({r.connection for r in bulk}) == 1
    assert one.sent.port == secure.peers[0].address[1]
    assert all("Host: shop.example.com" in lines for _, lines in secure.seen)


def test_an_invalid_certificate_is_the_targets_error(secure, memory):
    endpoint = Endpoint("127.0.0.1", secure.endpoint.port, "https", "shop.example.com")
    with HttpClient(endpoint, memory, name="ann", timeout=5) as ann, RawConnection(endpoint, memory, timeout=5) as raw:
        one, two = ann.get("/"), raw.request("ben", "GET", "/")
    bulk = run_bulk(endpoint, memory, [BulkPlan("c")], timeout=5)
    assert [one.error, two.error, *(each.error for each in bulk)] == ["malformed"] * 3


def test_a_peer_without_tls_is_the_targets_error(serve, memory):
    plain = serve(lambda peer: (peer.sock.recv(1000), peer.send(b"HTTP/1.1 400 Bad\r\n\r\n"))[0])
    endpoint = Endpoint("127.0.0.1", plain.endpoint.port, "https", verify=False)
    with HttpClient(endpoint, memory, name="ann", timeout=5) as ann:
        assert ann.get("/").error == "malformed"


def test_authority_and_names():
    assert Endpoint("::1", 8080).authority == "[::1]:8080"
    assert Endpoint("h", 443, "https").base_url == "https://h"
    assert Endpoint("127.0.0.1", 80, "http", "shop.example.com:81").tls_name == "shop.example.com"
    assert Endpoint("127.0.0.1", 80, "http", "[::1]:81").tls_name == "::1"


def test_all_threads_share_one_context_else_a_session_could_not_be_resumed() -> None:
    endpoint = Endpoint("127.0.0.1", 4433, "https", verify=False)
    sockets._context.cache_clear()
    begin = threading.Barrier(8)

    def ask(_: int) -> int:
        begin.wait()
        return id(tls_context(endpoint))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
