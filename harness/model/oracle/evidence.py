"""Makes a violation out of a judged request: who, when, what was expected, what led there, how to see it by curl."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

import msgspec

from limpet.harness.model.history import Control, Sent
from limpet.harness.model.oracle.bindings import Binding
from limpet.harness.model.oracle.exchanges import Exchange
from limpet.harness.model.violation import Kind, Violation

_TRAIL = 8
_KEY_SHOWN = 24
_REPLAYED = (
    "cookie", "authorization", "content-type", "accept", "origin", "x-forwarded-for", "x-real-ip", "forwarded",
    "upgrade", "connection", "sec-websocket-version", "sec-websocket-key",
)  # fmt: skip

_SENTENCES = {
    Kind.MOVED: "reached {seen} although it was pinned to {expected}",
    Kind.EXPIRED_EARLY: "reached {seen} although its pin to {expected} had not expired",
    Kind.NOT_REPINNED: "reached {seen} although it had been re-pinned to {expected}",
    Kind.FAILED_BACK: "went back to {seen} although it had been re-pinned to {expected}",
    Kind.NOT_RETURNED: "stayed on {seen} although it should have gone home to {expected}",
    Kind.SERVED_BY_REMOVED: "reached {seen}, which had been removed; allowed: {expected}",
    Kind.SERVED_BY_DRAINING: "reached {seen}, which was draining; allowed: {expected}",
    Kind.SERVED_BY_UNHEALTHY: "reached {seen}, which was unhealthy; allowed: {expected}",
    Kind.NO_FAILOVER: "failed ({seen}) although its backend was known to be gone and {expected} could have answered",
    Kind.WRONG_ANSWER: "was given the answer of {seen} to another request, with whatever that user is told in its head",
    Kind.ERROR: "failed ({seen}) although {expected} could have answered",
}


class Evidence:
    """Finds the evidence for violations in one history.

    Args:
        found: all exchanges, in the order of sending.
        controls: what was done to the system, in the order of its beginning.
        url: the balancer's address as clients see it.
        key: name of the header that is the affinity key, where one is.
        ca: the PEM file that its certificate leads back to, see `curl`.
    """

    def __init__(
        self, found: Sequence[Exchange], controls: Sequence[Control], url: str, key: str = "", ca: str | None = ""
    ) -> None:
        self._key = key
        self._ca = ca
        self._controls = controls
        self._url = url
        self._of_client: dict[str, list[Exchange]] = {}
        for each in found:
            self._of_client.setdefault(each.sent.client, []).append(each)
        self._start = min((each.begin for each in found), default=0.0)

    def wrong_key(self, exchange: Exchange, binding: Binding) -> Violation:
        """The violation of a response that handed out a key which belongs to another backend."""
        violation = self.violation(Kind.MOVED, exchange, binding.homes, binding.first)
        owner = " or ".join(sorted(binding.homes))
        text = f"{exchange.sent.client}'s request {exchange.sent.id} was answered by {exchange.backend}"
        return msgspec.structs.replace(
            violation, text=f"{text}, which handed out {_short(binding.key)}, a key of {owner}"
        )

    def violation(self, kind: Kind, exchange: Exchange, allowed: Collection[str], first: Exchange | None) -> Violation:
        """The violation of this request; ``first`` is the exchange that bound its key first, where there is one."""
        expected = tuple(sorted(allowed))
        seen = exchange.backend or _failure(exchange)
        nobody = "no backend (it should have been refused)"
        sentence = _SENTENCES[kind].format(seen=seen, expected=" or ".join(expected) or nobody)
        before = self._before(exchange)
        if first is None and before:
            first = before[0]
        return Violation(
            kind=kind,
            text=_printable(f"{exchange.sent.client}'s request {exchange.sent.id} {sentence}"),
            client=exchange.sent.client,
            request=exchange.sent.id,
            t=exchange.begin,
            expected=expected,
            seen=seen,
            trail=self._trail(exchange, first, before),
            curl=self._curl(exchange, first),
        )

    def _before(self, exchange: Exchange) -> list[Exchange]:
        """The same client's last requests that were answered before this one was sent."""
        found: list[Exchange] = []
        for each in reversed(self._of_client[exchange.sent.client]):
            if each.end <= exchange.begin:
                found.append(each)
            if len(found) == _TRAIL:
                break
        return found[::-1]

    def _trail(self, exchange: Exchange, first: Exchange | None, before: Sequence[Exchange]) -> tuple[str, ...]:
        shown = [*before, exchange]
        if first is not None and first not in shown and first.begin <= exchange.begin:
            shown.insert(0, first)
        begin = min(each.begin for each in shown)
        lines = [(each.begin, 1, self._request_line(each)) for each in shown]
        lines += [
            (each.t, 0, f"{self._at(each.t)} limpet did: {_deed(each)}, settled {self._at(each.done)}")
            for each in self._controls
            if begin <= each.t <= exchange.end
        ]
        return tuple(_printable(line) for *_, line in sorted(lines, key=lambda each: each[:2]))

    def _request_line(self, exchange: Exchange) -> str:
        sent, received = exchange.sent, exchange.received
        if exchange.failed or received is None:
            answer = _failure(exchange)
        else:
            answer = f"{received.status} from {received.backend or 'an unknown backend'}" if received.status else (
                f"answer from {received.backend or 'an unknown backend'}"
            )  # fmt: skip
        virtual = f" (clock +{sent.offset:g} s)" if sent.offset else ""
        key = ", ".join(_short(key) for key in exchange.keys) or "no key"
        new = f", new key {', '.join(_short(key) for key in exchange.issued)}" if exchange.issued else ""
        where = f"{sent.client} {sent.source} {sent.method} {_printable(sent.path)}"
        return f"{self._at(sent.t)}{virtual} {where} [{key}] → {answer}{new}"

    def _at(self, t: float) -> str:
        return f"{t - self._start:+.3f} s"

    def _curl(self, exchange: Exchange, first: Exchange | None) -> tuple[str, ...]:
        """The request that made the binding, what was done since, and the request that went wrong.

        Cookies in it are those of this run; a comment says where a fresh one has to be put in its place.
        """
        lines = [*remarks(self._url, self._ca)]
        since, offset = exchange.begin, exchange.sent.offset
        if first is not None and first is not exchange and first.begin <= exchange.begin:
            lines.append(curl(first.sent, self._url, self._key, self._ca))
            since, offset = first.begin, first.sent.offset
            if any(name.lower() == "cookie" for name, _ in exchange.sent.headers):
                lines.append("# in what follows, put the cookie of that answer in the place of this run's")
            elif first.issued and exchange.keys:
                lines.append("# in what follows, put the session id of that answer in the place of this run's")
        for each in self._controls:
            if since <= each.t <= exchange.end:
                lines.append(f"# now: {_deed(each)}")
        if exchange.sent.offset > offset:
            lines.append(f"# now let {exchange.sent.offset - offset:g} s pass")
        return (*lines, curl(exchange.sent, self._url, self._key, self._ca))


def remarks(url: str, ca: str | None) -> tuple[str, ...]:
    """What is to be said before the first command line: comments for a shell."""
    if ca is None and url.startswith("https:"):
        return ("# -k: the target says verify = false, so any certificate is taken",)
    return ()


def curl(sent: Sent, url: str, key: str = "", ca: str | None = "") -> str:
    """The command line that sends this request again from the same address, quoted for a shell such as bash or zsh.

    Args:
        sent: the request.
        url: the balancer's address as clients see it.
        key: name of the header that is the affinity key, where one is.
        ca: the PEM file that its certificate leads back to; "" for what the machine trusts, None to take any.
    """
    if sent.method in ("TCP", "UDP"):
        host, _, port = url.rpartition("://")[2].rstrip("/").rpartition(":")
        how = ["nc", "-u"] if sent.method == "UDP" else ["nc"]
        address = ["-s", sent.source] if sent.source else []
        return "printf 'LIMPET 1\\n' | " + shlex.join([*how, *address, "-q", "1", host.strip("[]") or host, port])
    words = ["curl", "-s", "-i", "--path-as-is", "--globoff"]
    if url.startswith("https:") and ca != "":
        words += ["-k"] if ca is None else ["--cacert", ca]
    if sent.source:
        words += ["--interface", sent.source]
    if sent.carried:
        words += ["--haproxy-clientip", sent.carried]
    if sent.method == "HEAD":
        words.append("-I")
    elif sent.method != "GET":
        words += ["-X", sent.method]
    for name, value in sent.headers:
        if name.lower() in _REPLAYED or name.lower() == key.lower():
            # "Name;" is how curl is told to send a header without a value.
            words += ["-H", f"{name}: {value}" if value.strip() else f"{name};"]
    return " ".join(_quoted(word) for word in [*words, url.rstrip("/") + sent.path])


def _quoted(word: str) -> str:
    """A word for the shell, on one line of plain characters even where the word is hostile."""
    if word.isprintable():
        return shlex.quote(word)
    octets = "".join(
        chr(each) if 32 <= each < 127 and chr(each) not in "'\\" else f"\\x{each:02x}"
        for each in word.encode("utf-8", "surrogateescape")
    )
    return f"$'{octets}'"


def _failure(exchange: Exchange) -> str:
    received = exchange.received
    if received is None:
        return "no answer"
    return received.error or f"status {received.status}"


def _deed(control: Control) -> str:
    value = f" {control.value:g}" if control.value else ""
    return f"{control.verb} {control.backend or 'the balancer'}{value}"


def _short(key: str) -> str:
    shown = _printable(key)
    return shown if len(shown) <= _KEY_SHOWN else f"{shown[:_KEY_SHOWN]}…"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
