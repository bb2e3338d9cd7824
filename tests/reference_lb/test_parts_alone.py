from __future__ import annotations

from collections import Counter

from hypothesis import assume, given
from hypothesis import strategies as st

from limpet.reference_lb.parts import Binding, Member, MemberSpec, RequestHead, SetCookie
from limpet.reference_lb.parts.binding_stores import TableStore
from limpet.reference_lb.parts.clock import OffsetClock
from limpet.reference_lb.parts.cookie_store import CookieStore
from limpet.reference_lb.parts.cookies import ends_cookie, http_date, pairs, render, without
from limpet.reference_lb.parts.health_view import CheckedHealth
from limpet.reference_lb.parts.key_readers import AddressMask
from limpet.reference_lb.parts.key_ring import KeyRing
from limpet.reference_lb.parts.pickers import SmoothRoundRobin
from limpet.reference_lb.parts.pool import MemberPool

REQUEST = RequestHead("127.0.0.1", 1)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
times = st.floats(0, 1e11)


@given(names, times, times, names, names)
def test_values_hold_the_binding_through_rotations(b: str, created: float, used: float, home: str, source: str) -> None:
    store, binding = CookieStore(KeyRing()), Binding(b, created, used, home, source)
    value = store.token(binding)
    assert value is not None and value != store.token(binding)
    assert store.find(value) == binding
    for _ in range(7):
        store.rotate()
        found = store.find(value)
        assert found is not None and found.outdated and found.backend == b
    store.rotate()
    assert store.find(value) is None
    assert CookieStore(KeyRing()).find(value) is None


@given(st.data())
def test_no_other_text_is_a_value(data: st.DataObject) -> None:
    ring = KeyRing()
    value = ring.encrypt(Binding("b1@127.0.0.1:80", 1.0, 2.0))
    at = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.sampled_from("Ab9-_=+/ é\0"))
    changed = data.draw(st.sampled_from([value[:at], value[:at] + other + value[at + 1 :], value + other]))
    assume(changed != value)
    assert ring.decrypt(changed) is None


@given(st.text(max_size=200))
def test_garbage_is_no_value(text: str) -> None:
    assert KeyRing((bytes(32),)).decrypt(text) is None


def test_values_of_all_members_have_one_length() -> None:
    ring = KeyRing()
    assert len({len(ring.encrypt(Binding(f"{'n' * n}@127.0.0.1:9", 1, 1))) for n in range(1, 15)}) == 1


def test_adopted_ring_puts_new_configured_keys_in_front() -> None:
    old, new = bytes(32), bytes([1]) * 32
    before = CookieStore(KeyRing((old,)))
    before.rotate()
    value = before.token(Binding("b", 1, 1))
    after = CookieStore(KeyRing((new, old)))
    after.adopt(before.memory())
    assert value is not None and after.find(value) is not None
    assert after.memory().keys[0] == new and after.memory().keys[1:] == before.memory().keys


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_round_robin_gives_each_its_weight(weights: list[int]) -> None:
    members = [Member.of(MemberSpec(f"b{n}", "h", n, weight)) for n, weight in enumerate(weights)]
    picker = SmoothRoundRobin()
    got = Counter(picker.pick(members, REQUEST).name for _ in range(3 * sum(weights)))
    assert got == {f"b{n}": 3 * weight for n, weight in enumerate(weights)}


def test_pool_keeps_the_objects_of_servers_that_stay() -> None:
    pool = MemberPool()
    one, two = MemberSpec("b1", "h", 1), MemberSpec("b2", "h", 2)
    pool.apply([one, two])
    kept = pool.find(two.id)
    change = pool.apply([two._replace(weight=5, drain=True), one._replace(port=9)])
    assert [m.id for m in change.added] == ["b1@h:9"] and [m.id for m in change.removed] == ["b1@h:1"]
    assert pool.members()[0] is kept and kept is not None and (kept.weight, kept.drain) == (5, True)
    assert [m.id for m in pool.candidates()] == ["b1@h:9"]


def test_rise_fall_and_the_first_check() -> None:
    view, member = CheckedHealth(rise=2, fall=3), Member.of(MemberSpec("b", "h", 1))

    def after(*checks: bool) -> bool:
        for ok in checks:
            view.checked(member, ok)
        return view.healthy(member)

    assert not view.healthy(member)
    assert not after(False)
    view.forget(member)
    assert after(True)
    assert after(False, False, True, False, False)
    assert not after(False)
    assert not after(True, False, True)
    assert after(True)
    view.refused(member)
    assert not view.healthy(member)
    assert after(True)


def test_addresses_are_cut_to_their_prefix() -> None:
    mask = AddressMask(24, 64)
    assert mask("10.1.2.3") == mask("10.1.2.200") == mask("::ffff:10.1.2.9") == "10.1.2.0/24"
    assert mask("10.1.3.3") != mask("10.1.2.3")
    assert mask("2001:db8::1") == mask("2001:db8::ffff:1") != mask("2001:db8:0:1::1")
    assert AddressMask()("10.1.2.3") == "10.1.2.3/32"
    assert AddressMask(0, 0)("10.1.2.3") == AddressMask(0, 0)("192.0.2.1")
    assert mask("fe80::1%eth0") == "fe80::/64"
    assert mask("unix") == "unix"


def test_cookie_pairs() -> None:
    assert list(pairs(b'a=1; b = "2" ;c="x;d=; =e;f;g=h=i')) == [
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", b'"x'),
        (b"d", b""),
        (b"g", b"h=i"),
    ]


@given(st.lists(st.sampled_from([b"a=1", b" b=2", b"L=x", b" L = y", b"LL=z", b"l=q", b""]), max_size=6))
def test_stripping_leaves_no_cookie_of_the_name_and_all_others(pieces: list[bytes]) -> None:
    header = b";".join(pieces)
    left = without(header, frozenset([b"L"])) or b""
    assert [p for p in pairs(header) if p[0] != b"L"] == list(pairs(left))


def test_set_cookie_text() -> None:
    plain = SetCookie("n", "v")
    assert render(plain) == b"n=v"
    full = SetCookie("n", "v", "/p", "d.test", 784111777.9, 60, True, True, "Lax", True)
    assert render(full) == (
        b"n=v; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=60; Domain=d.test; Path=/p; Secure; HttpOnly; "
        b"SameSite=Lax; Partitioned"
    )
    assert http_date(1e18) == "Fri, 31 Dec 9999 23:59:59 GMT"


def test_what_ends_a_cookie() -> None:
    past, future = b" Expires=Thu, 01 Jan 1970 00:00:00 GMT", b" Expires=Fri, 31 Dec 2100 23:59:59 GMT"
    assert ends_cookie(past, 1e9) and not ends_cookie(future, 1e9)
    assert ends_cookie(b" Path=/; max-age=0", 1e9) and ends_cookie(b"Max-Age=-5", 1e9)
    assert not ends_cookie(past + b"; Max-Age=10", 1e9)
    assert not ends_cookie(b" Expires=soon; Max-Age=x", 1e9)


def test_full_table_drops_the_longest_unused() -> None:
    store = TableStore(2)
    for key in ("a", "b", "a", "c"):
        store.bind(key, Binding("m", 0, 0))
    assert store.find("b") is None and store.find("a") and store.find("c") and store.count() == 2


def test_clock_jumps_and_follows_monotonic_time() -> None:
    ticks = iter([10.0, 11.0, 12.5])
    clock = OffsetClock(monotonic=lambda: next(ticks), wall=lambda: 1000.0)
    assert clock.now() == 1001.0
    clock.advance(100)
    assert clock.now() == 1102.5 and clock.offset == 100
