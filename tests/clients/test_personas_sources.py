from __future__ import annotations

import ipaddress
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.harness.clients.personas import persona
from limpet.harness.clients.sources import SourcePool
from limpet.harness.model.errors import HarnessFault, SetupFault


def test_same_seed_same_people_in_any_order():
    forward = [persona(7, n) for n in range(20)]
    persona.cache_clear()
    assert [persona(7, n) for n in reversed(range(20))] == forward[::-1]
    assert len({p.name for p in forward}) > 15
    assert [persona(8, n) for n in range(20)] != forward


def test_same_people_in_another_process():
    code = "from limpet.harness.clients.personas import persona; print(ascii([persona('x', n) for n in range(9)]))"
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert other.strip() == ascii([persona("x", n) for n in range(9)])


def test_people_fit_into_headers():
    for n in range(200):
        p = persona("fit", n)
        assert p.email.endswith(("@example.com", "@example.net", "@example.org")) and p.email.isascii()
        for _, value in p.headers:
            assert value.isascii() and value.isprintable() and value == value.strip()
        assert 1 <= len(set(p.cart)) == len(p.cart) and p.city and "." not in p.email.partition("@")[0][0]


def test_faker_is_imported_late():
    code = "import sys, limpet.harness.clients.personas; sys.exit('faker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def key(address: str, prefix: int) -> int:
    return int(ipaddress.IPv4Address(address)) >> (32 - prefix)


@settings(deadline=None)
@given(st.integers(10, 32), st.integers(0, 5))
def test_keys_are_distinct(prefix, seed):
    pool = SourcePool(seed, prefix_v4=prefix)
    drawn = [pool.draw() for _ in range(min(100, 2 ** (prefix - 9)))]
    assert len({key(a, prefix) for a in drawn}) == len(drawn)
    for address in drawn:
        assert ipaddress.IPv4Address(address) in ipaddress.IPv4Network("127.128.0.0/9")
        assert address.rpartition(".")[2] not in ("0", "255")
    again = SourcePool(seed, prefix_v4=prefix)
    assert [again.draw() for _ in drawn] == drawn


def test_siblings_and_outsiders():
    pool = SourcePool(1, prefix_v4=24)
    home = pool.draw()
    family = {home, *(pool.sibling(home) for _ in range(253))}
    assert len(family) == 254 and len({key(a, 24) for a in family}) == 1
    with pytest.raises(SetupFault):
        pool.sibling(home)
    near = pool.outside(home)
    assert key(near, 24) != key(home, 24) and key(near, 23) == key(home, 23)
    assert key(pool.outside(home), 24) not in {key(home, 24), key(near, 24)}
    with pytest.raises(HarnessFault):
        SourcePool(1).sibling("127.128.0.1")


def test_limits():
    pool = SourcePool(1, prefix_v4=11)
    assert len({pool.draw() for _ in range(4)}) == 4
    for exhausted in (pool.draw, lambda: pool.outside("127.128.0.1")):
        with pytest.raises(SetupFault):
            exhausted()
    with pytest.raises(SetupFault):
        SourcePool(1, prefix_v4=8)
