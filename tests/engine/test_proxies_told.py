"""How proxies say whom they speak for, in all the ways that mean the same, and who stands beside them."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import Any

import pytest

from limpet.harness.engine.proxies import beside_proxies, forwarding, forwarding_lines
from limpet.harness.model.contract.client_address import ClientAddress
from limpet.harness.model.history import Sent
from limpet.harness.model.oracle.addresses import client_address

TRUSTED = "127.0.100.0/24"
PATH = ["203.0.113.9", "2001:db8::a:1", "127.0.100.7"]


def scene(said: ClientAddress | None, *, proxies: tuple[str, ...] = (), local: bool = True) -> Any:
    return SimpleNamespace(
        contract=SimpleNamespace(client_address=said),
        rng=random.Random(7),
        system=SimpleNamespace(site=SimpleNamespace(proxies=proxies), local=local),
    )


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_every_way_to_write_it_means_the_same_address(header: Any) -> None:
    said = ClientAddress(forwarded=header, trusted=(TRUSTED,), joined=header != "x-real-ip")
    s, path = scene(said), PATH[1:2] if header == "x-real-ip" else PATH
    found = [tuple(forwarding_lines(s, path)) for _ in range(200)]
    for lines in found:
        sent = Sent("r1", 0.0, "x", "", "127.0.100.3", headers=lines)
        assert client_address(sent, said) == PATH[1]
    assert len({len(lines) for lines in found}) == (1 if header == "x-real-ip" else 2)
    assert len({name for lines in found for name, _ in lines}) == 2
    text = " ".join(value for lines in found for _, value in lines)
    assert "2001:db8::a:1" in text and "2001:DB8::A:1" in text and "2001:0db8:0000" in text
    assert header != "x-forwarded-for" or (",2001" in text and ", 2001" in text)


def test_without_a_word_about_several_lines_there_is_one() -> None:
    s = scene(ClientAddress(forwarded="x-forwarded-for", trusted=(TRUSTED,)))
    assert {value.count(",") for _, value in (forwarding(s, PATH) for _ in range(20))} == {2}
    assert {len(forwarding_lines(s, PATH)) for _ in range(20)} == {1}


def test_a_header_of_one_address_is_no_list() -> None:
    with pytest.raises(ValueError, match="a header that is a list"):
        ClientAddress(forwarded="x-real-ip", trusted=(TRUSTED,), joined=True)


def test_who_stands_beside_the_trusted_proxies_is_in_no_trusted_network() -> None:
    s = scene(ClientAddress(forwarded="x-forwarded-for", trusted=(TRUSTED, "127.0.101.0/24", "10.0.0.0/8")))
    for _ in range(50):
        found = beside_proxies(s)
        assert found
        for each in found:
            assert ip_address(each) in ip_network("127.0.0.0/16")
            assert not any(ip_address(each) in ip_network(one) for one in (TRUSTED, "127.0.101.0/24"))


def test_beside_nobody_is_nobody() -> None:
    believed = ClientAddress(forwarded="x-forwarded-for", trusted=(TRUSTED,))
    assert beside_proxies(scene(None)) == []
    assert beside_proxies(scene(ClientAddress(forwarded="x-forwarded-for", hops=1))) == []
    assert beside_proxies(scene(ClientAddress(forwarded="x-forwarded-for", trusted=("10.0.0.0/8",)))) == []
    assert beside_proxies(scene(believed, proxies=("192.0.2.0/28",))) == []
    assert beside_proxies(scene(believed, local=False)) == []
