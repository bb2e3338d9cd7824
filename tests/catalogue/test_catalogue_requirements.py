"""What each requirement must be: decidable, sourced, in limpet's own words."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from limpet.harness.engine.collecting import behaviours
from limpet.harness.model.contract import Catalogue, Requirement
from limpet.harness.model.contract.profile import Attributes

Catalogues = dict[str, Catalogue]
WORDS_IN_A_ROW = 7
DIGEST = 5
THEMES = "affinity|chaos|cookie|duration|invalidation|failover|membership|protocol|network|balancer|security|fairness"


def every(catalogues: Catalogues) -> list[tuple[str, Requirement]]:
    return [(name, each) for name, catalogue in catalogues.items() for each in catalogue.requirement]


def shingles(text: str) -> set[bytes]:
    """Digests of every run of seven words, so that a documentation can be compared with but not read from."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    runs = (" ".join(words[at : at + WORDS_IN_A_ROW]) for at in range(len(words) - WORDS_IN_A_ROW + 1))
    return {hashlib.blake2b(run.encode(), digest_size=DIGEST).digest() for run in runs}


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {
        slug(line.lstrip("#")) for line in document.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    }


def sources(catalogue: Catalogue) -> set[str]:
    def below(part: object) -> list[str]:
        if isinstance(part, dict):
            own = list(part["sources"]) if "sources" in part else []
            return own + [source for value in part.values() for source in below(value)]
        if isinstance(part, list | tuple):
            return [source for value in part for source in below(value)]
        return []

    return {catalogue.product.documentation, *below(catalogue.model_dump())}


PROFILES = """
apache: routeid nofailover jsessionid jsessionid-url round-robin
aws-alb: duration-cookie application-cookie target-group-cookie
aws-clb: duration-cookie session-cookie application-cookie
aws-nlb: flow-hash source-ip udp
caddy: cookie ip-hash client-ip-hash header query uri-hash weighted-round-robin
envoy: stateful-cookie stateful-cookie-strict stateful-cookie-outlier stateful-cookie-retries
envoy: stateful-cookie-unchecked stateful-header ring-hash-cookie ring-hash-source maglev-cookie maglev-source
envoy: ring-hash-header maglev-header tcp-ring-hash-source round-robin
generic: header header-minted url tls-session-id
haproxy: cookie-insert cookie-insert-indirect cookie-insert-dynamic cookie-insert-maxidle cookie-insert-maxlife
haproxy: cookie-no-redispatch cookie-prefix cookie-rewrite source-map source-consistent tcp-source-consistent stick-src
haproxy: stick-src-forwarded tcp-stick-src stick-header stick-url stick-header-minted stick-cookie round-robin
huawei-elb: source-ip source-ip-udp lb-cookie application-cookie
lighttpd: sticky round-robin
nghttpx: cookie cookie-strict ip round-robin
nftables: jhash-source jhash-source-udp jhash-flow numgen
nginx: sticky-cookie sticky-route sticky-learn sticky-learn-header ip-hash hash-source hash-source-consistent
nginx: hash-source-forwarded hash-source-proxy hash-header hash-url hash-cookie stream-hash-consistent
nginx: stream-udp-hash-consistent round-robin
pen: client-table round-robin
reference: lb-cookie-idle lb-cookie-absolute lb-cookie-absolute-balancer app-cookie source-ip tcp-source-ip round-robin
reference: least-connections lb-cookie-https source-ip-forwarded source-ip-real-ip source-ip-rfc7239 source-ip-proxy
reference: source-hash-modulo source-hash-consistent cookie-prefix cookie-rewrite cookie-route shared-sessions
reference: source-ip-small-table udp-source-ip udp-flow tcp-flow
skipper: consistent-hash-source consistent-hash-header consistent-hash-query round-robin
socketio-sticky: sid round-robin
squid: sourcehash round-robin
traefik: sticky-cookie sticky-cookie-https sticky-cookie-bare weighted-sticky hrw round-robin tcp-weighted
trafficserver: client-ip round-robin
undertow: session-cookie round-robin
varnish: shard-client-ip round-robin
"""


def test_the_bundled_products_and_their_profiles(catalogues: Catalogues) -> None:
    listed: dict[str, set[str]] = {}
    for line in PROFILES.strip().splitlines():
        product, _, profiles = line.partition(": ")
        listed.setdefault(product, set()).update(profiles.split())
    assert {name: set(catalogue.profile) for name, catalogue in catalogues.items()} == listed
    for name, catalogue in catalogues.items():
        assert catalogue.product.name == name


def test_ids_are_unique_over_all_files(catalogues: Catalogues) -> None:
    ids = [each.id for _, each in every(catalogues)]
    assert len(ids) == len(set(ids))


def test_each_requirement_names_behaviours_of_the_known_themes(catalogues: Catalogues) -> None:
    shape = re.compile(rf"(?:{THEMES})\.[a-z][a-z0-9-]*(?:\[[a-z0-9_-]+\])?")
    for _, each in every(catalogues):
        for behaviour in each.behaviours:
            assert shape.fullmatch(behaviour), f"{each.id}: {behaviour}"
        assert len(each.behaviours) == len(set(each.behaviours)), each.id


def test_each_named_behaviour_exists(catalogues: Catalogues, known_behaviours: frozenset[str]) -> None:
    named = {behaviour.partition("[")[0] for _, each in every(catalogues) for behaviour in each.behaviours}
    assert not named - known_behaviours, "no such check in suites/: " + ", ".join(sorted(named - known_behaviours))


def test_each_named_variant_exists(catalogues: Catalogues, root: Path, known_behaviours: frozenset[str]) -> None:
    texts = [path.read_text(encoding="utf-8") for path in (root / "suites").rglob("*.py")]
    for product, each in every(catalogues):
        for name, variant in re.findall(r"(\S+)\[([^\]]+)\]", " ".join(each.behaviours)):
            if name == "balancer.constraints":  # its variants are data: what a profile says is refused
                for profile in each.profiles:
                    forbidden = catalogues[product].profile[profile].forbidden
                    assert variant in {one.name for one in forbidden}, f"{each.id}: {profile} forbids no {variant}"
            elif name in known_behaviours and variant not in Attributes.model_fields:
                found = any(f'"{name}"' in text and f'"{variant}"' in text for text in texts)
                assert found, f"{each.id}: the suites know no {name}[{variant}]"


def test_what_a_requirement_names_exists_on_the_layer_of_its_profiles(catalogues: Catalogues) -> None:
    checks = {each.id: each for each in behaviours()}
    wrong: list[str] = []
    for product, each in every(catalogues):
        for name in each.behaviours:
            check, variant = checks[name.partition("[")[0]], name.partition("[")[2].rstrip("]")
            for profile in each.profiles:
                contract = catalogues[product].profile[profile]
                if contract.layer not in check.layers or (variant and variant not in check.variants_for(contract)):
                    wrong.append(f"{each.id}: {profile} has no {name}")
    assert not wrong, "; ".join(wrong)


def test_each_behaviour_of_the_suites_is_named(catalogues: Catalogues, known_behaviours: frozenset[str]) -> None:
    named = {behaviour.partition("[")[0] for _, each in every(catalogues) for behaviour in each.behaviours}
    # It compares two targets, of which no product's documentation speaks.
    unnamed = known_behaviours - named - {"balancer.upgrade"}
    assert not unnamed, "no requirement names " + ", ".join(sorted(unnamed))


def test_what_was_only_seen_or_inferred_cannot_fail_a_run(catalogues: Catalogues) -> None:
    soft = [each for _, each in every(catalogues) if each.status in ("observed", "inferred")]
    assert soft
    assert {each.level for each in soft} == {"observe"}


def test_conflicts_name_every_side(catalogues: Catalogues) -> None:
    for _, each in every(catalogues):
        if each.status == "conflict":
            assert len(each.sources) >= 2, f"{each.id}: a conflict has two sources"


def test_sources_are_addresses_or_documents_that_exist(catalogues: Catalogues, root: Path) -> None:
    for catalogue in catalogues.values():
        for source in sources(catalogue):
            address = urlsplit(source)
            if address.scheme:
                assert address.scheme == "https" and "." in address.netloc and address.path, source
                assert not re.search(r"\s", source), source
                continue
            document, _, anchor = source.partition("#")
            assert document.startswith("docs/"), source
            assert (root / document).is_file(), f"{document} does not exist"
            assert not anchor or anchor in anchors(root / document), f"{document} has no heading #{anchor}"


def test_only_the_own_balancer_rests_on_documents_of_this_repository(catalogues: Catalogues) -> None:
    for name, catalogue in catalogues.items():
        own = {source for source in sources(catalogue) if source.startswith("docs/")}
        assert bool(own) == (name in ("reference", "generic")), name


def test_each_text_is_one_plain_sentence(catalogues: Catalogues) -> None:
    for _, each in every(catalogues):
        assert re.fullmatch(r"[A-Z0-9].*\.", each.text), each.id
        assert not re.search(r"[.!?] [A-Z]", each.text), f"{each.id}: more than one sentence"
        assert len(each.text) <= 240, f"{each.id}: {len(each.text)} characters"


@pytest.fixture(scope="module")
def documented() -> set[bytes]:
    """Digests of every run of seven words in the documentation that the catalogue cites."""
    lines = (Path(__file__).parent / "documentation_shingles.txt").read_text(encoding="ascii").splitlines()
    raw = b"".join(base64.b64decode(line.partition(" ")[2]) for line in lines if not line.startswith("#"))
    return {raw[at : at + DIGEST] for at in range(0, len(raw), DIGEST)}


def test_no_text_is_copied_from_a_documentation(catalogues: Catalogues, documented: set[bytes]) -> None:
    copied = {each.id for _, each in every(catalogues) if shingles(each.text) & documented}
    assert not copied


def test_a_copied_run_of_words_would_be_noticed(documented: set[bytes]) -> None:
    assert len(documented) > 5_000, "the digests of the documentation are missing"
    sentence = "A limpet is the shellfish that holds on to its rock in any surf."
    assert not shingles(sentence) & documented
    assert shingles(f"As they say: {sentence.upper()} And so on.") & shingles(sentence)
