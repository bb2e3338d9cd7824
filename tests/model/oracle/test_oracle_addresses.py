"""Whose request it is, where proxies stand before the balancer."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from limpet.harness.model.contract.client_address import ClientAddress
from limpet.harness.model.history import Sent
from limpet.harness.model.oracle.addresses import client_address

PROXY, STRANGER = "127.0.100.1", "127.200.1.1"
TRUSTED = ("127.0.100.0/24",)


def of(said: ClientAddress | None, *values: str, source: str = PROXY, name: str = "", carried: str = "") -> str:
    header = name or (said.forwarded if said else "") or "x-forwarded-for"
    lines = tuple((header.title(), value) for value in values)
    return client_address(Sent("1", 0.0, "ann", "c1", source, headers=lines, carried=carried), said)


@pytest.mark.parametrize(
    ("header", "values", "address"),
    [
        ("x-forwarded-for", (), PROXY),
        ("x-forwarded-for", ("192.0.2.1",), "192.0.2.1"),
        ("x-forwarded-for", ("6.6.6.6", "192.0.2.1, 127.0.100.9"), "192.0.2.1"),
        ("x-forwarded-for", ("127.0.100.7, 127.0.100.9",), "127.0.100.7"),
        ("x-forwarded-for", ("192.0.2.1, nobody",), PROXY),
        ("x-real-ip", ("192.0.2.1:80",), "192.0.2.1"),
        ("forwarded", ('for=6.6.6.6, proto=http;For="[2001:db8::5]:80"',), "2001:db8::5"),
        ("forwarded", ("for=192.0.2.1, for=_hidden",), PROXY),
    ],
)
def test_a_trusted_proxy_is_believed(header: str, values: tuple[str, ...], address: str) -> None:
    said = ClientAddress.model_validate({"forwarded": header, "trusted": TRUSTED})
    assert of(said, *values) == address
    assert of(said, *values, source=STRANGER) == STRANGER
    assert of(said, *values, name="x-client-ip") == PROXY
    assert of(None, *values) == PROXY


def test_a_proxy_header_counts_by_who_sends_it() -> None:
    said = ClientAddress(proxy_protocol=("v1", "v2"), trusted=TRUSTED)
    assert of(said, carried="192.0.2.1") == "192.0.2.1"
    assert of(said) == PROXY
    assert of(said, "192.0.2.7", name="x-forwarded-for") == PROXY
    assert of(said, carried="192.0.2.1", source=STRANGER) == STRANGER


@pytest.mark.parametrize(
    ("hops", "values", "address"),
    [
        (1, (), STRANGER),
        (1, ("192.0.2.1",), "192.0.2.1"),
        (1, ("6.6.6.6, 192.0.2.1",), "192.0.2.1"),
        (1, ("192.0.2.1", "192.0.2.2"), "192.0.2.2"),
        (1, ("192.0.2.1, nobody",), STRANGER),
        (2, ("192.0.2.1",), STRANGER),
        (2, ("6.6.6.6, 192.0.2.1, 127.0.100.9",), "192.0.2.1"),
    ],
)
def test_where_whoever_connects_is_believed_the_number_of_addresses_decides(
    hops: int, values: tuple[str, ...], address: str
) -> None:
    said = ClientAddress(forwarded="x-forwarded-for", hops=hops)
    assert of(said, *values, source=STRANGER) == address


def test_a_proxy_header_counts_where_whoever_connects_is_believed() -> None:
    said = ClientAddress(proxy_protocol=("v1", "v2"), hops=1)
    assert of(said, carried="192.0.2.1", source=STRANGER) == "192.0.2.1"
    assert of(said, source=STRANGER) == STRANGER
    behind_nat = Sent("1", 0.0, "ann", "c1", STRANGER, bound="192.0.2.2")
    assert client_address(behind_nat, said) == "192.0.2.2"
    assert client_address(behind_nat, ClientAddress(proxy_protocol=("v1",), trusted=("127.0.0.0/8",))) == STRANGER


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in (
        {"trusted": ["127.0.100.1/24"]},
        {"forwarded": "forwarded", "proxy_protocol": ["v1"]},
        {"forwarded": "x-forwarded-for", "hops": 0},
        {"forwarded": "x-forwarded-for", "hops": 1, "trusted": ["127.0.100.0/24"]},
        {"proxy_protocol": ["v1"], "hops": 2},
    ):
        with pytest.raises(ValidationError):
            ClientAddress.model_validate(wrong)
