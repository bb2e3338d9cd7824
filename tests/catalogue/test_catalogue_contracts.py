"""Contract fields and requirements hold each other up: what one promises, the other says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from limpet.harness.model.contract import Catalogue, Contract, Stated
from limpet.harness.model.contract.stated import must

Catalogues = dict[str, Catalogue]

PLACING = ("affinity.new-sessions-spread", "affinity.no-key-is-balanced", "membership.added-gets-traffic")
FAILOVER = ("failover.repins", "failover.repins-once", "failover.in-request")

DECIDED_BY: dict[str, tuple[str, ...]] = {
    "algorithm": PLACING,
    "key_prefix": ("invalidation.ip-change",),
    "cookie.name": ("cookie.name", "cookie.companion"),
    "cookie.twins": ("cookie.twin", "cookie.companion"),
    "cookie.issued": ("cookie.issued",),
    "cookie.value": ("cookie.opaque",),
    "cookie.unlinkable": ("cookie.unlinkable-key-rotation",),
    "cookie.stripped": ("cookie.application-untouched",),
    "cookie.attributes": ("cookie.attributes", "cookie.expires-value"),
    "cookie.pattern": ("cookie.shards",),
    "cookie.shards.prefix": ("cookie.shards",),
    "cookie.shards.size": ("cookie.shards",),
    "cookie.shards.count": ("cookie.shards",),
    "cookie.companion.issued": ("cookie.companion",),
    "cookie.companion.both_needed": ("cookie.companion",),
    "cookie.companion.any_value": ("cookie.companion",),
    "cookie.companion.mirrors": ("cookie.companion",),
    "application.name": ("affinity.holds",),
    "application.untouched": ("cookie.application-untouched",),
    "application.reserved": ("cookie.name",),
    "http2": ("protocol.http2",),
    "client_address.forwarded": ("network.forwarded-for",),
    "client_address.proxy_protocol": ("network.proxy-protocol",),
    "client_address.joined": ("network.forwarded-for",),
    "client_address.hops": ("network.forwarded-for", "network.proxy-protocol"),
    "client_address.trusted": ("network.forwarded-for", "network.proxy-protocol"),
    "header.name": ("protocol.header",),
    "header.minted": ("protocol.header-minted-by-backend", "affinity.first-requests-race"),
    "url.path_parameter": ("protocol.url",),
    "url.query": ("protocol.url",),
    "url.segments": ("protocol.url",),
    "url.escapes": ("protocol.url",),
    "url.minted": ("affinity.holds",),
    "url.cookie": ("affinity.key-precedence",),
    "application.mark.form": ("cookie.application-marked",),
    "application.mark.separator": ("cookie.application-marked",),
    "flow": ("network.source-port",),
    "udp_idle": ("network.udp-idle",),
    "scope.ends": ("affinity.scope",),
    "scope.path": ("affinity.scope",),
    "group.inside": ("affinity.balanced-in-group",),
    "hash.kind": ("membership.added-remap-bound", "failover.others-unmoved"),
    "hash.uneven": ("membership.added-remap-bound",),
    "duration.default": ("duration.default",),
    "duration.min": ("duration.bounds",),
    "duration.max": ("duration.bounds",),
    "duration.clock": (
        "duration.idle-restarts",
        "duration.absolute-does-not-restart",
        "duration.session-cookie",
        "duration.follows-application-cookie",
        "duration.connection-outlives",
        "cookie.application-marked",  # no clock at all: the mark lasts as long as the cookie
    ),
    "duration.kept_by": ("duration.kept-by", "duration.expires", "duration.session-cookie"),
    "duration.after": ("duration.expires", "duration.session-cookie", "failover.recovery"),
    "duration.follows_application": ("duration.follows-application-cookie",),
    "reaction.unhealthy": FAILOVER,
    "reaction.in_request": ("failover.in-request",),
    "reaction.silent": ("failover.in-request",),
    "reaction.removed": ("membership.removed-repins",),
    "reaction.draining": ("membership.drain",),
    "reaction.drain_window": ("membership.drain-timeout",),
    "reaction.drain_end": ("membership.drain-timeout",),
    "reaction.recovered": ("failover.recovery",),
    "reaction.added": ("membership.added-keeps", "membership.added-remap-bound"),
    "reaction.ip_change": ("invalidation.ip-change",),
    "reaction.bad_cookie": ("invalidation.bad-cookie", "protocol.header", "protocol.url"),
    "reaction.altered": ("invalidation.bad-cookie",),
    "reaction.url_encoded": ("invalidation.bad-cookie",),
    "reaction.duplicates": ("invalidation.duplicate-cookies",),
    "reaction.all_down": ("failover.all-down",),
    "reaction.toggled": ("invalidation.toggle",),
    "reaction.toggle_interruption": ("invalidation.toggle",),
    "reaction.reload": ("balancer.reload", "balancer.unrelated-change"),
    "reaction.restart": ("balancer.restart",),
    "reaction.second_node": ("balancer.two-nodes",),
    "topology": ("security.topology-leak",),
    "table.size": ("security.table-flood",),
    "table.full": ("security.table-flood",),
    "forbidden": ("balancer.constraints",),
}
"""Which behaviours decide a contract field. A field that is not here has no behaviour yet and stands in no contract."""

NEEDS: dict[str, tuple[str, ...]] = {
    "affinity.new-sessions-spread": ("algorithm",),
    "affinity.no-key-is-balanced": ("algorithm",),
    "affinity.scope": ("scope.ends",),
    "affinity.balanced-in-group": ("group.inside",),
    "balancer.constraints": ("forbidden",),
    "balancer.reload": ("reaction.reload",),
    "balancer.restart": ("reaction.restart",),
    "balancer.two-nodes": ("reaction.second_node",),
    "security.table-flood": ("table.size",),
    "security.topology-leak": ("topology",),
    "cookie.companion": ("cookie.companion.both_needed",),
    "cookie.shards": ("cookie.shards.size",),
    "cookie.twin": ("cookie.twins",),
    "cookie.unlinkable-key-rotation": ("cookie.unlinkable",),
    "cookie.application-untouched": ("application.untouched",),
    "cookie.issued-with-status": ("cookie.issued",),
    "duration.default": ("duration.default",),
    "duration.bounds": ("duration.min", "duration.max"),
    "duration.idle-restarts": ("duration.clock",),
    "duration.absolute-does-not-restart": ("duration.clock",),
    "duration.kept-by": ("duration.kept_by",),
    "duration.follows-application-cookie": ("duration.follows_application",),
    "failover.repins": ("reaction.unhealthy",),
    "failover.repins-once": ("reaction.unhealthy",),
    "failover.recovery": ("reaction.recovered",),
    "failover.spread": ("reaction.unhealthy", "algorithm"),
    "failover.new-pin-lasts": ("reaction.unhealthy", "duration.clock"),
    "failover.in-request": ("reaction.in_request",),
    "failover.all-down": ("reaction.all_down",),
    "membership.added-keeps": ("reaction.added",),
    "membership.added-gets-traffic": ("algorithm",),
    "membership.weight-keeps": ("reaction.added",),
    "membership.removed-repins": ("reaction.removed",),
    "membership.drain": ("reaction.draining",),
    "invalidation.ip-change": ("reaction.ip_change",),
    "invalidation.bad-cookie": ("reaction.bad_cookie",),
    "invalidation.duplicate-cookies": ("reaction.duplicates",),
    "invalidation.toggle": ("reaction.toggled",),
}
"""What a contract must state where a behaviour can fail. A deployment's own choices (the cookie's name and attributes,
the duration) are not among it: some products leave them to the deployment."""


ALSO = {
    "envoy/maglev-source-forwarded": "maglev-source",
    "envoy/maglev-source-hops": "maglev-source",
    "haproxy/stick-src-forwarded": "stick-src",
    "haproxy/stick-src-peers": "stick-src",
    "haproxy/stick-src-proxy": "stick-src",
    "nginx/hash-source-forwarded": "hash-source-consistent",
    "nginx/hash-source-proxy": "hash-source-consistent",
    "nginx/ip-hash-forwarded": "ip-hash",
    "reference/lb-cookie-https": "lb-cookie-idle",
    "reference/source-ip-forwarded": "source-ip",
    "reference/source-ip-proxy": "source-ip",
    "reference/source-ip-real-ip": "source-ip",
    "reference/source-ip-rfc7239": "source-ip",
    "reference/source-ip-small-table": "source-ip",
    "reference/shared-sessions": "lb-cookie-idle",
}
"""Profiles that differ from a plain one in one thing: the rest is judged there, and the oracle goes by it here."""


def profiles(catalogues: Catalogues) -> Iterator[tuple[str, Catalogue, str, Contract]]:
    for product, catalogue in catalogues.items():
        for name, contract in catalogue.profile.items():
            yield f"{product}/{name}", catalogue, name, contract


def stated(part: BaseModel, prefix: str = "") -> Iterator[str]:
    """Dotted names of what a contract says: everything with a value of its own."""
    for name in type(part).model_fields:
        value, path = getattr(part, name), f"{prefix}{name}"
        if path in ("title", "layer", "affinity", "protocol", "note"):
            continue
        if path in ("key_prefix", "cookie.attributes", "cookie.twins"):
            if value and value != type(part).model_fields[name].get_default(call_default_factory=True):
                yield path
        elif isinstance(value, BaseModel) and not isinstance(value, Stated):
            yield from stated(value, f"{path}.")
        elif value is not None and value != ():
            yield path


def named(catalogue: Catalogue, profile: str, *, binding: bool = False) -> set[str]:
    return {
        behaviour.partition("[")[0]
        for each in catalogue.requirement
        if profile in each.profiles and (each.level != "observe" or not binding)
        for behaviour in each.behaviours
    }


def test_each_field_of_a_contract_rests_on_a_requirement(catalogues: Catalogues) -> None:
    bare: list[str] = []
    for title, catalogue, name, contract in profiles(catalogues):
        behaviours = named(catalogue, name) | named(catalogue, ALSO.get(title, name))
        for path in stated(contract):
            assert path in DECIDED_BY, f"{title}: no behaviour is known to decide {path}"
            if path == "duration.clock" and contract.hash is not None and must(contract.duration.clock, "none"):
                continue  # what is remembered by nobody never ends: no row could wait for that
            if not behaviours & set(DECIDED_BY[path]):
                bare.append(f"{title}: {path}")
    assert not bare, "stated without a requirement: " + ", ".join(bare)


def test_each_behaviour_that_can_fail_has_the_field_it_needs(catalogues: Catalogues) -> None:
    lacking = [
        f"{title}: {behaviour} needs {path}"
        for title, catalogue, name, contract in profiles(catalogues)
        for behaviour in sorted(named(catalogue, name, binding=True))
        for path in NEEDS.get(behaviour, ())
        if path not in set(stated(contract))
    ]
    assert not lacking, "; ".join(lacking)


def test_fields_that_are_not_plainly_documented_say_why(catalogues: Catalogues) -> None:
    seen = 0
    for title, _, _, contract in profiles(catalogues):
        for path in stated(contract):
            if path in ("key_prefix", "cookie.attributes", "cookie.twins"):
                continue
            field = contract.stated(path)
            if field is not None and field.status != "documented":
                seen += 1
                assert field.sources and field.note, f"{title}: {path}"
    assert seen > 10


def test_a_requirement_in_conflict_goes_with_a_field_in_conflict(catalogues: Catalogues) -> None:
    for _, catalogue, name, contract in profiles(catalogues):
        fields = {
            path
            for path in stated(contract)
            if path not in ("key_prefix", "cookie.attributes", "cookie.twins")
            and (field := contract.stated(path)) is not None
            and field.status == "conflict"
        }
        for each in catalogue.requirement:
            if each.status == "conflict" and name in each.profiles and each.behaviours:
                decided = {path for path in fields if set(DECIDED_BY[path]) & set(each.behaviours)}
                assert decided, f"{each.id}: no field of {name} is in conflict about it"


@pytest.mark.parametrize(
    "behaviour",
    [
        "affinity.holds",
        "affinity.holds-across-connections",
        "affinity.independent",
        "cookie.name",
        "cookie.attributes",
        "cookie.issued",
        "failover.repins",
        "failover.others-unmoved",
    ],
)
def test_what_nginx_must_promise(catalogues: Catalogues, behaviour: str) -> None:
    requirements = catalogues["nginx"].requirements("sticky-cookie", behaviour)
    assert any(each.level == "must" and each.status == "documented" for each in requirements)
    assert all(source.startswith("https://nginx.org/") for each in requirements for source in each.sources)


def test_a_502_is_no_failover_by_the_default_of_nginx(catalogues: Catalogues) -> None:
    requirements = catalogues["nginx"].requirements("sticky-cookie", "failover.modes[status-502]")
    assert {each.level for each in requirements} == {"observe"}
    assert not catalogues["nginx"].requirements("round-robin", "affinity.holds")


def test_the_own_profiles_take_both_sides_of_each_choice(catalogues: Catalogues) -> None:
    taken: dict[str, set[object]] = {}
    for contract in catalogues["reference"].profile.values():
        if contract.affinity != "none":
            for path in stated(contract):
                field = None if path in ("key_prefix", "cookie.attributes", "cookie.twins") else contract.stated(path)
                taken.setdefault(path, set()).update(field.allowed if field is not None else ())
    assert taken["duration.clock"] == {"idle", "absolute", "session", "none"}
    assert taken["duration.kept_by"] == {"balancer", "client", "both"}
    assert taken["cookie.issued"] == {"first-response", "every-response", "on-change"}
    assert taken["reaction.unhealthy"] == {"repin", "reroute"}
    assert taken["reaction.in_request"] == {"retry", "may-fail"}
    assert taken["reaction.draining"] == {"repin", "keep"}
    assert taken["reaction.recovered"] == {"stay", "return"}
    assert taken["reaction.ip_change"] == {"keep", "invalidate"}
    assert taken["reaction.bad_cookie"] == {"replace", "ignore", "refuse", "accept"}


def test_the_bounds_of_the_vendors(catalogues: Catalogues) -> None:
    minute, day = 60.0, 86_400.0
    bounds = {
        title: (contract.duration.min, contract.duration.max, contract.duration.default)
        for title, _, _, contract in profiles(catalogues)
        if title.startswith(("huawei", "aws"))
    }
    values = {title: [field.allowed if field else () for field in fields] for title, fields in bounds.items()}
    assert values["huawei-elb/source-ip"] == [(minute,), (60 * minute,), (20 * minute, minute)]
    assert values["huawei-elb/lb-cookie"] == [(minute,), (day,), (20 * minute, day)]
    assert values["aws-alb/duration-cookie"] == [(1.0,), (7 * day,), (day,)]
