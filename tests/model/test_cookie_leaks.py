from __future__ import annotations

import base64
import hashlib
import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.harness.model.cookies import BackendFacts, find_leaks, judge_leaks
from limpet.harness.model.statistics import binomial_tail

BACKENDS = [BackendFacts(f"b{i}", f"127.7.3.{10 + i}", 18080 + i) for i in (1, 2, 3)]
TEN = BackendFacts("node-7", "10.1.1.100", 8080)


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("value", "what", "how"),
    [
        ("1677787402.36895.0000", "address and port", "F5 BIGipServer"),
        ("rd5o00000000000000000000ffff0a010164o8080", "address and port", "F5 route domain"),
        ("10.1.1.100", "address", "plain"),
        ("x|10.1.1.100:8080|y", "address and port", "plain"),
        (b64("10.1.1.100:8080"), "address and port", "base64 > plain"),
        ("v1." + b64("id=10.1.1.100&t=1").rstrip("="), "address", "base64 > plain"),
        (b64(b64("10.1.1.100")), "address", "base64 > base64 > plain"),
        ("10%2E1%2E1%2E100", "address", "percent > plain"),
        ("ip-10-1-1-100", "address", "dashed"),
        ("0a010164", "address", "hex"),
        ("6401010A", "address", "hex, little-endian"),
        ("ff0a0101641f90ff", "address and port", "hex"),
        ("167838052.x", "address", "decimal"),
        (b64(b"\x01\x02" + bytes([10, 1, 1, 100]) + (8080).to_bytes(2, "big")), "address and port", "base64 > octets"),
        (hashlib.md5(b"10.1.1.100:8080").hexdigest(), "address and port", "md5 of '10.1.1.100:8080'"),
        ("s=" + hashlib.sha1(b"node-7").hexdigest().upper(), "name", "sha1 of 'node-7'"),
        (hashlib.sha256(b"http://10.1.1.100:8080").hexdigest()[:16], "address and port", "sha256 of 'http://10.1.1"),
        (b64(hashlib.sha1(b"10.1.1.100:8080").digest()), "address and port", "base64 > sha1 of '10.1.1.100:8080'"),
        ("node-7.1732", "name", "plain"),
        (b64("server=node-7;t=1"), "name", "base64 > plain"),
    ],
)
def test_encodings(value: str, what: str, how: str) -> None:
    found = find_leaks(value, [TEN])
    assert any(leak.what == what and leak.how.startswith(how) for leak in found), found


@pytest.mark.parametrize("after", [b"", b"\x10\x99\xa3\xba\xcb\x06", b"\x12\x04/\xff\x00x"])
@pytest.mark.parametrize("backend", [*BACKENDS, TEN, BackendFacts("s", "2001:db8:1:2:3:4:5:6", 18080)])
def test_an_address_in_a_record_is_found(backend: BackendFacts, after: bytes) -> None:
    """As in a protobuf: a field's number, the length of its text, the text, other fields."""
    shown = f"[{backend.host}]" if ":" in backend.host else backend.host
    text = f"{shown}:{backend.port}".encode()
    value = b64(b"\x0a" + bytes([len(text)]) + text + after)
    leak = find_leaks(value, [backend])[0]
    assert (leak.what, leak.how) == ("address and port", "base64 > text within > plain")
    assert judge_leaks([(value, backend.name)], [backend]).leaks


def test_a_short_name_amid_octets_is_a_matter_of_luck() -> None:
    value = b64(b"\x00\xff-b1-xx-\x80" + bytes(range(128, 160)))
    (name,) = [leak for leak in find_leaks(value, [BackendFacts("b1")]) if leak.what == "name"]
    assert name.chance > 1e-4, "it may have come up at any of these places"


def test_base64url_and_ipv6() -> None:
    backend = BackendFacts("s", "2001:db8::ff:fe", 443)
    packed = "20010db80000000000000000" + "00ff00fe"
    assert find_leaks(f"vi{packed}.47873", [backend])[0].what == "address and port"
    raw = base64.urlsafe_b64encode(bytes.fromhex("fbff" + packed)).decode().rstrip("=")
    assert "-" in raw or "_" in raw
    assert any(leak.how == "base64url > octets" for leak in find_leaks(raw, [backend]))


@pytest.mark.parametrize(
    "value",
    ["ab1c", "b10", "xb1", "b1b1", "10.1.1.1001", "210.1.1.100", "1167838052", b64("xxb1yy"), "", "%%%", "=" * 9],
)
def test_parts_of_longer_words_are_no_leak(value: str) -> None:
    assert find_leaks(value, [*BACKENDS, TEN]) == []


def test_four_octets_amid_others_are_no_leak() -> None:
    address = bytes([10, 1, 1, 100])
    assert find_leaks(b64(b"\xff\x80\x07" + address + b"\xfe\x01"), [TEN]) == []
    assert find_leaks(b64(address), [TEN])[0].how == "base64 > octets"


def test_names_of_one_letter_are_not_looked_for() -> None:
    assert find_leaks("a", [BackendFacts("a")]) == []


def test_what_the_client_knows_is_no_leak() -> None:
    shared = BackendFacts("b1", "127.0.0.1", 18081)
    assert find_leaks("client=127.0.0.1", [shared])
    assert not find_leaks("client=127.0.0.1", [shared], known=["127.0.0.1"])
    assert find_leaks("127.0.0.1:18081", [shared], known=["127.0.0.1"])[0].what == "address and port"


def test_one_short_name_in_one_value_never_accuses() -> None:
    assert find_leaks("b1", BACKENDS)[0].chance > 1e-6
    assert not judge_leaks([("b1", "b1")], BACKENDS).leaks


def test_short_names_in_every_value_accuse() -> None:
    verdict = judge_leaks([("b1", "b1"), ("b2", "b2"), ("b3", "b3")] * 5, BACKENDS)
    assert verdict.leaks
    assert {leak.backend for leak in verdict.findings} == {"b1", "b2", "b3"}
    assert "limit 1e-06" in verdict.text


@pytest.mark.parametrize(
    "samples",
    [
        [("b1", "b2"), ("b2", "b3"), ("b3", "b1")],  # labels of the balancer's own, not the backends' names
        [("b1", "b1"), ("b2", "b2"), ("Zk", "b3")],  # not in every value
        [("v2|b1|q", "b1"), ("v2|b1|r", "b2"), ("v2|b1|s", "b3")],  # a constant
        [],
    ],
)
def test_unsystematic_short_names_do_not_accuse(samples: list[tuple[str, str]]) -> None:
    assert not judge_leaks(samples, BACKENDS).leaks


def test_one_strong_finding_accuses_at_once() -> None:
    samples = [(uuid.UUID(int=i).hex, "b1") for i in range(50)] + [(b64("127.7.3.12:18082"), "b2")]
    verdict = judge_leaks(samples, BACKENDS)
    assert verdict.leaks
    assert verdict.findings[0].backend == "b2"


def test_every_address_hidden_in_hex_accuses() -> None:
    samples = [(f"{127:02x}0703{10 + i:02x}", f"b{i}") for i in (1, 2, 3)]
    assert judge_leaks(samples, BACKENDS).leaks


def random_values(rng: random.Random) -> list[str]:
    data = rng.randbytes(rng.choice([3, 6, 8, 16, 24, 48]))
    return [
        data.hex(),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
        str(int.from_bytes(data, "big")),
        str(1_790_000_000 + rng.randrange(1000)),
        ".".join(data.hex()[i : i + 4] for i in range(0, len(data.hex()), 4)),
        str(uuid.UUID(bytes=rng.randbytes(16))),
        f"{rng.getrandbits(32)}.{rng.getrandbits(16)}.0000",
    ]


def test_random_values_are_never_accused() -> None:
    """120 judgements of 24 to 40 opaque values; each may accuse with 1e-6 at most, so one is one too many."""
    rng = random.Random(20260101)
    names = [b.name for b in BACKENDS]
    for round_ in range(15):
        tables = [random_values(rng) for _ in range(24 + round_ % 17)]
        for values in zip(*tables, strict=True):
            samples = [(value, rng.choice(names)) for value in values]
            verdict = judge_leaks(samples, BACKENDS)
            assert not verdict.leaks, (verdict.text, samples)


def test_stated_chances_bound_what_happens() -> None:
    """Tokens of two random letters or digits equal a backend's name about as often as stated, not more often."""
    rng = random.Random(7)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    trials = 4_000
    hits, stated = 0, 0.0
    for _ in range(trials):
        found = find_leaks(rng.choice(letters) + rng.choice(letters), BACKENDS)
        hits += bool(found)
        stated = max([stated, *(leak.chance for leak in found)])
    assert hits > 0
    assert binomial_tail(hits, trials, stated) > 1e-3
    assert binomial_tail(hits, trials, stated / 4) < 0.05  # nor is the bound an empty one


@given(st.text(max_size=300))
def test_looking_for_leaks_never_raises(value: str) -> None:
    for leak in find_leaks(value, BACKENDS):
        assert 0 < leak.chance <= 1


def test_hostile_values_cost_little() -> None:
    nested = "b1"
    for _ in range(12):
        nested = b64(nested) + "." + b64(nested)
        if len(nested) > 60_000:
            break
    assert isinstance(find_leaks(nested, BACKENDS), list)
    assert isinstance(find_leaks("a." * 30_000, BACKENDS), list)
