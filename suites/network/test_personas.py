"""People who are on the move: what becomes of a user's login and cart while its address changes."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from limpet import Contract, Edge, Scenario, Shopper, behaviour, forwarding, ipv6_copy, told, trusted_proxies

VISITS = 3
COLLEAGUES = 3
PROXIES = 4


def _variants(contract: Contract) -> list[str]:
    """Whether pins outlive another address is nothing that the office asks."""
    moving = ["phone", "dual-stack", "privacy-addresses", "vpn", "corporate-proxies"]
    return ["office", *(moving if contract.reaction.ip_change is not None else [])]


@behaviour(
    "network.personas",
    affinities=("source-ip", "lb-cookie", "app-cookie", "header", "url", "tls-session-id"),
    needs=("sessions",),
    variants=_variants,
    certainty="one violation is enough; no luck of a right balancer can cause one",
    error_rate=0.0,
    budget=150,
    sees=0.3,
)
def test_personas(s: Scenario) -> None:
    """A user's login and cart, told as a story: they are there as long as the pin holds, and again when it is back."""
    if s.variant == "privacy-addresses":
        s.need_ipv6_homes()
        with ipv6_copy(s) as six:
            told(six, _privacy_addresses(six))
        return
    told(s, _STORIES[s.variant](s))


def _office(s: Scenario) -> list[Shopper]:
    office = s.nat("the office's NAT")
    where = f"at the office behind {office.addresses[0]}"
    people = [Shopper(s, office, where) for _ in range(COLLEAGUES)]
    for each in people:
        each.fill()
    for _ in range(2):
        s.rng.shuffle(people)
        for each in people:
            each.look(VISITS)
    return people


def _phone(s: Scenario) -> list[Shopper]:
    home, carrier, cafe = s.home("home"), s.nat("the carrier's NAT"), s.nat("the cafe's NAT")
    owner = Shopper(s, home, f"on the sofa ({home.addresses[0]})")
    owner.fill()
    owner.look(VISITS)
    owner.go(carrier, f"on the street, by the carrier's NAT ({carrier.addresses[0]})")
    owner.look(VISITS)
    carrier.change()
    owner.go(carrier, f"on the train, where the carrier has given it another address ({carrier.addresses[0]})")
    owner.look(VISITS)
    owner.go(cafe, f"in a cafe, by its wireless network ({cafe.addresses[0]})")
    owner.look(VISITS)
    carrier.change()
    owner.go(carrier, f"on the bus, where the carrier has given it a third address ({carrier.addresses[0]})")
    owner.look(VISITS)
    friends = s.home("a friend's home")
    owner.go(friends, f"at a friend's ({friends.addresses[0]})")
    owner.look(VISITS)
    owner.go(home, f"back on the sofa ({home.addresses[0]})")
    owner.look(VISITS)
    return [owner]


def _dual_stack(s: Scenario) -> list[Shopper]:
    said = s.contract.client_address
    if s.contract.affinity == "source-ip" and said is not None and said.forwarded and said.believed:
        return _dual_stack_before_an_edge(s)
    four, six = s.home("home, IPv4"), s.home("home, IPv6", family=6)
    owner = Shopper(s, six, f"by IPv6 ({six.addresses[0]})")
    owner.fill()
    for _ in range(VISITS):
        owner.go(four, f"by IPv4, since that was faster this time ({four.addresses[0]})")
        owner.look(VISITS)
        owner.go(six, f"by IPv6 again ({six.addresses[0]})")
        owner.look(VISITS)
    return [owner]


def _dual_stack_before_an_edge(s: Scenario) -> list[Shopper]:
    """The edge speaks both families, and tells the balancer by which one the user came."""
    edge = Edge(s.rng.choice(trusted_proxies(s)))
    four = s.sources.draw()
    six = str(IPv6Address(int(IPv6Address("2001:db8::")) | s.rng.getrandbits(96)))
    owner = Shopper(s, edge, f"by IPv6 through an edge ({six})", told=(forwarding(s, [six]),))
    owner.fill()
    for _ in range(VISITS):
        owner.go(edge, f"by IPv4 through that edge, since that was faster ({four})", told=(forwarding(s, [four]),))
        owner.look(VISITS)
        owner.go(edge, f"by IPv6 through it again ({six})", told=(forwarding(s, [six]),))
        owner.look(VISITS)
    return [owner]


def _privacy_addresses(s: Scenario) -> list[Shopper]:
    home = s.home("home, IPv6", family=6)
    owner = Shopper(s, home, f"by IPv6 ({home.addresses[0]})")
    owner.fill()
    for day in range(2, 6):
        later = s.home("home, IPv6", family=6, beside=home.addresses[0])
        owner.go(later, f"on day {day}, by that day's privacy address in the same /64 ({later.addresses[0]})")
        owner.look(VISITS)
    owner.go(home, f"by the first address again ({home.addresses[0]})")
    owner.look(VISITS)
    return [owner]


def _vpn(s: Scenario) -> list[Shopper]:
    home, tunnel = s.home("home"), s.nat("the VPN's exit")
    owner = Shopper(s, home, f"at home without a VPN ({home.addresses[0]})")
    owner.fill()
    owner.look(VISITS)
    for country in ("Norway", "Portugal", "Japan", "Chile", "Kenya", "Canada"):
        owner.go(tunnel, f"by a VPN whose exit is in {country} ({tunnel.addresses[0]})")
        owner.look(VISITS)
        tunnel.change()
    owner.go(home, f"at home, with the VPN switched off ({home.addresses[0]})")
    owner.look(VISITS)
    return [owner]


def _corporate_proxies(s: Scenario) -> list[Shopper]:
    pool = s.nat("the company's proxies", egress=PROXIES)
    inside = pool.seat()
    owner = Shopper(s, pool, f"at the company, whose {PROXIES} proxies take turns ({', '.join(pool.addresses)})")
    owner.fill()
    # What such proxies say of whom they speak for is nothing that a stranger may believe.
    words = (("Via", "1.1 proxy.example.com"), ("X-Forwarded-For", inside), ("Forwarded", f"for={inside}"))
    for _ in range(3):
        owner.look(PROXIES + 1, headers=words)
    return [owner]


_STORIES: dict[str, Callable[[Scenario], list[Shopper]]] = {
    "office": _office,
    "phone": _phone,
    "dual-stack": _dual_stack,
    "vpn": _vpn,
    "corporate-proxies": _corporate_proxies,
}
