"""Writes a draft target for a balancer of one's own that already runs, with backends of one's own.

Everything that must be filled in is marked ``FILL IN``; the draft loads as soon as that is done.
"""

from __future__ import annotations

import re
from pathlib import Path

from limpet.harness.model.errors import UsageFault
from limpet.harness.targets.load import FILE

MARK = "FILL IN"
PROFILE = "profile.toml"
_URL = re.compile(r"(https?|tcp|udp)://[A-Za-z0-9.\-_\[\]:]+(/[^\s\"\\\\]*)?")


def draft(directory: Path, *, product: str = "mine", url: str = "") -> Path:
    """Write ``target.toml`` and ``profile.toml`` into a directory, which is made if need be.

    Args:
        directory: where; its name becomes the target's name.
        product: a short word for the balancer, used for the profile ``PRODUCT/sticky``.
        url: the balancer's address, where it is known.

    Returns:
        The written ``target.toml``.

    Raises:
        UsageFault: a file is already there, or cannot be written; or the URL is none.
    """
    if url and not _URL.fullmatch(url):
        raise UsageFault(f'"{url}" is no address of a balancer', where="--url", do="Give it as http://HOST:PORT.")
    word = _word(product) or "mine"
    name = _word(directory.resolve().name) or "my-balancer"
    target, profile = directory / FILE, directory / PROFILE
    for file in (target, profile):
        if file.exists():
            raise UsageFault(
                "is there already; a draft overwrites nothing", where=str(file), do="Name a new directory."
            )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        address = f'"{url}"' if url else f'""   # {MARK}: http://HOST:PORT of the balancer'
        target.write_text(_TARGET.format(name=name, product=word, url=address, mark=MARK), "utf-8")
        profile.write_text(_PROFILE.format(product=word, identifier=word.upper(), mark=MARK), "utf-8")
    except OSError as err:
        raise UsageFault(f"cannot be written: {err.strerror}", where=str(directory)) from None
    return target


def _word(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_TARGET = """\
# A target: one balancer under test. Lines with {mark} need your answer; what is commented out is optional.
# Try it with:  limpet run --target .

name = "{name}"
# What it promises: {product}/sticky is the file profile.toml beside this one. `limpet requirements` lists the
# profiles that limpet brings; name one of them instead if it is your balancer's.
profile = "{product}/sticky"
product = "{product}"
title = "{name}"

# What this deployment chose, within the profile's range.
[contract]
# cookie_name = "SERVERID"
# duration = "20m"

[endpoint]
url = {url}
# A balancer that is not on this machine gets test traffic only if you allow it, and at most max_rate requests a second.
# allow_remote = true
# max_rate = 50

[backends]
owner = "yours"

# Where a response tells which backend answered: one of header, json, regex. Without this limpet cannot tell backends
# apart. A backend that has no such thing can stand behind `limpet backend`, or get one header in its web server.
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

# What limpet may do to the balancer itself. Each verb is a list of steps:
#   {{ exec = ["command", "argument"] }}                       run in this directory; exit code 0 expected
#   {{ http = "POST http://127.0.0.1:9000/reload", body = "", headers = {{}}, expect = 200 }}
#   {{ render = "config.j2", to = "config" }}                  a Jinja2 template of this directory
#   {{ socket = "/run/lb.sock", send = "show servers" }}
# A step with `until = "REGEX"` is repeated until its answer matches.
[control]
# reload = [{{ exec = ["systemctl", "reload", "my-balancer"] }}]
# restart = [{{ exec = ["systemctl", "restart", "my-balancer"] }}]
# apply = [{{ render = "pool.conf.j2" }}, {{ exec = ["./reload.sh"] }}]     # bring it to the pool in `members`
# covers = ["add", "remove", "drain"]                                   # which changes `apply` brings about
# settled = [{{ http = "GET http://127.0.0.1:9000/status", until = "ready" }}]

# What your backends need of a request.
[request]
path = "/"
method = "GET"
# headers = {{ Host = "shop.example" }}

# How long the balancer may lawfully lag: its health checks decide. Say why, so that a reader can judge.
[timing]
down_noticed = {{ value = "10s", reason = "health check every 5 s, two failures" }}   # {mark}
up_noticed = {{ value = "10s", reason = "health check every 5 s, two successes" }}    # {mark}
apply_settles = {{ value = "2s", reason = "a reload takes less than 2 s" }}

# Behaviours that must be held for exit code 0, so that "nothing was checkable" is no success.
[gate]
require = ["affinity.holds"]
"""

_PROFILE = """\
# What your balancer's documentation promises about stickiness. What it does not say, leave out: limpet then observes
# and never fails. Fields and words: `limpet schema catalogue`.

[product]
name = "{product}"
title = "{product}"
documentation = "https://example.org/"     # {mark}: the page that you read

[profile.sticky]
title = "sticky sessions"
layer = 7
affinity = "lb-cookie"                     # {mark}: lb-cookie, app-cookie, source-ip or none

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
