"""Who makes a cookie up does not choose a backend by it."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Callable
from urllib.parse import quote

from limpet import Contract, Kind, Observed, Scenario, behaviour, largest_share
from limpet.harness.model.contract.stated import may, must
from limpet.harness.model.cookies import BackendFacts
from limpet.harness.model.cookies.altered import letters
from limpet.harness.model.oracle.exchanges import ODD
from limpet.harness.model.statistics import runs_needed

ALPHA = 1e-6


def _address(facts: BackendFacts) -> str:
    return f"{facts.host}:{facts.port}"


def _number(facts: BackendFacts) -> str:
    """Address and port as numbers with the octets turned round, as some products write them."""
    try:
        packed = socket.inet_aton(facts.host)
    except OSError:
        return _address(facts)
    return f"{int.from_bytes(packed, 'little')}.{int.from_bytes(facts.port.to_bytes(2, 'little'), 'big')}.0000"


FORGERS: dict[str, Callable[[BackendFacts], str]] = {
    "name": lambda facts: facts.name,
    "address and port": _address,
    "address": lambda facts: facts.host,
    "port": lambda facts: str(facts.port),
    "name at address": lambda facts: f"{facts.name}@{_address(facts)}",
    "session and name": lambda facts: f"0123456789abcdef.{facts.name}",
    "URL": lambda facts: quote(f"http://{_address(facts)}", safe=""),
    "JSON": lambda facts: quote(json.dumps({"backend": facts.name}), safe=""),
    "base64 of the name": lambda facts: base64.b64encode(facts.name.encode()).decode(),
    "base64 of the address": lambda facts: base64.b64encode(_address(facts).encode()).decode(),
    "hex of the address": lambda facts: _address(facts).encode().hex(),
    "turned octets": _number,
    "MD5 of the name": lambda facts: hashlib.md5(facts.name.encode()).hexdigest(),
    "MD5 of the address": lambda facts: hashlib.md5(_address(facts).encode()).hexdigest(),
    "SHA-256 of the address": lambda facts: hashlib.sha256(_address(facts).encode()).hexdigest(),
}


def _unless_opaque(contract: Contract) -> str:
    if not must(contract.cookie.value if contract.cookie else None, "opaque"):
        return "values need not be opaque"
    return "a made-up value may become a pin by its use" if may(contract.reaction.bad_cookie, "accept") else ""


@behaviour(
    "security.forged-cookie",
    only_cited=True,
    fields=("cookie.value", "reaction.bad_cookie", "cookie.name"),
    layers=(7,),
    affinities=("lb-cookie",),
    unless=_unless_opaque,
    certainty="a form of value is accused only when each of its values led where it said, so often that luck cannot",
    error_rate=1e-6,
    budget=160,
)
def test_forged_cookie(s: Scenario) -> None:
    """Values made up from what is known of a backend, its name or address in many forms, do not lead there."""
    s.need_members(2)
    cookie = s.contract.cookie
    assert cookie is not None
    facts = {each.name: BackendFacts(each.name, each.host, each.port) for each in s.system.target.members}
    needed = runs_needed(largest_share(s), ALPHA / len(FORGERS))
    forms = s.rng.sample(sorted(FORGERS), len(FORGERS))
    s.step(f"{len(forms)} forms of value are tried until one of each leads elsewhere, at most {needed} times")
    for form in forms:
        for _ in range(needed):
            wanted = s.rng.choice(sorted(facts))
            value = FORGERS[form](facts[wanted])
            # Limpet drew whom it wants, so that any pick that knows nothing of the value meets it by luck only.
            answer = s.client().visit(cookie=f"{cookie.name}={value}", note=ODD)
            if answer.backend != wanted:
                s.decided += 1
                break
        else:
            if _unknown_values_are_hashed(s, cookie.name or "", needed):
                raise Observed("the same unknown value always leads to the same backend, whatever it says")
            text = f"{needed} requests with a made-up value, the {form} of a backend, all went to that backend"
            s.broken(Kind.COOKIE_ACCEPTED, text, answer)


def _unknown_values_are_hashed(s: Scenario, name: str, needed: int) -> bool:
    """Whether a value that says nothing has a home too: then so few names meet their own backends by luck."""
    s.step("the control: one value that says nothing, as often")
    value = letters(s.rng, 20)
    return len({s.client().visit(cookie=f"{name}={value}", note=ODD).backend for _ in range(needed)}) == 1
