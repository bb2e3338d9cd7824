from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.harness.model.cookies import (
    Jar,
    canonical_host,
    default_path,
    domain_match,
    format_date,
    is_loopback,
    parse_cookie_headers,
    path_match,
)

DAY = 86_400.0
HTTP = "http://127.0.0.1:8080/"
HTTPS = "https://www.example.org/"


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jar(clock: Clock) -> Jar:
    return Jar(clock)


def test_what_is_stored_is_sent_back_byte_for_byte(jar: Jar) -> None:
    value = 'p+/=%2B"x y",é'
    (outcome,) = jar.store(HTTP, [f"lb={value}"])
    assert (outcome.action, outcome.reason) == ("stored", "until the session ends")
    assert jar.header(HTTP) == f"lb={value}"


def test_replacing_keeps_the_place_in_the_order(jar: Jar, clock: Clock) -> None:
    jar.store(HTTP, ["a=1", "b=1"])
    clock.now -= 100  # the client's clock steps back
    (outcome,) = jar.store(HTTP, ["a=2"])
    assert outcome.action == "replaced"
    assert outcome.cookie is not None
    assert outcome.cookie.created == clock.now + 100
    assert jar.header(HTTP) == "a=2; b=1"


def test_longer_paths_come_first_then_older_cookies(jar: Jar) -> None:
    jar.store(HTTP + "x/y", ["a=root; Path=/", "a=deep; Path=/x/y", "a=mid"])
    assert jar.header(HTTP + "x/y/z") == "a=deep; a=mid; a=root"
    found = jar.get("a")
    assert found is not None
    assert found.value == "deep"
    assert jar.header(HTTP + "xy") == "a=root"
    assert jar.remove("a") == 3
    assert jar.get("a") is None


def test_max_age_beats_expires_both_ways(jar: Jar, clock: Clock) -> None:
    past, future = format_date(clock.now - DAY), format_date(clock.now + DAY)
    jar.store(HTTP, [f"a=1; Max-Age=10; Expires={past}", f"b=1; Expires={future}; Max-Age=0"])
    assert jar.header(HTTP) == "a=1"
    clock.now += 9.5
    assert jar.header(HTTP) == "a=1"
    clock.now += 0.5
    assert jar.header(HTTP) == ""
    assert jar.cookies() == []


def test_a_bad_max_age_leaves_expires_in_force(jar: Jar, clock: Clock) -> None:
    (outcome,) = jar.store(HTTP, [f"a=1; Max-Age=1.5; Expires={format_date(clock.now + 5)}"])
    assert outcome.cookie is not None
    assert outcome.cookie.expiry == clock.now + 5


@pytest.mark.parametrize("attribute", ["Max-Age=" + "9" * 500, "Expires=Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_cookie_lives_beyond_400_days(jar: Jar, clock: Clock, attribute: str) -> None:
    (outcome,) = jar.store(HTTP, [f"a=1; {attribute}"])
    assert outcome.cookie is not None
    assert outcome.cookie.expiry == clock.now + 400 * DAY


def test_expiry_goes_by_the_clients_own_clock() -> None:
    expires = format_date(1_700_000_000 + 60)
    ahead, behind = Jar(Clock(1_700_000_100)), Jar(Clock(1_699_999_900))
    assert ahead.store(HTTP, [f"a=1; Expires={expires}"])[0].reason.startswith("came already expired")
    assert behind.store(HTTP, [f"a=1; Expires={expires}"])[0].action == "stored"


def test_deleting_needs_the_same_domain_and_path(jar: Jar) -> None:
    jar.store(HTTP, ["a=1; Path=/x; Max-Age=60"])
    assert jar.store(HTTP, ["a=; Max-Age=0"])[0].action == "ignored"
    assert jar.header(HTTP + "x") == "a=1"
    (outcome,) = jar.store(HTTP, ["a=; Path=/x; Max-Age=-1"])
    assert outcome.action == "deleted"
    assert outcome.cookie is not None
    assert outcome.cookie.value == "1"
    assert jar.header(HTTP + "x") == ""


def test_the_end_of_the_session_takes_session_cookies_only(jar: Jar) -> None:
    jar.store(HTTP, ["a=1", "b=1; Max-Age=60"])
    assert jar.end_session() == 1
    assert jar.header(HTTP) == "b=1"
    jar.clear()
    assert jar.header(HTTP) == ""


def test_secure_needs_a_secure_connection() -> None:
    jar = Jar(Clock())
    (outcome,) = jar.store(HTTP, ["a=1; Secure"])
    assert outcome.action == "ignored"
    assert "insecure" in outcome.reason
    jar.store("https://127.0.0.1:8443/", ["a=1; Secure"])
    assert jar.header("https://127.0.0.1/") == "a=1"
    assert jar.header(HTTP) == ""
    # An insecure response must not overlay it either.
    assert "overlay" in jar.store(HTTP, ["a=2"])[0].reason
    assert jar.store(HTTP, ["b=2"])[0].action == "stored"


def test_an_insecure_cookie_may_lie_beside_a_secure_one(jar: Jar) -> None:
    jar.store("https://127.0.0.1/", ["a=1; Secure; Path=/login"])
    assert "overlay" in jar.store(HTTP, ["a=2; Path=/login/en"])[0].reason
    assert jar.store(HTTP, ["a=2; Path=/"])[0].action == "stored"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "lb.localhost"])
def test_trusted_loopback_counts_as_secure(host: str) -> None:
    jar = Jar(Clock(), trust_loopback=True)
    assert jar.store(f"http://{host}:8080/", ["a=1; Secure"])[0].action == "stored"
    assert jar.header(f"http://{host}/") == "a=1"
    assert jar.store("http://www.example.org/", ["a=1; Secure"])[0].action == "ignored"


@pytest.mark.parametrize(
    ("line", "stored"),
    [
        ("__Secure-a=1; Secure", True),
        ("__sEcUre-a=1", False),
        ("__Host-a=1; Secure; Path=/", True),
        ("__Host-a=1; Secure", False),
        ("__Host-a=1; Path=/", False),
        ("__Host-a=1; Secure; Path=/x", False),
        ("__HOST-a=1; Secure; Path=/; Domain=www.example.org", False),
        ("__Host-a=1; Secure; Path=/; Domain=", True),
        ("=__Host-a=1; Secure; Path=/", False),
        ("__secure-a", False),
    ],
)
def test_prefixes(jar: Jar, line: str, stored: bool) -> None:
    assert (jar.store(HTTPS, [line])[0].action == "stored") == stored


def test_same_site(jar: Jar) -> None:
    lines = ["s=1; SameSite=Strict", "l=1; SameSite=Lax", "d=1; SameSite=odd", "n=1; SameSite=None; Secure"]
    assert [outcome.action for outcome in jar.store(HTTPS, lines)] == ["stored"] * 4
    assert jar.header(HTTPS) == "s=1; l=1; d=1; n=1"
    assert jar.header(HTTPS, cross_site=True) == "n=1"
    assert jar.header(HTTPS, cross_site=True, navigation=True) == "l=1; d=1; n=1"
    assert jar.header(HTTPS, method="POST", cross_site=True, navigation=True) == "n=1"
    assert jar.header(HTTPS, method="POST") == "s=1; l=1; d=1; n=1"


def test_same_site_none_needs_secure(jar: Jar) -> None:
    assert jar.store(HTTPS, ["n=1; SameSite=None"])[0].reason == "SameSite=None without Secure"


def test_cross_site_responses_set_only_cross_site_cookies(jar: Jar) -> None:
    lines = ["d=1", "n=1; SameSite=None; Secure"]
    assert [outcome.action for outcome in jar.store(HTTPS, lines, cross_site=True)] == ["ignored", "stored"]
    assert jar.store(HTTPS, ["d=1"], cross_site=True, navigation=True)[0].action == "stored"


def test_host_only_and_domain_cookies(jar: Jar) -> None:
    jar.store(HTTPS, ["h=1", "d=1; Domain=.EXAMPLE.org"])
    assert jar.header(HTTPS) == "h=1; d=1"
    assert jar.header("https://a.example.org/") == "d=1"
    assert jar.header("https://example.org/") == "d=1"
    assert jar.header("https://badexample.org/") == ""
    for domain in ("org", "other.org", "a.www.example.org", "exämple.org", "www.example.org."):
        (outcome,) = jar.store(HTTPS, [f"x=1; Domain={domain}"])
        assert (outcome.action, domain in outcome.reason) == ("ignored", True)


def test_addresses_have_no_parent_domain(jar: Jar) -> None:
    assert jar.store(HTTP, ["a=1; Domain=127.0.0.1"])[0].action == "stored"
    assert jar.store(HTTP, ["a=2"])[0].action == "replaced"  # the same cookie: an address's own
    for domain in ("0.0.1", ".0.1", "1", "127.0.0.2"):
        assert jar.store(HTTP, [f"a=3; Domain={domain}"])[0].action == "ignored"
    assert jar.header("http://127.0.0.1:9999/") == "a=2"  # ports do not separate cookies
    assert jar.header("http://127.0.0.2/") == ""
    jar.store("http://[0:0::1]:80/", ["v6=1"])
    assert jar.header("http://[::1]/") == "v6=1"


def test_localhost_is_a_host_of_its_own(jar: Jar) -> None:
    assert jar.store("http://localhost/", ["a=1; Domain=localhost"])[0].action == "stored"
    assert jar.header("http://x.localhost/") == ""


def test_ignored_lines_say_why_and_leave_the_others_alone(jar: Jar) -> None:
    outcomes = jar.store(HTTP, ["a=\x01", "b=1", "=", "c=" + "x" * 5000])
    assert [outcome.action for outcome in outcomes] == ["ignored", "stored", "ignored", "ignored"]
    assert all(outcome.reason for outcome in outcomes)
    assert jar.header(HTTP) == "b=1"


def test_a_nameless_cookie_is_sent_as_its_value(jar: Jar) -> None:
    jar.store(HTTP, ["just-a-value", "a=1"])
    assert jar.header(HTTP) == "just-a-value; a=1"


def test_a_relative_url_is_the_callers_mistake(jar: Jar) -> None:
    with pytest.raises(ValueError, match="not an absolute URL"):
        jar.header("/path")


@pytest.mark.parametrize(
    ("path", "folder"),
    [("", "/"), ("x", "/"), ("/", "/"), ("/x", "/"), ("/x/", "/x"), ("/x/y", "/x"), ("/x/y/", "/x/y"), ("//", "/")],
)
def test_default_path(path: str, folder: str) -> None:
    assert default_path(path) == folder


@pytest.mark.parametrize(
    ("request_path", "cookie_path", "matches"),
    [("/a", "/a", True), ("/a/", "/a", True), ("/ab", "/a", False), ("/a", "/a/", False), ("", "/", True)],
)
def test_path_match(request_path: str, cookie_path: str, matches: bool) -> None:
    assert path_match(request_path, cookie_path) == matches


def test_hosts() -> None:
    assert canonical_host("BÜCHER.example") == "xn--bcher-kva.example"
    assert canonical_host("[::FFFF]") == "::ffff"
    assert domain_match("a.b", "b")
    assert not domain_match("ab", "b")
    assert not domain_match("127.0.0.1", "0.0.1")
    assert not domain_match("a.b", "")
    assert is_loopback("127.255.0.1")
    assert not is_loopback("notlocalhost")


NAMES = st.sampled_from(["a", "b", "lb", ""])
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=';,="'), min_size=1, max_size=9)


@given(st.lists(st.tuples(NAMES, TOKENS), max_size=10))
def test_the_jar_sends_the_last_value_of_each_name(cookies: list[tuple[str, str]]) -> None:
    jar = Jar(Clock())
    jar.store(HTTP, [f"{name}={value}" for name, value in cookies])
    assert dict(parse_cookie_headers(jar.header(HTTP))) == {
        name: value for name, value in cookies if not value.lower().startswith(("__host-", "__secure-")) or name
    }


@given(
    st.lists(st.tuples(NAMES, st.none() | st.integers(-5, 50)), max_size=8),
    st.lists(st.floats(0, 30), min_size=1, max_size=6),
)
def test_expiry_is_monotone(cookies: list[tuple[str, int | None]], steps: list[float]) -> None:
    clock = Clock()
    jar = Jar(clock)
    jar.store(HTTP, [f"{name}=v" + ("" if age is None else f"; Max-Age={age}") for name, age in cookies])
    before = set(jar.cookies())
    for step in steps:
        clock.now += step
        after = set(jar.cookies())
        assert after <= before
        assert all(cookie.expiry is None or cookie.expiry > clock.now for cookie in after)
        assert {cookie for cookie in before if cookie.expiry is None} <= after
        before = after


@given(st.lists(st.text(max_size=40), max_size=5), st.booleans())
def test_storing_never_raises(lines: list[str], trust: bool) -> None:
    jar = Jar(Clock(), trust_loopback=trust)
    outcomes = jar.store(HTTP, lines)
    assert len(outcomes) == len(lines)
    assert len(parse_cookie_headers(jar.header(HTTP))) <= len(jar.cookies())
