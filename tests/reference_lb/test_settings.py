from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.reference_lb.parts.assembly import build_parts
from limpet.reference_lb.settings.durations import parse_duration, show_duration
from limpet.reference_lb.settings.load import check, check_members
from limpet.reference_lb.settings.problems import ConfigError

HTTP = {"port": 8080}
TCP = {"port": 8080, "protocol": "tcp"}
KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def problems(raw: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        check(raw)
    return {problem.key: problem.text for problem in caught.value.problems}


def affinity_problems(**section: Any) -> dict[str, str]:
    return problems({"listener": HTTP, "affinity": section})


def test_every_key_of_the_documentation_is_accepted() -> None:
    config = check(
        {
            "name": "node-1",
            "listener": {"protocol": "http", "host": "127.0.0.1", "port": 8080},
            "admin": {"host": "127.0.0.1", "port": 9090, "token": "12345678"},
            "pool": {
                "algorithm": "weighted-least-connections",
                "member": [{"name": "b1", "host": "127.0.0.1", "port": 9001, "weight": 1, "drain": False}],
            },
            "affinity": {
                "mode": "lb-cookie",
                "enabled": True,
                "duration": "20m",
                "clock": "idle",
                "kept_by": "both",
                "key_prefix": {"v4": 24, "v6": 64},
                "table_size": 10,
                "limits": {"default": "20m", "min": "1m", "max": "24h"},
                "reaction": {
                    "unhealthy": "repin",
                    "in_request": "may-fail",
                    "draining": "repin",
                    "recovered": "stay",
                    "bad_cookie": "replace",
                    "ip_change": "keep",
                },
                "cookie": {
                    "name": "LIMPET",
                    "issued": "every-response",
                    "path": "/",
                    "domain": "example.test",
                    "expires": "duration",
                    "max_age": "20m",
                    "secure": "https",
                    "http_only": True,
                    "same_site": "Lax",
                    "partitioned": False,
                    "strip": True,
                    "keys": [KEY],
                    "twin": {"name": "TWIN", "same_site": "None", "secure": True},
                },
            },
            "health": {"enabled": True, "path": "/h", "interval": "100ms", "timeout": "500ms", "rise": 1, "fall": 2},
            "timeouts": {"connect": "1s", "response": "5s", "idle": "75s"},
        }
    )
    assert config.affinity.span == 1200
    assert config.affinity.cookie.keys == (b"01234567890123456789012345678901",)
    assert build_parts(config).switch.enabled


def test_all_problems_come_at_once_with_key_allowed_words_and_the_nearest() -> None:
    found = problems(
        {
            "listener": {"port": 70000, "protocol": "htp"},
            "admin": {"host": "0.0.0.0", "port": 1, "token": "short"},
            "pool": {"member": [{"name": "b1", "host": "h", "port": 1}, {"name": "b1", "host": "h", "prt": 2}]},
            "affinity": {"mode": "lb_cookie", "duration": "20 minutes", "cookie": {"nmae": "X", "keys": ["short"]}},
            "helth": {},
        }
    )
    assert set(found) == {
        "listener.port",
        "listener.protocol",
        "admin.host",
        "admin.token",
        "pool.member[2].port",
        "pool.member[2].prt",
        "affinity.mode",
        "affinity.duration",
        "affinity.cookie.nmae",
        "affinity.cookie.keys[1]",
        "helth",
    }
    assert found["affinity.mode"] == (
        "'lb_cookie' is not one of lb-cookie, app-cookie, source-ip, flow, header, url, tls-session-id, none "
        '(did you mean "lb-cookie"?)'
    )
    assert found["helth"].startswith('unknown key (did you mean "health"?); known keys: name, preset, listener,')
    assert '(did you mean "name"?)' in found["affinity.cookie.nmae"]
    assert found["pool.member[2].port"] == "it is missing"
    assert '"1.5s"' in found["affinity.duration"]
    assert "loopback" in found["admin.host"]


def test_rules_are_checked_beside_other_problems() -> None:
    found = problems({"listener": TCP, "affinity": {"mode": "app-cookie"}, "health": {"rise": 0}})
    assert set(found) == {"affinity.mode", "affinity.application.name", "health.rise"}


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"mode": "app-cookie"}, "affinity.application.name"),
        ({"mode": "app-cookie", "application": {"name": "a b"}}, "affinity.application.name"),
        ({"mode": "app-cookie", "application": {"name": ""}}, "affinity.application.name"),
        ({"mode": "app-cookie", "application": {"name": "LIMPET"}}, "affinity.application.name"),
        ({"mode": "app-cookie", "application": {"name": "LIMPET-2"}}, "affinity.application.name"),
        ({"mode": "app-cookie", "application": {"name": "S"}, "kept_by": "client"}, "affinity.kept_by"),
        (
            {"mode": "app-cookie", "application": {"name": "S"}, "reaction": {"bad_cookie": "refuse"}},
            "affinity.reaction.bad_cookie",
        ),
        ({"mode": "lb-cookie", "application": {"name": "S"}}, "affinity.application"),
        ({"mode": "source-ip", "clock": "session"}, "affinity.clock"),
        ({"mode": "source-ip", "kept_by": "both"}, "affinity.kept_by"),
        ({"mode": "lb-cookie", "clock": "session", "duration": "1m"}, "affinity.duration"),
        ({"mode": "lb-cookie", "clock": "session", "cookie": {"max_age": "1m"}}, "affinity.cookie.max_age"),
        ({"mode": "lb-cookie", "cookie": {"issued": "on-change"}}, "affinity.cookie.issued"),
        ({"mode": "lb-cookie", "kept_by": "both", "cookie": {"expires": "7d"}}, "affinity.cookie.expires"),
        ({"mode": "lb-cookie", "cookie": {"same_site": "None"}}, "affinity.cookie.same_site"),
        ({"mode": "lb-cookie", "cookie": {"partitioned": True}}, "affinity.cookie.partitioned"),
        ({"mode": "lb-cookie", "cookie": {"name": "__Secure-x"}}, "affinity.cookie.name"),
        ({"mode": "lb-cookie", "cookie": {"name": "__Host-x", "secure": True, "path": "/a"}}, "affinity.cookie.name"),
        ({"mode": "lb-cookie", "cookie": {"name": "x;y"}}, "affinity.cookie.name"),
        ({"mode": "lb-cookie", "cookie": {"path": "/;x"}}, "affinity.cookie.path"),
        ({"mode": "lb-cookie", "cookie": {"twin": {"name": "LIMPET"}}}, "affinity.cookie.twin.name"),
        (
            {"mode": "lb-cookie", "cookie": {"twin": {"name": "T", "same_site": "None"}}},
            "affinity.cookie.twin.same_site",
        ),
        ({"mode": "lb-cookie", "duration": "0s"}, "affinity.duration"),
        ({"mode": "lb-cookie", "duration": "30s", "limits": {"min": "1m"}}, "affinity.duration"),
        ({"mode": "lb-cookie", "limits": {"default": "25h", "max": "24h"}}, "affinity.limits.default"),
        ({"mode": "lb-cookie", "limits": {"min": "2m", "max": "1m"}}, "affinity.limits"),
        ({"mode": "lb-cookie", "enabled": "yes"}, "affinity.enabled"),
    ],
)
def test_forbidden_combinations(section: dict[str, Any], key: str) -> None:
    assert list(affinity_problems(**section)) == [key]


def test_bounds_are_named() -> None:
    found = affinity_problems(mode="lb-cookie", duration="25h", limits={"min": "1m", "max": "24h"})
    assert found == {"affinity.duration": "25h is above affinity.limits.max = 1d"}


@pytest.mark.parametrize(
    ("section", "span"),
    [
        ({"mode": "lb-cookie"}, 1200),
        ({"mode": "source-ip", "limits": {"default": "5m"}}, 300),
        ({"mode": "app-cookie", "application": {"name": "S"}}, None),
        ({"mode": "app-cookie", "application": {"name": "S"}, "limits": {"default": "5m"}}, 300),
        ({"mode": "lb-cookie", "clock": "session"}, None),
    ],
)
def test_the_duration_in_force(section: dict[str, Any], span: float | None) -> None:
    assert check({"listener": HTTP, "affinity": section}).affinity.span == span


def test_members_are_checked_alike() -> None:
    assert check_members([{"name": "b", "host": "h", "port": 1}])[0].weight == 1
    wrongs: list[Any] = [{}, "x", [{"name": "b"}], [{"name": "b", "host": "h", "port": 1}] * 2]
    for wrong in wrongs:
        with pytest.raises(ConfigError):
            check_members(wrong)


@given(st.sampled_from(["ms", "s", "m", "h", "d"]), st.integers(1, 10_000))
def test_durations_read_back_what_is_shown(unit: str, number: int) -> None:
    seconds = parse_duration(f"{number}{unit}")
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", [20, 1.5, "", "20", "m", "-1s", "1 s", "1w", "inf", None, True])
def test_other_things_are_no_durations(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a duration is"):
        parse_duration(wrong)
