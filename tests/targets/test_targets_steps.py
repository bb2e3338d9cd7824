"""Steps against a server in the test, and what their failures say."""

from __future__ import annotations

import http.server
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from limpet.harness.model.errors import SetupFault, UsageFault
from limpet.harness.processes.waiting import wait_until
from limpet.harness.targets import steps
from limpet.harness.targets.control import Step
from limpet.harness.targets.placeholders import fill


@dataclass
class Scripted:
    """A balancer that remembers what was done to it."""

    workdir: Path
    name: str = "toy"
    written: str = "starting\n"
    gone: bool = False
    signals: list[int] = field(default_factory=list)
    namespace: str = ""

    @property
    def directory(self) -> Path:
        return self.workdir

    def text_of(self, template: str) -> str:
        return f"rendered {template}"

    def signal(self, number: int) -> None:
        if self.gone:
            raise ProcessLookupError
        self.signals.append(number)
        self.written += "reloaded\n"

    def output(self) -> str:
        return self.written

    def last_lines(self) -> str:
        return self.written

    def died(self) -> bool:
        return self.gone


class Api(http.server.BaseHTTPRequestHandler):
    """Answers 200, or what the path asks for; counts."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.server.seen.append((self.path, self.headers["X-Token"] or "", body))  # type: ignore[attr-defined]
        if self.path == "/missing":
            self.send_error(404, "no such thing")
            return
        # The third look and every later one sees the new state.
        text = b"generation 2" if len(self.server.seen) >= 3 else b"generation 1"  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(balancer: Scripted, *given: dict[str, object], **values: str) -> None:
    steps.run(balancer, "apply", [Step.model_validate(one) for one in given], values)


def test_http_step_sends_method_body_and_headers(tmp_path: Path, api: http.server.ThreadingHTTPServer) -> None:
    step: dict[str, object] = {"http": "PUT {url}/pool", "body": '{"n": {n}}', "headers": {"X-Token": "{token}"}}
    run(Scripted(tmp_path), step, url=f"http://127.0.0.1:{api.server_port}", n="3", token="secret")
    assert api.seen == [("/pool", "secret", '{"n": 3}')]  # type: ignore[attr-defined]


def test_http_step_can_send_a_template(tmp_path: Path, api: http.server.ThreadingHTTPServer) -> None:
    run(Scripted(tmp_path), {"http": f"PUT http://127.0.0.1:{api.server_port}/p", "body_template": "pool.j2"})
    assert api.seen[0][2] == "rendered pool.j2"  # type: ignore[attr-defined]


def test_unexpected_status_says_target_verb_step_and_last_lines(
    tmp_path: Path, api: http.server.ThreadingHTTPServer
) -> None:
    with pytest.raises(SetupFault) as caught:
        run(Scripted(tmp_path), {"signal": "HUP"}, {"http": f"PUT http://127.0.0.1:{api.server_port}/missing"})
    message = str(caught.value)
    assert all(word in message for word in ("toy: apply, step 2 (http PUT", "expected 200", "got 404", "reloaded"))


def test_until_is_polled_until_it_matches_often_enough(tmp_path: Path, api: http.server.ThreadingHTTPServer) -> None:
    step = {"http": f"PUT http://127.0.0.1:{api.server_port}/", "until": "^generation {generation}$", "times": 3}
    run(Scripted(tmp_path), step, generation="2")
    assert len(api.seen) == 5  # type: ignore[attr-defined]


def test_until_that_never_comes_says_what_was_seen_last(tmp_path: Path, api: http.server.ThreadingHTTPServer) -> None:
    step = {"http": f"PUT http://127.0.0.1:{api.server_port}/", "until": "ready", "timeout": 0.1}
    with pytest.raises(SetupFault, match=r"waited 0\.1 s for 'ready'; last seen: 200 generation"):
        run(Scripted(tmp_path), step)


def test_values_in_until_are_no_regular_expressions(tmp_path: Path) -> None:
    step = Step.model_validate({"exec": ["echo", "aXb"], "until": "{name}"})
    assert not steps.matches(Scripted(tmp_path), step, {"name": "a.b"}, "toy")
    assert steps.matches(Scripted(tmp_path), step, {"name": "aXb"}, "toy")


def test_render_writes_below_the_workdir(tmp_path: Path) -> None:
    run(Scripted(tmp_path), {"render": "../_shared/lb.conf.j2"}, {"render": "a.j2", "to": "sub/{name}"}, name="b")
    assert (tmp_path / "lb.conf").read_text() == "rendered ../_shared/lb.conf.j2"
    assert (tmp_path / "sub" / "b").read_text() == "rendered a.j2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lb.conf", "sub"]


def test_signal_and_log_of_this_verb_only(tmp_path: Path) -> None:
    balancer = Scripted(tmp_path, written="reloaded\nreloaded\n")
    run(balancer, {"signal": "HUP"}, {"log": "reloaded"})
    assert balancer.signals == [signal.SIGHUP]
    with pytest.raises(SetupFault, match="0 of 1 such lines"):
        run(balancer, {"log": "reloaded", "timeout": 0.05})


def test_signal_to_a_dead_balancer(tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match="not running"):
        run(Scripted(tmp_path, gone=True), {"signal": "HUP"})


def test_waiting_ends_when_the_balancer_dies(tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match="has ended"):
        run(Scripted(tmp_path, gone=True), {"log": "ready", "timeout": 60})


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('no luck')"], "exit code 1 no luck"),
        (["no-such-command-at-all"], "no-such-command-at-all: No such file"),
    ],
)
def test_commands_that_fail(tmp_path: Path, argv: list[str], expected: str) -> None:
    with pytest.raises(SetupFault, match=expected):
        run(Scripted(tmp_path), {"exec": argv})


def test_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match=r"did not end within 0\.2 s"):
        run(Scripted(tmp_path), {"exec": ["sh", "-c", "sleep 60 & echo $! >pid; wait"], "timeout": 0.2})
    pid = int((tmp_path / "pid").read_text())
    # Killed is not yet gone: the kernel takes its time.
    wait_until(lambda: _gone(pid), timeout=10, what=f"process {pid} to end")


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_socket_step_sends_and_reads(tmp_path: Path) -> None:
    path = tmp_path / "lb.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        got: list[bytes] = []

        def answer() -> None:
            channel, _ = listener.accept()
            with channel:
                got.append(channel.recv(100))
                channel.sendall(b"b1 UP\n")

        thread = threading.Thread(target=answer)
        thread.start()
        run(Scripted(tmp_path), {"socket": "{dir}/lb.sock", "send": "show\n", "until": "UP"}, dir=str(tmp_path))
        thread.join()
    assert got == [b"show\n"]
    with pytest.raises(SetupFault, match=r"none\.sock"):
        run(Scripted(tmp_path), {"socket": str(tmp_path / "none.sock"), "send": "x"})


def test_garbage_instead_of_http(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            channel, _ = listener.accept()
            with channel:
                channel.recv(1000)
                channel.sendall(b"SSH-2.0-whatever\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SetupFault, match=r"not in HTTP: SSH-2\.0"):
            run(Scripted(tmp_path), {"http": f"GET http://127.0.0.1:{listener.getsockname()[1]}/"})
        thread.join()


def test_placeholders() -> None:
    values = {"a.b": "1", "c": "2"}
    assert fill('{a.b}{c} {{c}} ${c} {"n": 1} {} {1,2}', values, where="") == '12 {c} ${c} {"n": 1} {} {1,2}'
    with pytest.raises(UsageFault, match=r"here: unknown placeholder \{a.c\}; did you mean \"a.b\""):
        fill("{a.c}", values, where="here")
