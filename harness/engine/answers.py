"""The cookies in an answer: the balancer's, and what is somebody else's."""

from __future__ import annotations

import re

from limpet.harness.clients import Exchange
from limpet.harness.model.contract import Contract
from limpet.harness.model.cookies import SetCookie, parse_set_cookie


def balancer_names(contract: Contract) -> re.Pattern[str] | None:
    """What the balancer's own cookies are called, twins included; None where it sets none or gives no name."""
    cookie = contract.cookie
    if cookie is None or not (cookie.name or cookie.pattern):
        return None
    names = [re.escape(cookie.name)] if cookie.name else [cookie.pattern or ""]
    names += [re.escape(twin.name) for twin in cookie.twins]
    return re.compile("|".join(f"(?:{name})" for name in names))


def cookies_in(exchange: Exchange) -> list[SetCookie]:
    """Every cookie that a browser would consider, in order."""
    found = [parse_set_cookie(line) for line in exchange.set_cookies]
    return [each for each in found if isinstance(each, SetCookie)]


def cookies_of(exchange: Exchange, contract: Contract) -> list[SetCookie]:
    """The balancer's own cookies in an answer, twins included, in order."""
    names = balancer_names(contract)
    return [each for each in cookies_in(exchange) if names is not None and names.fullmatch(each.name)]


def main_cookies(exchange: Exchange, contract: Contract) -> list[SetCookie]:
    """The balancer's own cookies without their twins."""
    twins = {twin.name for twin in contract.cookie.twins} if contract.cookie else set()
    return [each for each in cookies_of(exchange, contract) if each.name not in twins]
