"""Flags that keep a cookie where it belongs, and what one user's cookie can do to a crowd."""

from __future__ import annotations

from collections import Counter

from limpet import Contract, Kind, NotCheckable, Observed, Scenario, behaviour, cookies_of
from limpet.harness.model.contract import Stated
from limpet.harness.model.contract.profile import Attributes
from limpet.harness.model.contract.stated import must
from limpet.harness.model.cookies import SetCookie

FLAGS = {"secure": "secure", "http-only": "http_only", "same-site": "same_site"}
USERS = 4
CROWD = 12


def _flags(contract: Contract) -> list[str]:
    return [flag for flag in FLAGS if _wanted(contract, flag)]


def _wanted(contract: Contract, flag: str) -> bool:
    """Whether the documentation says that the balancer's cookies have this flag."""
    stated: Stated[object] | None = contract.stated(f"cookie.attributes.{FLAGS[flag]}") if contract.cookie else None
    return stated is not None and not must(stated, False) and not must(stated, "absent")


def _unless_some(contract: Contract) -> str:
    return "" if _flags(contract) else "no such flag of its cookies is documented"


@behaviour(
    "security.transport-flags",
    only_cited=True,
    layers=(7,),
    affinities=("lb-cookie", "app-cookie"),
    variants=_flags,
    unless=_unless_some,
    error_rate=0.0,
    budget=2 * USERS,
    sees=0.35,
)
def test_transport_flags(s: Scenario) -> None:
    """Over TLS its cookies are Secure; they are HttpOnly; and SameSite is one that browsers understand and keep."""
    if s.variant == "secure" and s.system.endpoint.scheme != "https":
        raise NotCheckable("clients reach this balancer without TLS")
    s.step(f"{USERS} new users come twice")
    for user in [s.client() for _ in range(USERS)]:
        for answer in (user.visit(), user.visit()):
            for cookie in cookies_of(answer, s.contract):
                if wrong := _wrong(s.contract, s.variant, cookie):
                    s.broken(Kind.COOKIE_ATTRIBUTE, f"{cookie.name} {wrong}: {cookie.raw}", answer)
                else:
                    s.decided += 1


def _wrong(contract: Contract, flag: str, cookie: SetCookie) -> str:
    """What is wrong with this flag of a cookie; "" when nothing is, or the documentation says that it is so."""
    attributes = _attributes(contract, cookie.name)
    if flag == "secure":
        return "" if cookie.secure or must(attributes.secure, False) else "lacks Secure over TLS"
    if flag == "http-only":
        return "" if cookie.http_only or must(attributes.http_only, False) else "lacks HttpOnly"
    if cookie.same_site_raw is None:
        return "" if must(attributes.same_site, "absent") else "lacks SameSite"
    word = cookie.same_site_raw.lower()
    if word not in ("strict", "lax", "none"):
        return "has a SameSite that no browser knows"
    if word == "none" and not cookie.secure and not must(attributes.secure, False):
        return "has SameSite=None without Secure, so that browsers drop it"
    return ""


def _attributes(contract: Contract, name: str) -> Attributes:
    """What is stated of the cookie of this name."""
    cookie = contract.cookie
    assert cookie is not None
    return next((twin.attributes for twin in cookie.twins if twin.name == name), cookie.attributes)


@behaviour(
    "security.hot-spot",
    only_cited=True,
    layers=(7,),
    affinities=("lb-cookie", "app-cookie", "header", "url"),
    error_rate=0.0,
    budget=CROWD + 60,
    certainty="nothing is judged but that each of these requests goes where its key leads",
)
def test_hot_spot(s: Scenario) -> None:
    """One user's key in everybody's hands, as from a shared cache or a link: how much of a crowd meets one backend."""
    user = s.pinned()
    first = user.visit()
    s.step(f"{CROWD} others come with {user.name}'s key")
    seen: Counter[str] = Counter()
    for _ in range(CROWD):
        stranger = s.client()
        with s.luck():
            if user.cookie_header():
                answer = stranger.visit(cookie=user.cookie_header())
            else:
                answer = stranger.visit(key=user.key)
        seen[answer.backend or "nobody"] += 1
    most, count = seen.most_common(1)[0]
    told = first.header("Cache-Control") or "nothing"
    cached = (
        f"the answers that set its cookie say {told} to caches" if first.set_cookies else "its answers set no cookie"
    )
    raise Observed(f"{count} of {CROWD} others with {user.name}'s key reached {most}; {cached}")
