from __future__ import annotations

import shlex
import subprocess

import pytest

from limpet.harness.engine.recipe import recipe
from limpet.harness.model.contract import Contract
from limpet.harness.model.history import Control, Received, Record, Sent
from limpet.harness.model.oracle import Oracle
from limpet.harness.model.oracle.evidence import curl
from limpet.harness.model.violation import Kind, Violation

HOSTILE = [
    "plain", "two words", "it's", 'say "hi"', "$(touch /tmp/x)", "`id`", "a;b|c&d", "back\\slash", "!bang", "-X",
    "*?[a]{b,c}", "tab\there", "line\nbreak", "\x00nul", "smile☺", "\x1b[31mred", "it's\x07bell\\x41",
]  # fmt: skip


def sent(**changes: object) -> Sent:
    given: dict[str, object] = {"id": "r1", "t": 0.0, "client": "x", "connection": "", "source": "127.0.0.2"}
    return Sent(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_shell_gives_curl_the_hostile_value_unchanged(value: str) -> None:
    line = curl(sent(headers=(("Cookie", f"S={value}"),), path="/a?b=c&d"), "http://127.0.0.1:80/")
    assert line.isprintable(), "one line that a terminal shows as it is"
    if "\x00" in value:
        return  # no program can be given a NUL
    shown = subprocess.run(
        ["bash", "-c", "printf '%s\\0' " + line], capture_output=True, check=True, timeout=20
    ).stdout.decode()  # fmt: skip
    words = shown.split("\0")[:-1]
    assert words[0] == "curl"
    assert f"Cookie: S={value}" in words
    assert words[-1] == "http://127.0.0.1:80/a?b=c&d"


def test_curl_says_how_the_request_was_made() -> None:
    words = shlex.split(curl(sent(method="POST", headers=(("Limpet-Request", "r1"), ("Cookie", ""))), "http://h:1"))
    assert words[words.index("-X") + 1] == "POST"
    assert words[words.index("--interface") + 1] == "127.0.0.2"
    assert words[words.index("-H") + 1] == "Cookie;", "so curl sends a header without a value"
    assert "r1" not in " ".join(words)
    assert "-I" in shlex.split(curl(sent(method="HEAD"), "http://h:1"))
    assert "--interface" not in curl(sent(source=""), "http://h:1")


def test_below_layer_7_it_is_netcat() -> None:
    assert curl(sent(method="TCP"), "tcp://127.0.0.1:9000") == (
        "printf 'LIMPET 1\\n' | nc -s 127.0.0.2 -q 1 127.0.0.1 9000"
    )
    assert curl(sent(method="UDP", source="::2"), "udp://[::1]:9000").endswith("nc -u -s ::2 -q 1 ::1 9000")


def history(value: str) -> list[Record]:
    def pair(id: str, t: float, backend: str, *, sends: str = "", sets: str = "", offset: float = 0.0) -> list[Record]:
        headers = (("Cookie", f"S={sends}"), ("User-Agent", "limpet")) if sends else ()
        given = (("Set-Cookie", f"S={sets}; Path=/"),) if sets else ()
        return [
            sent(id=id, t=t, client="Ada", headers=headers, offset=offset),
            Received(id, t + 0.1, 200, backend, headers=given, offset=offset),
        ]

    records = pair("r1", 100.0, "b1", sets=value)
    for number in range(2, 20):
        records += pair(f"r{number}", 99.0 + number, "b1", sends=value)
    records.append(Control("kill", 120.0, 121.5, "b2"))
    return records + pair("r99", 130.0, "b3", sends=value, offset=60.0)


def violation(value: str = "secret", **reached: str | None) -> Violation:
    contract = Contract.model_validate(
        {"title": "t", "layer": 7, "affinity": "lb-cookie", "cookie": {"name": "S"}, "reaction": {"added": "keep"}}
    )
    given = {"url": "http://127.0.0.1:8080", **reached}
    (found,) = Oracle(contract, ["b1", "b2", "b3"], **given).judge(history(value)).violations  # type: ignore[arg-type]
    return found


def test_a_violation_says_who_when_what_was_expected_and_what_came() -> None:
    found = violation()
    assert found.text == "Ada's request r99 reached b3 although it was pinned to b1"
    assert (found.kind, found.client, found.request, found.t) == (Kind.MOVED, "Ada", "r99", 130.0)
    assert (found.expected, found.seen) == (("b1",), "b3")


def test_the_trail_goes_from_the_binding_over_the_last_events_to_the_fault() -> None:
    trail = violation().trail
    assert trail[0] == "+0.000 s Ada 127.0.0.2 GET / [no key] → 200 from b1, new key secret"
    assert trail[-2] == "+20.000 s limpet did: kill b2, settled +21.500 s"
    assert trail[-1] == "+30.000 s (clock +60 s) Ada 127.0.0.2 GET / [secret] → 200 from b3"
    assert len(trail) == 11


def test_the_reproduction_binds_waits_and_asks_again() -> None:
    first, note, kill, wait, again = violation().curl
    assert first == "curl -s -i --path-as-is --globoff --interface 127.0.0.2 http://127.0.0.1:8080/"
    assert note.startswith("# ") and "cookie" in note
    assert kill == "# now: kill b2"
    assert wait == "# now let 60 s pass"
    assert again == first.replace(" http", " -H 'Cookie: S=secret' http")


def test_hostile_keys_cannot_write_into_the_report() -> None:
    found = violation("x\u202egnp.exe" + "y" * 60)
    for line in (*found.trail, *found.curl, found.text):
        assert line.isprintable()
        assert len(line) < 260


@pytest.mark.parametrize(("ca", "words"), [("/lb's/own.pem", ["--cacert", "/lb's/own.pem"]), (None, ["-k"]), ("", [])])
def test_over_tls_every_command_line_trusts_what_the_clients_trusted(ca: str | None, words: list[str]) -> None:
    def trusts(line: str) -> list[str]:
        given = shlex.split(line)
        return [word for word, before in zip(given, ["", *given], strict=False) if "--cacert" in (word, before)] + [
            word for word in given if word == "-k"
        ]

    shown = violation(url="https://h:1", ca=ca).curl
    lines = [line for line in shown if line.startswith("curl ")]
    assert len(lines) == 2 and all(trusts(line) == words for line in lines), lines
    assert any("verify = false" in line for line in shown if line.startswith("#")) == (ca is None)
    *comments, command = recipe([sent()], [], "https://h:1", ca=ca)
    assert trusts(command) == words
    assert any("verify = false" in line for line in comments) == (ca is None)
    assert trusts(curl(sent(), "http://h:1", ca=ca)) == [], "there is no certificate without TLS"
