"""A statement counts as checked only when its check has decided something and has been seen to fail."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from limpet.harness.cli.main import main
from limpet.harness.model.contract.catalogue import Catalogue
from limpet.harness.model.contract.validation import parse
from limpet.harness.model.verdict import ExitCode, Result, Verdict
from limpet.harness.model.violation import Kind
from limpet.harness.selftest.coverage import Coverage, coverage, reference_targets
from limpet.harness.selftest.document import Document, FaultRow, TrialRow
from limpet.harness.targets.load import load, names

PROFILE = {"title": "toy", "layer": 7, "affinity": "none", "algorithm": "round-robin"}
TARGETS = {"ours": "toy/sticky"}


def requirement(number: int, level: str = "must", **more: object) -> dict[str, object]:
    basics = {"id": f"TOY-{number}", "level": level, "profiles": ["sticky"], "sources": ["docs"]}
    return {**basics, "text": "The toy keeps what it promises.", **more}


def catalogue(*requirements: dict[str, object], profiles: tuple[str, ...] = ("sticky",)) -> Catalogue:
    product = {"name": "toy", "title": "Toy", "documentation": "docs"}
    raw = {"product": product, "profile": dict.fromkeys(profiles, PROFILE), "requirement": list(requirements)}
    return parse(Catalogue, raw, where="toy.toml")


def row(name: str, verdict: Verdict = Verdict.HELD, decided: int = 3, target: str = "ours") -> Result:
    behaviour, _, variant = name.rstrip("]").partition("[")
    return Result(target=target, product="toy", profile="toy/sticky", behaviour=behaviour, variant=variant,
                  verdict=verdict, reason="so it was", decided=decided)  # fmt: skip


def tried(
    name: str, right: str = "held", wrong: str = "broken", activated: bool = True, target: str = "ours"
) -> Document:
    trial = TrialRow(behaviour=name, target=target, declared=True, rejected=True, activated=activated, right=right,
                     wrong=wrong, reason="", violations=(), right_history="", wrong_history="")  # fmt: skip
    fault = FaultRow("wrong-somehow", "It is wrong.", (8,), (Kind.MOVED,), True, (), (trial,))
    return Document("0", 1, False, 0, (fault,), (), (), ())


def found(results: list[Result], selftest: Document, **given: str) -> Coverage:
    return coverage({"toy": catalogue(requirement(1, behaviours=["a.b"], **given))}, TARGETS, results, [selftest])


def test_what_the_product_itself_is_judged_by_is_not_asked_about() -> None:
    sources = {"toy": catalogue(requirement(1, behaviours=["a.b"]), profiles=("sticky",))}
    nothing = tried("x.y")
    asked = coverage(sources, {}, [], [nothing])
    assert not asked.whole and asked.idle == ("toy/sticky",)
    real = coverage(sources, {}, [], [nothing], real=frozenset({"toy/sticky"}))
    assert real.whole and real.pairs == () and real.real == ("toy/sticky",)
    both = coverage(sources, TARGETS, [], [nothing], real=frozenset({"toy/sticky"}))
    assert both.pairs and both.real == (), "the reference balancer has it too"


def test_what_was_only_observed_needs_no_fault() -> None:
    nothing = tried("x.y")
    assert found([row("a.b", Verdict.OBSERVED)], nothing).whole
    mixed = found([row("a.b[one]", Verdict.OBSERVED), row("a.b[two]")], nothing)
    assert not mixed.whole and "no fault" in mixed.gaps[0].gaps[0]


def test_a_pair_that_was_decided_and_has_failed_is_covered() -> None:
    one = found([row("a.b")], tried("a.b"))
    assert one.whole and one.pairs[0].faults == ("wrong-somehow",)


@pytest.mark.parametrize(
    ("results", "gap"),
    [
        ([], "was not run"),
        ([row("a.b", decided=0)], "held, so it was"),
        ([row("a.b", Verdict.INCONCLUSIVE)], "inconclusive"),
        ([row("a.b", Verdict.NOT_PROMISED, 0)], "not promised"),
        ([row("a.b", target="theirs")], "was not run"),
    ],
)
def test_what_decided_nothing_is_a_gap(results: list[Result], gap: str) -> None:
    (text,) = found(results, tried("a.b")).pairs[0].gaps
    assert text.startswith("not decided") and gap in text


@pytest.mark.parametrize(
    "selftest",
    [
        tried("a.c"),
        tried("a.b", right="broken"),
        tried("a.b", wrong="held"),
        tried("a.b", wrong="inconclusive"),
        tried("a.b", activated=False),
        tried("a.b", target="theirs"),
    ],
)
def test_what_was_never_seen_to_fail_is_a_gap(selftest: Document) -> None:
    one = found([row("a.b")], selftest)
    assert one.pairs[0].gaps == ("no fault of toy/sticky made it broken",) and not one.whole


def test_what_a_lab_alone_shows_is_joined_with_the_rest() -> None:
    """On loopback a row may be not checkable and its fault invisible: two runs and two selftests say it together."""
    here, there = row("a.b", Verdict.NOT_CHECKABLE, 0), row("a.b")
    elsewhere = [tried("x.y"), tried("a.b")]
    assert not found([here], elsewhere[1]).whole
    both = coverage({"toy": catalogue(requirement(1, behaviours=["a.b"]))}, TARGETS, [here, there], elsewhere)
    assert both.whole and both.pairs[0].faults == ("wrong-somehow",)
    alone = coverage({"toy": catalogue(requirement(1, behaviours=["a.b"]))}, TARGETS, [here, there], elsewhere[:1])
    assert alone.pairs[0].gaps == ("no fault of toy/sticky made it broken",)


def test_variants_count_for_the_behaviour_and_a_named_one_for_itself() -> None:
    assert found([row("a.b[x]")], tried("a.b[y]")).whole
    named = catalogue(requirement(1, behaviours=["a.b[x]"]))
    one = coverage({"toy": named}, TARGETS, [row("a.b[x]")], [tried("a.b[y]")])
    assert one.pairs[0].gaps == ("no fault of toy/sticky made it broken",)
    assert coverage({"toy": named}, TARGETS, [row("a.b[x]")], [tried("a.b[x]")]).whole


def test_what_is_only_observed_needs_no_fault() -> None:
    assert found([row("a.b", Verdict.OBSERVED)], tried("a.c"), level="observe").whole
    nothing = row("a.b", Verdict.OBSERVED, 0)
    assert not found([nothing], tried("a.c"), level="observe").whole
    seen = msgspec.structs.replace(nothing, requests=5)
    assert found([seen], tried("a.c"), level="observe").whole, "it has nothing to decide"
    assert not found([seen], tried("a.c")).whole, "what must be so is not covered by a look"


def test_what_no_client_sees_is_covered_and_a_profile_that_nobody_runs_is_a_gap() -> None:
    unseen = catalogue(requirement(1, invisible="it happens behind the curtain"))
    assert coverage({"toy": unseen}, TARGETS, [], [tried("a.b")]).whole
    idle = coverage({"toy": catalogue(profiles=("sticky", "other"))}, TARGETS, [], [tried("a.b")])
    assert idle.idle == ("toy/other",) and not idle.whole
    assert coverage(
        {"toy": catalogue(profiles=("sticky", "other"))}, TARGETS, [], [tried("a.b")], profiles=["toy/sticky"]
    ).whole


def test_only_what_runs_the_reference_balancer_counts() -> None:
    there = reference_targets()
    assert there["reference-lb-cookie-idle"] == "reference/lb-cookie-idle"
    launched = {name: load(name).target.launch for name in names()}
    assert {name for name in names() if name not in there} == {n for n, how in launched.items() if how and how.command}


def test_the_command_names_gaps_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, selftest = tmp_path / "out", tmp_path / "selftest.json"
    target = ["--target", "reference-round-robin", "--behaviour", "affinity.off", "--seed", "5"]
    assert main(["run", "-q", "--out", str(out), *target]) == ExitCode.HELD
    selftest.write_bytes(msgspec.json.encode(tried("affinity.off", target="reference-round-robin")))
    capsys.readouterr()
    files = ["--results", str(out / "conformance.json"), "--selftest", str(selftest)]
    code = main(["requirements", "--coverage", "--profile", "reference/round-robin", *files])
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert code == ExitCode.BROKEN and all(len(line) <= 100 for line in lines)
    assert any(line.split()[:2] == ["✔", "affinity.off"] and "rejects wrong-somehow" in line for line in lines)
    assert "was not run (reference-round-robin)" in " ".join(said.split())
    # Several of each are joined, and each is named.
    lab = tmp_path / "lab.json"
    lab.write_bytes(msgspec.json.encode(msgspec.structs.replace(tried("x.y"), network="namespace")))
    more = ["--results", files[1], "--selftest", str(lab)]
    assert main(["requirements", "--coverage", "--profile", "reference/round-robin", *files, *more]) == ExitCode.BROKEN
    said = " ".join(capsys.readouterr().out.split())
    assert "1 faults, seed" in said and "1 faults in a namespace lab, seed" in said


def test_missing_or_strange_files_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["requirements", "--coverage"]) == ExitCode.USAGE
    assert "limpet run --all" in capsys.readouterr().err
    assert main(["requirements", "--results", "x.json"]) == ExitCode.USAGE
    assert "--coverage" in capsys.readouterr().err
