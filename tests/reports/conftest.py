"""Made-up events: a small run with all nine verdicts, and one whose balancer is hostile."""

from __future__ import annotations

import pytest

from limpet.harness.model.events import (
    Event,
    RunFinished,
    RunStarted,
    ScenarioFinished,
    ScenarioStarted,
    TargetInfo,
)
from limpet.harness.model.verdict import RequirementRef, Result, Step, Verdict, judge_run
from limpet.harness.model.violation import Kind, Violation

ALB = TargetInfo(
    name="reference-alb",
    title="reference balancer as ALB",
    product="limpet reference balancer",
    profile="aws-alb/duration-cookie",
    version="0.1.0",
    emulation=True,
    plays="AWS Application Load Balancer",
    contract='{"layer":7,"affinity":"lb-cookie"}',
)
NGINX = TargetInfo(
    name="nginx-sticky", title="nginx, sticky cookie", product="nginx", profile="nginx/sticky-cookie", version="1.31.3"
)
MUST = RequirementRef(
    id="ALB-DUR-04",
    level="must",
    text="A target that fails is replaced once",
    sources=("https://docs.example.com/alb/sticky", "docs/design.md"),
)
SHOULD = RequirementRef(
    id="ALB-DUR-05",
    level="should",
    text="The cookie is issued again",
    sources=("https://docs.example.com/alb/sticky",),
    status="inferred",
)
MOVED = Violation(
    kind=Kind.NOT_REPINNED,
    text="Ana was sent to b2, then to b3, without any fault between",
    client="Ana",
    request="r17",
    t=12.5,
    expected=("b2",),
    seen="b3",
    trail=("b1 was killed", "Ana: r16 answered by b2", "Ana: r17 answered by b3"),
    curl=("curl -s -c jar http://127.0.0.1:8080/", "curl -s -b jar http://127.0.0.1:8080/",
          "curl -s -b jar http://127.0.0.1:8080/"),
)  # fmt: skip


def make(target: TargetInfo, behaviour: str, verdict: Verdict, reason: str, **fields: object) -> Result:
    return Result(
        target=target.name,
        product=target.product,
        profile=target.profile,
        emulation=target.emulation,
        plays=target.plays,
        behaviour=behaviour,
        verdict=verdict,
        reason=reason,
        **fields,  # type: ignore[arg-type]
    )


def nine() -> list[Result]:
    return [
        make(ALB, "affinity.holds", Verdict.HELD, "1497 requests, one backend", requests=1500, decided=1497, wall=1.25,
             requirements=(SHOULD,), certainty="sees 1 in 500 at 95 %", history="histories/holds.jsonl",
             steps=(Step(0.0, "Ana sends 1500 requests"), Step(1.0, "compare"))),
        make(ALB, "failover.repins-once", Verdict.BROKEN, "moved again after the failover", requirements=(MUST, SHOULD),
             violations=(MOVED,), doc="After a failure a client moves once.", wall=2.0),
        make(ALB, "failover.modes", Verdict.KNOWN_DEVIATION, "accepted: ticket 12", variant="hang"),
        make(ALB, "failover.modes", Verdict.HELD, "repinned", variant="kill"),
        make(ALB, "cookie.cacheable", Verdict.OBSERVED, "no Cache-Control", observations=("Cache-Control: absent",)),
        make(NGINX, "duration.expires", Verdict.INCONCLUSIVE, "only 3 of 13 samples", variant="idle"),
        make(NGINX, "cookie.twin", Verdict.NOT_PROMISED, "no twin in the contract"),
        make(NGINX, "duration.clock-skew", Verdict.NOT_CHECKABLE, "the target has no advance_clock"),
        make(NGINX, "membership.add", Verdict.SETUP_FAILED, "nginx refused its configuration", detail="[emerg] bad"),
        make(NGINX, "cookie.parser", Verdict.HARNESS_ERROR, "KeyError in the scenario", detail="Traceback …"),
    ]  # fmt: skip


def play(results: list[Result], *, interrupted: bool = False, command: str = "limpet run --seed 7") -> list[Event]:
    """A whole run; results come in backwards, as no order is promised."""
    events: list[Event] = [RunStarted("run-1", 7, "0.1.0", "2026-11-21T09:00:00Z", (ALB, NGINX), len(results), command)]
    for result in reversed(results):
        events += [ScenarioStarted(result.target, result.name), ScenarioFinished(result)]
    events.append(RunFinished(tuple(reversed(results)), judge_run(results), 12.34, 40.0, interrupted))
    return events


EVIL = "a=<script>alert(1)</script>\x00\x1b[31m\u202e]]>\ud800|`*[x](javascript:1)\r\nSet-Cookie: b & \"c\" 'd' \ufffe"


EVIL_SOURCES = ("javascript:alert(1)", 'https://x/"onclick=alert(1)', EVIL)


def evil_result() -> Result:
    return make(
        ALB, "cookie.opaque", Verdict.BROKEN, f"leaks {EVIL}", variant=f"v{EVIL}", doc=EVIL, detail=EVIL,
        observations=(EVIL,), steps=(Step(0.5, EVIL),), certainty=EVIL, history="../../etc/passwd",
        requirements=(RequirementRef(EVIL, "must", EVIL, EVIL_SOURCES),),
        violations=(
            Violation(Kind.COOKIE_LEAKS, EVIL, EVIL, EVIL, 1.0, (EVIL,), EVIL, (EVIL,), (f"curl -b '{EVIL}'",)),
        ),
    )  # fmt: skip


@pytest.fixture
def results() -> list[Result]:
    return nine()


@pytest.fixture
def events() -> list[Event]:
    return play(nine())


@pytest.fixture
def interrupted_events() -> list[Event]:
    return play(nine()[:2], interrupted=True)


@pytest.fixture
def hostile_events() -> list[Event]:
    return play([evil_result()], command=f"limpet run {EVIL}")
