from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest

from limpet.harness.backends.standalone import serve_standalone
from limpet.harness.model.errors import SetupFault, UsageFault
from limpet.harness.processes.lease import LoopbackLease

PATIENCE = 30.0
CODE = """
import sys
from pathlib import Path
from limpet.harness.backends.standalone import serve_standalone
sys.exit(serve_standalone(sys.argv[1], "mine", None, Path(sys.argv[2]), sys.argv[3]))
"""


def test_it_prints_what_it_serves_and_ends_quietly_at_ctrl_c(lease: LoopbackLease, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    command = [sys.executable, "-c", CODE, f"{lease.address(9)}:0", str(history), "http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            said = "".join(process.stdout.readline() for _ in range(5))
            found = re.search(r"mine serves http on ([\d.]+):(\d+)", said)
            token = re.search(r"token +(\S+)", said)
            assert found
            assert token
            http = HTTPConnection(found[1], int(found[2]), timeout=PATIENCE)
            http.request("GET", "/", headers={"Limpet-Request": "r1"})
            assert http.getresponse().read()
            http.request("GET", "/_limpet/history", headers={"Authorization": f"Bearer {token[1]}"})
            assert http.getresponse().read() == history.read_bytes() != b""
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_a_port_in_use_is_a_setup_fault(lease: LoopbackLease) -> None:
    host, port = lease.next_endpoint()
    with socket.create_server((host, port)), pytest.raises(SetupFault, match="in use"):
        serve_standalone(f"{host}:{port}", "mine", None, None, "http")


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"])
def test_an_address_beyond_loopback_must_be_allowed(listen: str) -> None:
    with pytest.raises(UsageFault, match="other machines"):
        serve_standalone(listen, "mine", None, None, "http")


def test_an_allowed_address_that_is_not_this_machines_is_a_setup_fault() -> None:
    with pytest.raises(SetupFault, match="cannot listen"):
        serve_standalone("192.0.2.1:1", "mine", None, None, "http", allow_remote=True)
