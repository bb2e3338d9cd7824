"""When the balancer's cookies are set, and with which attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from limpet.reference_lb.parts.records import RequestHead, Route, SetCookie, Why

_HELD = Why.HELD


class Issue(Enum):
    """When a response sets the cookies."""

    EVERY_RESPONSE = "every-response"
    FIRST_RESPONSE = "first-response"
    ON_CHANGE = "on-change"


@dataclass(frozen=True, slots=True)
class CookiePlan:
    """One cookie's name and attributes.

    Attributes:
        expires, max_age: seconds from the binding's anchor; None leaves the attribute out.
        secure: True, False, or None: only on requests that came over TLS.
    """

    name: str
    path: str | None = "/"
    domain: str | None = None
    expires: float | None = None
    max_age: float | None = None
    secure: bool | None = False
    http_only: bool = False
    same_site: str | None = None
    partitioned: bool = False


class PlannedCookies:
    """Sets the cookie and, when there is one, its twin; both carry the same value."""

    def __init__(self, issue: Issue, plans: Sequence[CookiePlan]) -> None:
        self._always = issue is Issue.EVERY_RESPONSE
        self._on_change = issue is Issue.ON_CHANGE
        self._plans = tuple(plans)

    def due(self, request: RequestHead, route: Route) -> bool:
        """By the configured rule. A re-pin makes a new binding, so its first response carries the cookie."""
        return self._always or route.why is not _HELD or (self._on_change and route.renewed_key)

    def cookies(self, request: RequestHead, route: Route, value: str, anchor: float, now: float) -> Sequence[SetCookie]:
        """The cookie first, then its twin."""
        return [self._cookie(plan, request, value, anchor, now) for plan in self._plans]

    def _cookie(self, plan: CookiePlan, request: RequestHead, value: str, anchor: float, now: float) -> SetCookie:
        return SetCookie(
            name=plan.name,
            value=value,
            path=plan.path,
            domain=plan.domain,
            expires=None if plan.expires is None else anchor + plan.expires,
            max_age=None if plan.max_age is None else max(0, round(anchor + plan.max_age - now)),
            secure=request.secure if plan.secure is None else plan.secure,
            http_only=plan.http_only,
            same_site=plan.same_site,
            partitioned=plan.partitioned,
        )


class NoCookies:
    """Sets none: the modes whose key is not the balancer's cookie."""

    def due(self, request: RequestHead, route: Route) -> bool:
        """Never."""
        return False

    def cookies(self, request: RequestHead, route: Route, value: str, anchor: float, now: float) -> Sequence[SetCookie]:
        """None."""
        return ()
