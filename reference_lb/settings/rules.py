"""What may go together. Each rule reads the sections it is about and says what is wrong with their combination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from limpet.reference_lb.settings.companion_rules import companion_names, companion_problems, reserved_names
from limpet.reference_lb.settings.config import (
    Affinity,
    CookieAttributes,
    Listener,
    Twin,
)
from limpet.reference_lb.settings.durations import show_duration
from limpet.reference_lb.settings.hash_rules import hash_problems
from limpet.reference_lb.settings.key_rules import key_problems
from limpet.reference_lb.settings.listener_rules import transport_problems
from limpet.reference_lb.settings.mark_rules import mark_problems
from limpet.reference_lb.settings.problems import Problem

SECURE_PREFIXES = ("__Host-", "__Secure-")


def listener_problems(listener: Listener, affinity: Affinity) -> Iterator[Problem]:
    """Cookies, headers and URLs need HTTP, flows anything else; TLS and whom to trust have rules of their own."""
    yield from transport_problems(listener)
    protocol, mode = listener.protocol, affinity.mode
    if protocol != "http" and mode in ("lb-cookie", "app-cookie", "header", "url"):
        yield Problem(
            "affinity.mode",
            f'"{mode}" needs listener.protocol = "http"; with "{protocol}" use "source-ip", "flow" or "none"',
        )
    if protocol != "http" and affinity.reaction.drain_timeout is not None:
        yield Problem("affinity.reaction.drain_timeout", 'it needs listener.protocol = "http"')
    if protocol != "tcp" and mode == "tls-session-id":
        yield Problem("affinity.mode", '"tls-session-id" needs listener.protocol = "tcp": the members speak TLS')
    if protocol == "http" and mode == "flow":
        yield Problem("affinity.mode", '"flow" needs listener.protocol = "tcp" or "udp": requests are no flows')
    if listener.rule and (protocol != "http" or mode not in ("lb-cookie", "source-ip", "none") or hashed(affinity)):
        yield Problem(
            "listener.rule",
            'it needs protocol = "http" and affinity.mode "lb-cookie", "source-ip" or "none", with store = "table"',
        )
    for path, count in Counter(each.path for each in listener.rule).items():
        if count > 1:
            yield Problem("listener.rule", f'{count} rules are about "{path}"')
    if mode == "flow" and listener.proxy_protocol:
        yield Problem(
            "listener.proxy_protocol", 'mode = "flow" goes by the ports of connections, which are the proxy\'s'
        )


def hashed(affinity: Affinity) -> bool:
    """Whether pins are computed instead of kept."""
    return affinity.store != "table"


def affinity_problems(affinity: Affinity) -> Iterator[Problem]:
    """Everything about one `[affinity]`."""
    yield from _limits(affinity)
    if affinity.clock == "session":
        yield from _session(affinity)
    if affinity.mode != "lb-cookie" and affinity.kept_by != "balancer":
        yield Problem(
            "affinity.kept_by",
            f'"{affinity.kept_by}" needs mode = "lb-cookie": in other modes the balancer keeps the time',
        )
    if affinity.mode == "app-cookie":
        yield from _application(affinity)
    elif affinity.application is not None and affinity.mode != "url":
        yield Problem("affinity.application", f'it needs mode = "app-cookie", and mode is "{affinity.mode}"')
    yield from key_problems(affinity)
    yield from hash_problems(affinity)
    yield from mark_problems(affinity)
    yield from _cookie(affinity)
    yield from _companion(affinity)


def _limits(affinity: Affinity) -> Iterator[Problem]:
    limits, duration = affinity.limits, affinity.duration
    if limits.min is not None and limits.max is not None and limits.min > limits.max:
        yield Problem("affinity.limits", f"min {show_duration(limits.min)} is above max {show_duration(limits.max)}")
        return
    for key, value in (("affinity.duration", duration), ("affinity.limits.default", limits.default)):
        if value is None:
            continue
        if limits.min is not None and value < limits.min:
            yield Problem(key, f"{show_duration(value)} is below affinity.limits.min = {show_duration(limits.min)}")
        if limits.max is not None and value > limits.max:
            yield Problem(key, f"{show_duration(value)} is above affinity.limits.max = {show_duration(limits.max)}")


def _session(affinity: Affinity) -> Iterator[Problem]:
    if affinity.mode in ("source-ip", "flow", "tls-session-id"):
        yield Problem(
            "affinity.clock", f'"session" needs a cookie; with mode = "{affinity.mode}" use "idle" or "absolute"'
        )
    if affinity.duration is not None:
        yield Problem("affinity.duration", 'clock = "session" has no duration: the browser ends the session')
    for key in ("expires", "max_age"):
        if getattr(affinity.cookie, key) is not None:
            yield Problem(f"affinity.cookie.{key}", 'clock = "session" needs a session cookie, without this attribute')


def _application(affinity: Affinity) -> Iterator[Problem]:
    if affinity.application is None:
        yield Problem("affinity.application.name", 'it is missing: mode = "app-cookie" needs the application\'s cookie')
    else:
        for name in reserved_names(affinity):
            if affinity.application.name.startswith(name):
                yield Problem(
                    "affinity.application.name",
                    f'"{affinity.application.name}": names that begin with "{name}" are reserved for the balancer',
                )
                break
    if affinity.reaction.bad_cookie == "refuse":
        yield Problem(
            "affinity.reaction.bad_cookie",
            '"refuse" needs mode = "lb-cookie": a forged application cookie looks like one whose pin has ended',
        )


def _cookie(affinity: Affinity) -> Iterator[Problem]:
    cookie = affinity.cookie
    yield from _attributes(cookie, cookie.name, "affinity.cookie")
    if cookie.twin is not None:
        yield from _attributes(merged(cookie, cookie.twin), cookie.twin.name, "affinity.cookie.twin")
        if cookie.twin.name == cookie.name:
            yield Problem("affinity.cookie.twin.name", f'"{cookie.name}" is the cookie\'s own name')
    if affinity.mode != "lb-cookie":
        return
    if affinity.clock == "idle" and cookie.issued != "every-response":
        yield Problem(
            "affinity.cookie.issued",
            f'"{cookie.issued}" cannot restart an idle clock: use "every-response", or clock = "absolute" or "session"',
        )
    if affinity.kept_by != "balancer" and affinity.clock != "session":
        for key, value in (("expires", cookie.expires), ("max_age", cookie.max_age)):
            if value is not None and value not in ("duration", affinity.span):
                yield Problem(
                    f"affinity.cookie.{key}",
                    f'kept_by = "{affinity.kept_by}" makes the cookie end with the duration: write "duration" here, '
                    'or kept_by = "balancer"',
                )


def _companion(affinity: Affinity) -> Iterator[Problem]:
    companion = affinity.companion
    yield from companion_problems(affinity)
    if companion is None:
        return
    for name in companion_names(companion)[:1]:
        yield from _attributes(companion, name, "affinity.companion")
    if companion.twin is not None:
        yield from _attributes(merged(companion, companion.twin), companion.twin.name, "affinity.companion.twin")


def _attributes(attributes: CookieAttributes, name: str, key: str) -> Iterator[Problem]:
    if attributes.same_site == "None" and attributes.secure is False:
        yield Problem(f"{key}.same_site", '"None" needs secure = true: browsers refuse the cookie otherwise')
    if attributes.partitioned and attributes.secure is False:
        yield Problem(f"{key}.partitioned", "it needs secure = true: browsers refuse the cookie otherwise")
    if name.startswith(SECURE_PREFIXES) and attributes.secure is not True:
        yield Problem(f"{key}.name", f'"{name}": this prefix needs secure = true')
    if name.startswith("__Host-") and (attributes.path != "/" or attributes.domain is not None):
        yield Problem(f"{key}.name", f'"{name}": the prefix __Host- needs path = "/" and no domain')


def merged(cookie: CookieAttributes, twin: Twin) -> CookieAttributes:
    """The twin's attributes: its own where given, the cookie's elsewhere."""
    own = {key: getattr(twin, key) for key in CookieAttributes.model_fields if key in twin.model_fields_set}
    shared = {key: getattr(cookie, key) for key in CookieAttributes.model_fields}
    return CookieAttributes.model_construct(**(shared | own))
