"""Before a mode is judged: is it on at all?

A directive that was dropped silently leaves plain round robin, and to judge that by the promises of the mode would
accuse a product of what its configuration did.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from limpet.harness.model.errors import SetupFault
from limpet.harness.targets import steps
from limpet.harness.targets.answers import Unanswered, http_answer
from limpet.harness.targets.model import Target

_PAUSE = 0.03
_LOOK = 2.0
"""Seconds that one answer may take."""
PATIENCE = 10.0
"""Seconds until the first answer must have come: a balancer may have to find its backends healthy first."""


def check(
    balancer: steps.Balancer, target: Target, values: Mapping[str, str], configuration: Sequence[str], *, ca: str
) -> None:
    """See that the mode is on, as far as the target says what shows it.

    Args:
        balancer: which runs and serves.
        target: what must be found.
        values: for placeholders.
        configuration: the files that it was started with.
        ca: the PEM file that this goes by; "" for what the machine trusts.

    Raises:
        SetupFault: what is missing and what was found instead, with the balancer's own last lines.
    """
    wanted = target.fingerprint
    if wanted is None:
        return
    where = f"{balancer.name}: fingerprint"
    if wanted.directive and not any(re.search(wanted.directive, text, re.MULTILINE) for text in configuration):
        raise _off(balancer, f"no line of its configuration matches {wanted.directive!r}", where)
    if wanted.cookie:
        _check_cookie(balancer, wanted.cookie, values["balancer.url"], target, where, ca)
    if wanted.state:
        try:
            steps.run(balancer, "fingerprint", wanted.state, values)
        except SetupFault as err:
            raise SetupFault(f"the mode is not on: {err.what}", where=err.where, do=err.do) from None


def _check_cookie(balancer: steps.Balancer, name: str, url: str, target: Target, where: str, ca: str) -> None:
    request = target.request
    deadline = time.monotonic() + PATIENCE
    pattern = re.compile(rf"(?:{name})\s*=")
    while True:
        late = time.monotonic() >= deadline
        try:
            answer = http_answer(
                request.method, f"{url}{request.path}", body=request.body, headers=request.headers, timeout=_LOOK,
                verify=target.endpoint.verify, ca=ca,
            )  # fmt: skip
            found = [value for key, value in answer.headers if key.lower() == "set-cookie"]
            if any(pattern.match(each) for each in found):
                return
            seen = f"{answer.code} with {' and '.join(each.partition('=')[0] for each in found) or 'no cookie'}"
        except Unanswered as err:
            seen = str(err)
        if balancer.died() or late:
            raise _off(balancer, f"its first answer sets no cookie {name!r}; last seen: {seen}", where)
        time.sleep(_PAUSE)


def _off(balancer: steps.Balancer, what: str, where: str) -> SetupFault:
    return steps.fault(balancer, f"the mode is not on: {what}", where=where)
