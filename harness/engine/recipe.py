"""How to see a violation without limpet where no single request shows it: what was done, and the requests by curl."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.harness.model.history import Record, Sent
from limpet.harness.model.oracle.evidence import curl, remarks
from limpet.harness.model.verdict import Step

_STEPS = 12
"""Steps that are told; the last ones led to what was seen."""
_ROUNDS = 200
"""More requests than this would show nothing that these do not."""


def recipe(
    records: Sequence[Record], steps: Sequence[Step], url: str, path: str = "/", ca: str | None = ""
) -> tuple[str, ...]:
    """Command lines, with comments on what is to be done before them.

    Args:
        records: the history of the scenario so far.
        steps: what it says that it did.
        url: the balancer's address.
        path: what to ask for where it sent nothing at all.
        ca: the PEM file that its certificate leads back to; "" for what the machine trusts, None to take any.

    Returns:
        Lines for a shell; at least one of them is a command.
    """
    lines = [*remarks(url, ca)]
    lines += [f"# {step.t:+.1f} s: {_one_line(step.text)}" for step in steps[-_STEPS:]]
    sent = [each for each in records if isinstance(each, Sent)]
    if not sent:
        method = "TCP" if url.startswith("tcp:") else "GET"
        lines.append("# limpet sent no request of its own; this one shows whether and how the balancer answers")
        return (*lines, curl(Sent("", 0.0, "", "", "", method=method, path=path), url, ca=ca))
    last = sent[-1]
    alike = [each for each in sent if _form(each) == _form(last)]
    if len(alike) == 1:
        lines.append("# the last request")
        return (*lines, curl(last, url, ca=ca))
    lines.append(f"# {len(alike)} requests of this form were sent, and what they got was judged together:")
    first = alike[0]
    if _has_cookie(last):
        lines.append("# put the cookie that the balancer gives to the user in the place of this run's")
    if len({each.source for each in alike}) > 1:
        lines.append("# limpet's users come from addresses of their own (--interface), here it is one user's")
    if first.offset != last.offset:
        lines.append(f"# between the first and the last of them {last.offset - first.offset:g} s of time were let pass")
    return (*lines, f"for i in $(seq {min(len(alike), _ROUNDS)}); do {curl(last, url, ca=ca)}; done")


def _form(sent: Sent) -> tuple[str, str, bool]:
    return sent.method, sent.path, _has_cookie(sent)


def _has_cookie(sent: Sent) -> bool:
    return any(name.lower() == "cookie" for name, _ in sent.headers)


def _one_line(text: str) -> str:
    """A step's text may quote the balancer: a line of it must not become a command."""
    return "".join(each if each.isprintable() else " " for each in text)
