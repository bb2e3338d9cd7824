"""The program as others start it: exit codes, signals, and the admin API over its socket."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOKEN = "a-secret-token"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(file: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "limpet.reference_lb.main", "--config", str(file), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, int, Path]]:
    port, admin = free_port(), free_port()
    file = tmp_path / "lb.toml"
    file.write_text(
        f'name = "n1"\n[listener]\nport = {port}\n[admin]\nport = {admin}\ntoken = "{TOKEN}"\n'
        '[affinity]\nmode = "lb-cookie"\n[health]\nenabled = false\n'
    )
    process = start(file)
    assert process.stderr is not None
    for line in process.stderr:
        if "listening" in line:
            assert line == f"limpet lb n1 listening on http://127.0.0.1:{port}\n"
            break
    yield process, port, admin, file
    process.kill()
    process.wait()
    process.stderr.close()


def call(port: int, method: str, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    data = body if isinstance(body, str) else json.dumps(body) if body is not None else None
    connection.request(method, path, data, {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    result = answer.status, json.loads(answer.read())
    connection.close()
    return result


def test_admin_api(program: tuple[subprocess.Popen[str], int, int, Path]) -> None:
    _, _, admin, _ = program
    assert call(admin, "GET", "/v1/state", token="wrong")[0] == 401
    assert call(admin, "GET", "/v2")[0] == 404
    assert call(admin, "POST", "/v1/state")[0] == 405
    status, state = call(admin, "GET", "/v1/state")
    assert status == 200 and state["members"] == [] and state["affinity"] == {"enabled": True}
    wanted = [{"name": "b1", "host": "127.0.0.1", "port": 9, "weight": 3, "drain": True}]
    status, state = call(admin, "PUT", "/v1/members", wanted)
    assert status == 200 and state["members"] == [wanted[0] | {"healthy": True, "in_flight": 0}]
    assert state["generation"] == 2
    status, answer = call(admin, "PUT", "/v1/members", [{"name": "b1", "host": "h", "port": 99999, "wieght": 1}])
    assert status == 422
    assert {p["key"] for p in answer["problems"]} == {"member[1].port", "member[1].wieght"}
    assert '"weight"' in answer["error"]
    assert call(admin, "PUT", "/v1/affinity", {"enabled": False})[1]["affinity"] == {"enabled": False}
    assert call(admin, "PUT", "/v1/affinity", {"enabled": 1})[0] == 400
    assert call(admin, "POST", "/v1/clock/advance", {"seconds": 90.5})[1]["clock"]["offset"] == 90.5
    for wrong in ({"seconds": -1}, {"seconds": "1"}, {}, "not json"):
        assert call(admin, "POST", "/v1/clock/advance", wrong)[0] == 400
    assert call(admin, "POST", "/v1/keys/rotate")[0] == 200
    status, state = call(admin, "POST", "/v1/reload")
    assert status == 200 and len(state["members"]) == 1 and state["clock"]["offset"] == 90.5
    assert state["affinity"] == {"enabled": False}
    assert call(admin, "GET", "/v1/health") == (200, {"status": "ok", "healthy_members": 1})


def test_no_members_is_503_and_sigterm_ends_with_0(program: tuple[subprocess.Popen[str], int, int, Path]) -> None:
    process, port, _, _ = program
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/")
    assert connection.getresponse().status == 503
    process.send_signal(signal.SIGTERM)  # with a client still connected
    assert process.wait(20) == 0
    connection.close()


def test_port_in_use_is_3(program: tuple[subprocess.Popen[str], int, int, Path]) -> None:
    _, port, _, file = program
    second = start(file)
    _, said = second.communicate(timeout=20)
    assert second.returncode == 3
    assert said.startswith(f"limpet lb n1 cannot listen on 127.0.0.1:{port}: ") and "Traceback" not in said


def test_check_and_bad_configuration(tmp_path: Path) -> None:
    file = tmp_path / "lb.toml"
    file.write_text("[listener]\nport = 8080\n")
    good = start(file, "--check")
    assert (good.communicate(timeout=20)[1], good.returncode) == (f"{file}: ok\n", 0)
    file.write_text("[listner]\nport = 8080\n")
    bad = start(file)
    said = bad.communicate(timeout=20)[1]
    assert bad.returncode == 2 and "Traceback" not in said
    assert 'listner: unknown key (did you mean "listener"?)' in said and "listener: it is missing" in said
    missing = start(tmp_path / "none.toml")
    assert "cannot be read" in missing.communicate(timeout=20)[1] and missing.returncode == 2
