"""What a balancer did wrong: a typed violation with its evidence."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """The ways in which a promise can be broken. A fault in `fixtures/faulty` names the one it must provoke."""

    MOVED = "moved"
    EXPIRED_EARLY = "expired-early"
    NEVER_EXPIRED = "never-expired"
    PROLONGED = "prolonged"
    NOT_REPINNED = "not-repinned"
    NO_FAILOVER = "no-failover"
    FAILED_BACK = "failed-back"
    NOT_RETURNED = "not-returned"
    SERVED_BY_REMOVED = "served-by-removed"
    SERVED_BY_DRAINING = "served-by-draining"
    SERVED_BY_UNHEALTHY = "served-by-unhealthy"
    NOT_BALANCED = "not-balanced"
    STARVED = "starved"
    STICKY_UNASKED = "sticky-unasked"
    COOKIE_NOT_ISSUED = "cookie-not-issued"
    COOKIE_UNASKED = "cookie-unasked"
    COOKIE_NAME = "cookie-name"
    COOKIE_ATTRIBUTE = "cookie-attribute"
    COOKIE_EXPIRES = "cookie-expires"
    COOKIE_TWIN = "cookie-twin"
    COOKIE_SHARDS = "cookie-shards"
    COOKIE_COMPANION = "cookie-companion"
    COOKIE_LEAKS = "cookie-leaks"
    COOKIE_LINKABLE = "cookie-linkable"
    COOKIE_TOUCHED = "cookie-touched"
    COOKIE_IGNORED = "cookie-ignored"
    COOKIE_ACCEPTED = "cookie-accepted"
    KEY_IGNORED = "key-ignored"
    KEY_NOT_ISSUED = "key-not-issued"
    WRONG_ANSWER = "wrong-answer"
    ERROR = "error"
    SENT_TWICE = "sent-twice"
    REMAPPED = "remapped"
    SETTING_ACCEPTED = "setting-accepted"
    SETTING_IGNORED = "setting-ignored"
    SESSION_LOST = "session-lost"
    TOPOLOGY_LEAKED = "topology-leaked"
    HEADER_INJECTED = "header-injected"


class Violation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One broken promise.

    ``text`` is a sentence for people; ``expected`` and ``seen`` are backend names or cookie text; ``trail`` is the
    events that led there, oldest first; ``curl`` are command lines that show the same without limpet.
    """

    kind: Kind
    text: str
    client: str = ""
    request: str = ""
    t: float = 0.0
    expected: tuple[str, ...] = ()
    seen: str = ""
    trail: tuple[str, ...] = ()
    curl: tuple[str, ...] = ()
