# ruff: noqa: T201  what these functions print is what the tests read
"""Functions that the tests of the keeper fork. Imported by name in the keeper, through PYTHONPATH."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def quit_with(args: Sequence[str]) -> int:
    print("said", *args)
    return int(args[0])


def crash(args: Sequence[str]) -> int:
    raise RuntimeError("crashed on purpose")


def sleep(args: Sequence[str]) -> int:
    time.sleep(600)
    return 0


def listen(args: Sequence[str]) -> int:
    listening = socket.create_server((args[0], int(args[1])))
    print("listening", flush=True)
    time.sleep(600)
    listening.close()
    return 0


def describe(args: Sequence[str]) -> int:
    links = {}
    for one in Path("/proc/self/fd").iterdir():
        try:
            links[int(one.name)] = str(one.readlink())
        except OSError:
            continue
    print(
        json.dumps(
            {
                "fds": links,
                "session": os.getsid(0),
                "pid": os.getpid(),
                "random": random.random(),
                "int": signal.getsignal(signal.SIGINT),
                "term": signal.getsignal(signal.SIGTERM),
                "env": os.environ.get("LIMPET_TEST", ""),
            }
        )
    )
    return 0


def leave_orphans(args: Sequence[str]) -> int:
    """Start a worker in this session and a daemon in its own, print their ids, and sleep."""
    code = "import time; time.sleep(600)"
    worker = subprocess.Popen([sys.executable, "-S", "-c", code])
    daemon = subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
    print(worker.pid, daemon.pid, flush=True)
    time.sleep(600)
    return 0
