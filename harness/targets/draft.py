"""Writes a draft target for a balancer of one's own that already runs, with servers of one's own or limpet's.

Everything that must be filled in is marked ``FILL IN``; the draft loads when that is done and no mark is left.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.addresses import split_address
from limpet.harness.targets.load import FILE, bundled_profile
from limpet.harness.targets.marks import MARK

PROFILE = "profile.toml"
_GATE = """
# Behaviours that must be held for exit code 0, so that "nothing was checkable" is no success.
[gate]
require = ["affinity.holds"]
"""
_NO_GATE = """
# Behaviours that must be held for exit code 0. This profile does not promise that users stay where they are.
[gate]
# require = ["affinity.new-sessions-spread"]
"""
_URL = re.compile(r"(https?|tcp|udp)://[A-Za-z0-9.\-_\[\]:]+(/[^\s\"\\\\]*)?")


def draft(directory: Path, *, product: str = "", url: str = "", profile: str = "", listen: Sequence[str] = ()) -> Path:
    """Write ``target.toml``, and ``profile.toml`` unless limpet knows the profile, into a directory.

    Args:
        directory: where, made if need be; its name becomes the target's name.
        product: a short word for the balancer; default: the profile's product, or ``mine``.
        url: the balancer's address, where it is known.
        profile: the bundled profile that it is to be judged by; default: ``PRODUCT/sticky``, which is drafted too.
        listen: ``HOST:PORT`` where the balancer expects each of its servers, for limpet to start its own there;
            none: the servers are the user's.

    Returns:
        The written ``target.toml``.

    Raises:
        UsageFault: a file is already there, or cannot be written; the URL or another address is none; there is no such
            profile, or it is one that only limpet's own servers can show.
    """
    if url and not _URL.fullmatch(url):
        raise UsageFault(f'"{url}" is no address of a balancer', where="--url", do="Give it as http://HOST:PORT.")
    for each in listen:
        try:
            split_address(each, "--listen")
        except ValueError as err:
            raise UsageFault(str(err)) from None
    chosen = _chosen(profile, own=not listen) if profile else _Chosen()
    word = _word(product) or profile.partition("/")[0] or "mine"
    name = _word(directory.resolve().name) or "my-balancer"
    address = f'"{url}"' if url else f'""   # {MARK}: {chosen.scheme}://HOST:PORT of the balancer'
    members = "".join(_MEMBER.format(number=number, listen=each) for number, each in enumerate(listen, 1))
    target = "".join([
        _HEAD.format(name=name, product=word, url=address, mark=MARK, profile=profile or f"{word}/sticky",
                     about=_KNOWN.format(profile=profile) if profile else _OWN.format(product=word),
                     choices=chosen.choices),
        _LISTENING.format(protocol=chosen.protocol) + members if listen else _YOURS.format(mark=MARK),
        _STEERING,
        _REQUEST if chosen.scheme == "http" else "",
        _TIMING.format(mark=MARK),
        chosen.gate,
    ])  # fmt: skip
    texts = {directory / FILE: target}
    if not profile:
        texts[directory / PROFILE] = _PROFILE.format(product=word, identifier=word.upper(), mark=MARK)
    for file in (directory / FILE, directory / PROFILE):
        if file.exists():
            raise UsageFault(
                "is there already; a draft overwrites nothing", where=str(file), do="Name a new directory."
            )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text, "utf-8")
    except OSError as err:
        raise UsageFault(f"cannot be written: {err.strerror}", where=str(directory)) from None
    return directory / FILE


@dataclass(frozen=True)
class _Chosen:
    """What a draft says because of its profile: lines of [contract], of [backends] and [gate], the URL's scheme."""

    choices: str = '# cookie_name = "SERVERID"\n# duration = "20m"\n'
    protocol: str = ""
    scheme: str = "http"
    gate: str = _GATE


def _chosen(profile: str, *, own: bool) -> _Chosen:
    """What follows from a bundled profile.

    Raises:
        UsageFault: there is none of that name, or the servers would have to be limpet's.
    """
    catalogue, contract = bundled_profile(profile)
    tcp = "tls" if contract.affinity == "tls-session-id" else contract.protocol
    if tcp != "http" and own:
        raise UsageFault(
            f"{profile} is about {tcp.upper()}, where only limpet's own servers tell who answered", where="--profile",
            do="Say where the balancer expects its servers, each with --listen HOST:PORT.",
        )  # fmt: skip
    lines = [f"# {line}\n" for line in textwrap.wrap(contract.note, 117)]
    if contract.affinity == "lb-cookie" and contract.cookie and not (contract.cookie.name or contract.cookie.pattern):
        lines.append(f'cookie_name = "SERVERID"           # {MARK}: the cookie that the balancer sets\n')
    if contract.affinity == "app-cookie" and contract.application and not contract.application.name:
        lines.append(f'application_name = "JSESSIONID"    # {MARK}: the application\'s cookie\n')
    if contract.duration.clock and not set(contract.duration.clock.allowed) & {"none", "session"}:
        lines.append('# duration = "20m"\n')
    named = catalogue.requirements(profile.partition("/")[2], "affinity.holds")
    gate = _GATE if any(each.level != "observe" for each in named) else _NO_GATE
    scheme = "http" if tcp == "http" else contract.protocol
    return _Chosen("".join(lines), "" if tcp == "http" else f'protocol = "{tcp}"\n', scheme, gate)


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_KNOWN = """\
# What it promises, sentence by sentence: limpet requirements --profile {profile}
"""

_OWN = """\
# What it promises: {product}/sticky is the file profile.toml beside this one. `limpet profiles` lists those that limpet
# brings; name one of them instead if it is your balancer's.
"""

_HEAD = """\
# A target: one balancer under test. Lines with {mark} need your answer: put it in, and take the
# mark off. What is commented out is optional.
# Try it with:  limpet run --target .

name = "{name}"
{about}profile = "{profile}"
product = "{product}"
title = "{name}"

# What this deployment chose, within the profile's range.
[contract]
{choices}
[endpoint]
url = {url}
# A balancer that is not on this machine gets test traffic only if you allow it, and at most max_rate requests a second.
# allow_remote = true
# max_rate = 50

"""

_LISTENING = """\
# For each run limpet starts a server of its own at each of these addresses, sees both sides of every request, takes
# servers down and brings them back by itself. Nothing else may listen there meanwhile.
[backends]
owner = "limpet"
{protocol}
"""

_MEMBER = """\
[[backends.member]]
name = "b{number}"
listen = "{listen}"

"""

_YOURS = """\
[backends]
owner = "yours"

# Where a response tells which backend answered: one of header, json, regex. Without this limpet cannot tell backends
# apart. Where yours tell nothing, add such a header in their web server, or put `limpet backend` in their place (its
# header is Limpet-Backend).
[backends.identity]
header = "X-Backend"               # {mark}: the header that holds the backend's name
# json = "server.name"             # or a key of the JSON body
# regex = "served by ([a-z0-9]+)"  # or the one group of a regular expression over the body

# One table for each backend. `name` is what the identity above shows. Add a third if you can: a few checks need three,
# and with two they are "not checkable".
[[backends.member]]
name = ""                          # {mark}
host = ""                          # {mark}
# port = 8080
# Commands that take this backend down and bring it back; without them everything about failover is "not checkable".
# kill   = [{{ exec = ["ssh", "{{backend.host}}", "systemctl kill -s KILL app"] }}]
# revive = [{{ exec = ["ssh", "{{backend.host}}", "systemctl start app"] }}]
# A container of a Docker engine needs no commands, and no host:
# container = "shop-1"

[[backends.member]]
name = ""                          # {mark}
host = ""                          # {mark}

"""

_STEERING = """\
# What limpet may do to the balancer itself. Each verb is a list of steps:
#   { exec = ["command", "argument"] }                       run in this directory; exit code 0 expected
#   { http = "POST http://127.0.0.1:9000/reload", body = "", headers = {}, expect = 200 }
#   { render = "config.j2", to = "config" }                  a Jinja2 template of this directory
#   { socket = "/run/lb.sock", send = "show servers" }
# A step with `until = "REGEX"` is repeated until its answer matches.
[control]
# reload = [{ exec = ["systemctl", "reload", "my-balancer"] }]
# restart = [{ exec = ["systemctl", "restart", "my-balancer"] }]
# apply = [{ render = "pool.conf.j2" }, { exec = ["./reload.sh"] }]     # bring it to the pool in `members`
# covers = ["add", "remove", "drain"]                                   # which changes `apply` brings about
# settled = [{ http = "GET http://127.0.0.1:9000/status", until = "ready" }]

"""

_REQUEST = """\
# What your backends need of a request.
[request]
path = "/"
method = "GET"
# headers = { Host = "shop.example" }

"""

_TIMING = """\
# How long the balancer may lawfully lag: its health checks decide. Say why, so that a reader can judge.
[timing]
down_noticed = {{ value = "10s", reason = "health check every 5 s, two failures" }}   # {mark}
up_noticed = {{ value = "10s", reason = "health check every 5 s, two successes" }}    # {mark}
apply_settles = {{ value = "2s", reason = "a reload takes less than 2 s" }}
"""

_PROFILE = """\
# What your balancer's documentation promises about stickiness. What it does not say, leave out: limpet then observes
# and never fails. Fields and words: docs/contracts.md, or `limpet schema catalogue`. Lines with {mark} need your
# answer: put it in, and take the mark off.

[product]
name = "{product}"
title = "{product}"
documentation = "https://example.org/"     # {mark}: the page that you read

[profile.sticky]
title = "sticky sessions"
layer = 7
affinity = "lb-cookie"                     # {mark}: lb-cookie, app-cookie, source-ip, header, url or none

[profile.sticky.cookie]                    # for lb-cookie: the cookie that the balancer sets
name = "SERVERID"                          # {mark}
# issued = "first-response"                # first-response, every-response or on-change

# [profile.sticky.application]             # for app-cookie: the application's own cookie
# name = "JSESSIONID"

[profile.sticky.duration]
# default = "20m"
# clock = "idle"                           # idle (traffic restarts it), absolute, session or none
# kept_by = "balancer"                     # balancer, client or both

[profile.sticky.reaction]
# unhealthy = "repin"                      # a dead backend's clients get another one, and keep it
# recovered = "stay"                       # stay there when the old one is back, or return
# added = "keep"
# removed = "repin"

# The sentences of your documentation and the checks that each stands for (`limpet behaviours` lists all there are).
# Reports cite them; a check that no sentence names is not made. What is a comment above is promised nowhere, and the
# checks of it come out as "not promised", whatever is named here.
[[requirement]]
id = "{identifier}-01"
level = "must"
profiles = ["sticky"]
text = "Requests of one client reach one backend."
sources = ["https://example.org/"]         # {mark}
behaviours = [
    "affinity.holds",
    "affinity.holds-across-connections",
    "affinity.holds-within-connection",
    "affinity.holds-across-paths-and-methods",
    "affinity.holds-under-concurrency",
    "affinity.independent",
]

[[requirement]]
id = "{identifier}-02"
level = "must"
profiles = ["sticky"]
text = "The balancer's cookie says where a client belongs."
sources = ["https://example.org/"]         # {mark}
behaviours = [
    "cookie.name",
    "cookie.issued",
]

[[requirement]]
id = "{identifier}-03"
level = "must"
profiles = ["sticky"]
text = "A client belongs to its backend for a time."
sources = ["https://example.org/"]         # {mark}
behaviours = [
    "duration.default",
    "duration.holds-until",
    "duration.expires",
    "duration.idle-restarts",
    "duration.absolute-does-not-restart",
    "duration.session-cookie",
    "duration.kept-by",
]

[[requirement]]
id = "{identifier}-04"
level = "must"
profiles = ["sticky"]
text = "When a backend fails its clients get another one, and nobody else does."
sources = ["https://example.org/"]         # {mark}
behaviours = [
    "failover.repins",
    "failover.repins-once",
    "failover.others-unmoved",
    "failover.session-data",
]

[[requirement]]
id = "{identifier}-05"
level = "must"
profiles = ["sticky"]
text = "Backends come and go without disturbing who belongs to others."
sources = ["https://example.org/"]         # {mark}
behaviours = [
    "membership.added-keeps",
    "membership.removed-repins",
    "membership.drain",
]
"""
