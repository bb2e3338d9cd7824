from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.reference_lb.parts.client_address import ForwardedAddress, Trusted
from limpet.reference_lb.parts.records import RequestHead
from limpet.reference_lb.settings.load import check
from limpet.reference_lb.settings.problems import ConfigError
from limpet.reference_lb.transport.proxy_protocol import NoHeader, read

PROXY = "10.0.0.1"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def of(header: str, *values: str, source: str = PROXY, name: str | None = None) -> str:
    """Whose request it is, of a connection from `source` with these header lines."""
    known = ForwardedAddress(header, Trusted(["10.0.0.0/8", "2001:db8:1::/48"]))
    lines = [((name or header).encode(), value.encode("latin-1")) for value in values]
    return known.of(RequestHead(source, 1, headers=lines))


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ((), PROXY),
        (("",), PROXY),
        (("192.0.2.1",), "192.0.2.1"),
        (("6.6.6.6, 192.0.2.1",), "192.0.2.1"),
        (("6.6.6.6", "192.0.2.1"), "192.0.2.1"),
        (("192.0.2.1, 10.0.0.9",), "192.0.2.1"),
        (("6.6.6.6, 192.0.2.1 , 10.0.0.9,10.0.0.8",), "192.0.2.1"),
        (("10.0.0.7, 10.0.0.9",), "10.0.0.7"),
        (("192.0.2.1, unknown, 10.0.0.9",), "10.0.0.9"),
        (("nonsense",), PROXY),
        (("192.0.2.1:4711",), "192.0.2.1"),
        (("[2001:db8::5]:80",), "2001:db8::5"),
        (("2001:db8::5",), "2001:db8::5"),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(values: tuple[str, ...], address: str) -> None:
    assert of("x-forwarded-for", *values, name="X-Forwarded-For") == address


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (("for=192.0.2.1",), "192.0.2.1"),
        (('For="192.0.2.1:80";proto=http;by=10.0.0.1',), "192.0.2.1"),
        (('for="[2001:db8::5]:4711"',), "2001:db8::5"),
        (("for=6.6.6.6, for=192.0.2.1",), "192.0.2.1"),
        (('for=6.6.6.6;x="a,b;for=7.7.7.7", for=192.0.2.1',), "192.0.2.1"),
        (("for=192.0.2.1, for=10.0.0.9",), "192.0.2.1"),
        (("for=192.0.2.1, for=_hidden",), PROXY),
        (("for=192.0.2.1, for=unknown, for=10.0.0.9",), "10.0.0.9"),
        (("proto=http",), PROXY),
    ],
)
def test_forwarded_is_read_by_its_grammar(values: tuple[str, ...], address: str) -> None:
    assert of("forwarded", *values) == address


def test_x_real_ip_holds_one_address() -> None:
    assert of("x-real-ip", "192.0.2.1") == "192.0.2.1"
    assert of("x-real-ip", "6.6.6.6", "192.0.2.1") == "192.0.2.1"
    assert of("x-real-ip", "10.0.0.9") == "10.0.0.9"


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "forwarded"])
def test_strangers_and_other_headers_are_not_believed(header: str) -> None:
    value = "for=6.6.6.6" if header == "forwarded" else "6.6.6.6"
    assert of(header, value, source="192.0.2.9") == "192.0.2.9"
    assert of(header, "6.6.6.6", name="x-client-ip") == PROXY
    assert of(header, value, source="::ffff:10.0.0.1") == "6.6.6.6"
    assert of(header, value, source="") == ""


@given(st.lists(st.text(alphabet='for=",;[]:.\\ 10a', max_size=30), max_size=3))
def test_no_header_breaks_it(values: list[str]) -> None:
    for header in ("x-forwarded-for", "x-real-ip", "forwarded"):
        of(header, *values)


def binary(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body) if length is None else length) + body


FOUR = bytes([192, 0, 2, 1, 127, 0, 0, 1]) + struct.pack("!HH", 4711, 80)
SIX = bytes.fromhex("20010db8") + bytes(11) + b"\5" + bytes(15) + b"\1" + struct.pack("!HH", 4711, 80)


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n", "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::5 ::1 4711 80\r\n", "2001:db8::5"),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""),
        (binary(1, 0x11, FOUR), "192.0.2.1"),
        (binary(1, 0x21, SIX), "2001:db8::5"),
        (binary(1, 0x11, FOUR + b"\4\0\1x"), "192.0.2.1"),  # with a TLV behind the addresses
        (binary(0, 0x11, FOUR), ""),
        (binary(1, 0x31, bytes(216)), ""),
        (binary(1, 0, b""), ""),
    ],
)
def test_a_proxy_header_is_read_however_it_arrives(data: bytes, source: str) -> None:
    for size in range(len(data)):
        assert read(data[:size]) is None
    assert read(data + b"GET / HTTP/1.1\r\n") == (source, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.1 127.0.0.1 4711\r\n",
        b"PROXY TCP4 2001:db8::5 ::1 4711 80\r\n",
        b"PROXY TCP4 192.0.2.1 127.0.0.1 4711 99999\r\n",
        b"PROXY UDP4 192.0.2.1 127.0.0.1 4711 80\r\n",
        b"PROXY TCP4 192.0.2.one 127.0.0.1 4711 80\r\n",
        b"PROXY " + b"x" * 200,
        SIGNATURE + b"\x31\x11\0\x0c" + FOUR,
        SIGNATURE + b"\x22\x11\0\x0c" + FOUR,
        binary(1, 0x11, FOUR[:8]),
    ],
)
def test_what_is_no_proxy_header_is_refused(data: bytes) -> None:
    with pytest.raises(NoHeader):
        read(data)


@pytest.mark.parametrize(
    ("listener", "key"),
    [
        ({"forwarded": "x-forwarded-for"}, "listener.trusted"),
        ({"proxy_protocol": True}, "listener.trusted"),
        ({"trusted": ["10.0.0.0/8"]}, "listener.trusted"),
        ({"trusted": ["10.0.0.1/8"], "proxy_protocol": True}, "listener.trusted"),
        ({"trusted": ["10.0.0.0/8"], "proxy_protocol": True, "forwarded": "forwarded"}, "listener.forwarded"),
        ({"trusted": ["10.0.0.0/8"], "proxy_protocol": True, "tls": {}}, "listener.proxy_protocol"),
        ({"trusted": ["10.0.0.0/8"], "forwarded": "forwarded", "protocol": "tcp"}, "listener.forwarded"),
        ({"protocol": "tcp", "tls": {}}, "listener.tls"),
        ({"protocol": "tcp", "http2": True}, "listener.http2"),
        ({"tls": {"key": "key.pem"}}, "listener.tls.key"),
        ({"tls": {"certificate": "/nowhere/at/all.pem"}}, "listener.tls.certificate"),
        ({"tls": {"publish": "/nowhere/at/all.pem"}}, "listener.tls.publish"),
        ({"tls": {"certificate": "/nowhere/at/all.pem", "publish": "x.pem"}}, "listener.tls.publish"),
    ],
)
def test_what_may_not_go_together_is_named(listener: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check({"listener": {"port": 1, **listener}})
    assert any(problem.key.startswith(key) for problem in caught.value.problems), str(caught.value)
