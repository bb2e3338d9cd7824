"""One look at something outside: an HTTP answer, a Unix socket's, a command's output; each over a new connection."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


class Unanswered(Exception):
    """It did not answer, or not in the way that was expected; the message says what came instead."""


@dataclass(frozen=True)
class Answer:
    """What came back: an HTTP status or exit code, the text, and the headers of a response."""

    code: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        text = self.text.strip()
        return f"{self.code} {text[:300]}{'…' if len(text) > 300 else ''}".strip()


def http_answer(
    method: str, url: str, *, body: str, headers: Mapping[str, str], timeout: float, verify: bool = True, ca: str = ""
) -> Answer:
    """One HTTP request over a new connection; no proxy, no redirect, no retry. ``ca``: a PEM file to trust alone.

    Raises:
        Unanswered: no connection, no answer within ``timeout`` seconds, or no HTTP.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as err:
        raise Unanswered(f"{url}: {err}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unanswered(f"{url} is no http or https address")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        try:
            context = ssl.create_default_context(cafile=ca or None) if verify else ssl._create_unverified_context()
        except OSError as err:
            raise Unanswered(f"the CA file {ca} cannot be used: {err}") from None
        connection = http.client.HTTPSConnection(parts.hostname, port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, path, body=body.encode() or None, headers={"Connection": "close", **headers})
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
        return Answer(response.status, text, tuple(response.getheaders()))
    except http.client.BadStatusLine as err:
        raise Unanswered(f"{url} answers, but not in HTTP: {str(err)[:80]}") from None
    except (OSError, http.client.HTTPException, ValueError) as err:
        raise Unanswered(f"{url}: {str(err) or type(err).__name__}") from None
    finally:
        connection.close()


def socket_answer(path: str, send: str, *, timeout: float) -> str:
    """What a Unix socket says to a text, until it closes the connection.

    Raises:
        Unanswered: no connection, or it did not finish within ``timeout`` seconds.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(timeout)
            channel.connect(path)
            channel.sendall(send.encode())
            channel.shutdown(socket.SHUT_WR)
            parts = bytearray()
            while part := channel.recv(65536):
                parts += part
    except OSError as err:
        raise Unanswered(f"{path}: {str(err) or type(err).__name__}") from None
    return parts.decode("utf-8", "replace")


def command_answer(argv: Sequence[str], *, cwd: Path, timeout: float) -> Answer:
    """Exit code and output (stdout, then stderr) of a command; its whole process group ends with the timeout.

    Raises:
        Unanswered: it cannot be started, or runs longer than ``timeout`` seconds.
    """
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as err:
        raise Unanswered(f"{argv[0]}: {err.strerror}") from None
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Unanswered(f"{argv[0]} did not end within {timeout:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return Answer(process.returncode, output + errors)


def accepts(host: str, port: int, *, timeout: float) -> bool:
    """Whether somebody accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError:
        return False
    return True
