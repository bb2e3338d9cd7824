"""The reproduction says what the request said, also in its transport."""

from __future__ import annotations

from limpet.harness.model.history import Sent
from limpet.harness.model.oracle.evidence import curl


def test_a_carried_address_and_an_upgrade_are_sent_again() -> None:
    lines = (("X-Real-IP", "192.0.2.1"), ("Upgrade", "websocket"), ("User-Agent", "x"))
    line = curl(Sent("1", 0.0, "ann", "c1", "127.0.100.1", headers=lines, carried="192.0.2.9"), "http://lb:80")
    assert "--interface 127.0.100.1 --haproxy-clientip 192.0.2.9" in line
    assert "'X-Real-IP: 192.0.2.1'" in line and "'Upgrade: websocket'" in line and "User-Agent" not in line
    assert "haproxy" not in curl(Sent("1", 0.0, "ann", "c1", "127.0.100.1"), "http://lb:80")
