"""Cookies as RFC 6265bis (draft-ietf-httpbis-rfc6265bis-22) has user agents and servers treat them. Pure."""

from __future__ import annotations

from limpet.harness.model.cookies.dates import format_date, parse_cookie_date, parse_fixdate
from limpet.harness.model.cookies.fingerprints import BackendFacts
from limpet.harness.model.cookies.jar import Action, Jar, StoredCookie, StoreOutcome
from limpet.harness.model.cookies.leaks import Leak, LeakVerdict, find_leaks, judge_leaks
from limpet.harness.model.cookies.match import (
    canonical_host,
    default_path,
    domain_match,
    is_address,
    is_loopback,
    path_match,
)
from limpet.harness.model.cookies.parse import Attribute, Ignored, SameSite, SetCookie, parse_set_cookie
from limpet.harness.model.cookies.request import format_cookie_header, parse_cookie_headers

__all__ = [
    "Action",
    "Attribute",
    "BackendFacts",
    "Ignored",
    "Jar",
    "Leak",
    "LeakVerdict",
    "SameSite",
    "SetCookie",
    "StoreOutcome",
    "StoredCookie",
    "canonical_host",
    "default_path",
    "domain_match",
    "find_leaks",
    "format_cookie_header",
    "format_date",
    "is_address",
    "is_loopback",
    "judge_leaks",
    "parse_cookie_date",
    "parse_cookie_headers",
    "parse_fixdate",
    "parse_set_cookie",
    "path_match",
]
