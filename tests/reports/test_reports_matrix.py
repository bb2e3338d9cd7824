"""The matrix: one column a target, one row a behaviour, the same in the page, in the file and at the terminal."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from limpet.harness.model.events import Event, RunFinished, RunStarted, ScenarioFinished, ScenarioStarted, TargetInfo
from limpet.harness.model.verdict import Deviation, Result, Verdict, judge_run
from limpet.reports.final import Voice
from limpet.reports.looks import MEANING
from limpet.reports.matrix import LeftOut, Matrix, Span, matrix_of, reproduction, short_titles
from limpet.reports.matrix_json import BehaviourRecord, CellRecord, ColumnRecord, MatrixRecord, encode
from limpet.reports.matrix_page import MatrixReport, render, sheets, words
from limpet.reports.matrix_terminal import show_matrix
from limpet.reports.run import finished_run

GONE = LeftOut("gone-cookie", "gone, cookie", "Gone", "gone/cookie", "gone not found in PATH", "apt-get install gone")


class Page(HTMLParser):
    """Tags, addresses, ids and text; tags are balanced, and which class each table cell has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.hrefs: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("href", "src", "action"):
                self.hrefs.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag not in ("meta", "wbr", "br", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def ends(events: Sequence[Event]) -> tuple[RunStarted, RunFinished]:
    first, last = events[0], events[-1]
    assert isinstance(first, RunStarted) and isinstance(last, RunFinished)
    return first, last


def of(events: Sequence[Event], spans: dict[str, Span] | None = None, **more: dict[str, str]) -> Matrix:
    return matrix_of(finished_run(*ends(events)), spans or {}, (GONE,), **more)


def info(name: str, product: str, affinity: str, title: str = "", version: str = "1.0") -> TargetInfo:
    return TargetInfo(
        name, title or name, product, f"{product.lower()}/{name}", version, contract=f'{{"affinity":"{affinity}"}}'
    )


def result(target: TargetInfo, behaviour: str, verdict: Verdict = Verdict.HELD, **more: object) -> Result:
    return Result(
        target=target.name, product=target.product, profile=target.profile, behaviour=behaviour, verdict=verdict,
        reason=f"{verdict} it is", **more,  # type: ignore[arg-type]
    )  # fmt: skip


def small(targets: Sequence[TargetInfo], results: Sequence[Result], **spans: Span) -> Matrix:
    started = RunStarted("r", 7, "0.1.0", "2026-11-21T09:00:00Z", tuple(targets), len(results), "limpet matrix")
    finished = RunFinished(tuple(results), judge_run(results), 12.0, 40.0)
    return matrix_of(finished_run(started, finished), {key.replace("_", "-"): each for key, each in spans.items()})


def test_the_page_shows_every_verdict_with_its_meaning(events: list[Event]) -> None:
    page = Page(render(of(events)))
    for verdict in Verdict:
        assert str(verdict) in page.text and MEANING[verdict] in page.text
    assert "Ana: r17 answered by b3" in page.text and "curl -s -c jar http://127.0.0.1:8080/" in page.text
    assert "ALB-DUR-04 (must): A target that fails is replaced once" in page.text
    assert "limpet run --target nginx-sticky --seed 7" in page.text
    assert "limpet run --target reference-alb --seed 7 --behaviour failover.repins-once" in page.text
    assert (
        "nginx 1.31.3" in page.text and "12 s; all waits, one after the other, would alone have taken 40 s" in page.text
    )
    assert "./histories/holds.jsonl" in page.hrefs
    assert "says nothing about AWS Application Load Balancer itself" in page.text


def test_what_could_not_run_is_listed_with_the_line_that_installs_it(events: list[Event]) -> None:
    text = Page(render(of(events))).text
    assert "1 target could not run here" in text
    assert "gone-cookie (gone, cookie): gone not found in PATH; apt-get install gone" in text


def test_every_cell_that_says_something_opens_its_evidence(events: list[Event]) -> None:
    matrix = of(events)
    page = Page(render(matrix))
    inner = [each[1:] for each in page.hrefs if each.startswith("#") and each != "#-"]
    assert set(inner) <= set(page.ids) and len(page.ids) == len(set(page.ids))
    said = [cell for area in matrix.areas for line in area.lines for cell in line.cells if cell]
    silent = [cell for cell in said if cell.verdict is Verdict.NOT_PROMISED]
    assert len([each for each in inner if each.startswith("c")]) == len(said) - len(silent) > 0
    assert "./report.html#t0-failover.repins-once" in page.hrefs and "./report.html#t1" in page.hrefs


def test_the_page_needs_nothing_from_elsewhere_and_runs_its_own_script_only(events: list[Event]) -> None:
    text = render(of(events))
    page = Page(text)
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert "src=" not in text and "@import" not in text and "url(" not in text
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in text


def test_hostile_text_stays_text(hostile_events: list[Event]) -> None:
    text = render(of(hostile_events))
    page = Page(text)
    assert page.tags.count("script") == 1 and page.handlers == []
    assert all(each.startswith(("#", "./report.html#")) for each in page.hrefs)
    assert "a=<script>alert(1)</script>\\x00\\x1b[31m\\u202e" in page.text
    text.encode("utf-8")
    decoded = msgspec.json.decode(encode(of(hostile_events)), type=MatrixRecord)
    assert decoded.behaviours[0].cells["reference-alb"].verdict is Verdict.BROKEN


def test_variants_are_one_cell_with_the_worst_verdict(events: list[Event]) -> None:
    matrix = of(events)
    found = msgspec.json.decode(encode(matrix), type=MatrixRecord)
    modes = {each.behaviour: each for each in found.behaviours}["failover.modes"].cells["reference-alb"]
    assert modes.verdict is Verdict.KNOWN_DEVIATION
    assert modes.variants == {"hang": Verdict.KNOWN_DEVIATION, "kill": Verdict.HELD}
    panel = re.search(r'id="c0-failover.modes".*?</aside>', render(matrix), re.DOTALL)
    assert panel and "hang" in panel[0] and "kill" in panel[0]


def test_a_known_deviation_that_no_longer_happens_stands_out() -> None:
    target = info("t", "P", "none")
    known = Deviation(behaviour="a.b", happens="It moves.", since="1.0", link="not reported")
    page = Page(render(small((target,), [result(target, "a.b", deviation=known), result(target, "a.c")])))
    assert page.text.count("held, no longer deviates") == 2, "on the screen and on paper"
    assert "exit 1" in page.text
    assert "It moves." in page.text and "not reported" in page.text


def test_products_stand_together_and_controls_are_marked() -> None:
    sticky, plain = info("ng-cookie", "Ng", "lb-cookie"), info("ng-plain", "Ng", "none")
    other = info("ha-cookie", "Ha", "lb-cookie")
    results = [result(each, "affinity.holds") for each in (sticky, other, plain)]
    matrix = small((sticky, other, plain), results)
    assert [(each.title, [mode.info.name for mode in each.modes]) for each in matrix.products] == [
        ("Ng", ["ng-cookie", "ng-plain"]),
        ("Ha", ["ha-cookie"]),
    ]
    assert [each.info.name for each in matrix.modes if each.control] == ["ng-plain"]
    assert matrix.uncontrolled == ("Ha",)
    page = Page(render(matrix))
    assert "none ran for Ha" in page.text
    # A cell links to the evidence of its own column, also where a product's columns were moved together.
    assert page.hrefs.index("#c0-affinity.holds") < page.hrefs.index("#c2-affinity.holds")
    assert page.hrefs.index("#c2-affinity.holds") < page.hrefs.index("#c1-affinity.holds")
    found = msgspec.json.decode(encode(matrix), type=MatrixRecord)
    assert [each.target for each in found.targets] == ["ng-cookie", "ng-plain", "ha-cookie"]
    assert found.without_control == ("Ha",)


def test_the_three_slowest_are_named_with_their_time() -> None:
    targets = [info(f"t-{name}", "P", "none") for name in "abcde"]
    spans = {"t_a": Span(0, 3), "t_b": Span(10, 400), "t_c": Span(0, 50), "t_d": Span(20, 30)}
    matrix = small(targets, [result(each, "affinity.off") for each in targets], **spans)
    assert [each.info.name for each in matrix.slowest] == ["t-b", "t-c", "t-d"]
    assert "t-b 6 min 30 s, t-c 50 s, t-d 10 s" in Page(render(matrix)).text
    found = msgspec.json.decode(encode(matrix), type=MatrixRecord)
    assert (
        found.slowest == ("t-b", "t-c", "t-d") and {each.target: each.seconds for each in found.targets}["t-e"] is None
    )


def test_the_report_measures_each_target_from_its_first_scenario_to_its_last_verdict(tmp_path: Path) -> None:
    one, two = info("one", "P", "none"), info("two", "P", "none")
    now = 100.0
    report = MatrixReport(tmp_path, (GONE,), {"two": "./my two"}, clock=lambda: now)
    started = RunStarted("r", 7, "0.1.0", "", (one, two), 3, "limpet matrix")
    first, last, skipped = result(one, "a.b"), result(one, "a.c"), result(two, "a.b", Verdict.NOT_CHECKABLE)
    story: list[tuple[float, Event]] = [
        (101.0, started), (102.0, ScenarioFinished(skipped)), (105.0, ScenarioStarted("one", "a.b")),
        (107.0, ScenarioStarted("one", "a.c")), (109.0, ScenarioFinished(last)), (112.5, ScenarioFinished(first)),
        (120.0, RunFinished((first, last, skipped), judge_run([first, last]), 19.0, 30.0)),
    ]  # fmt: skip
    for now, event in story:  # noqa: B007 - the clock reads it
        report.handle(event)
    assert report.files == (tmp_path / "matrix.html", tmp_path / "matrix.json")
    found = msgspec.json.decode((tmp_path / "matrix.json").read_bytes(), type=MatrixRecord)
    assert [each.seconds for each in found.targets] == [7.5, None]
    assert found.targets[1].again == "limpet run --target './my two' --seed 7"
    assert found.left_out == (GONE,) and found.wall == 19.0 and found.waited == 30.0
    assert "7.5 s" in (tmp_path / "matrix.html").read_text("utf-8")


def test_an_interrupted_run_says_so(interrupted_events: list[Event]) -> None:
    matrix = of(interrupted_events)
    assert "The run was interrupted" in Page(render(matrix)).text
    assert not msgspec.json.decode(encode(matrix), type=MatrixRecord).complete


def test_paper_gets_tables_that_fit_without_what_nobody_promises() -> None:
    targets = [info(f"t{number}", "P", "none") for number in range(11)] + [info("q", "Q", "none")]
    results = [result(each, "a.held") for each in targets]
    results += [result(each, "a.silent", Verdict.NOT_PROMISED) for each in targets[:-1]] + [
        result(targets[-1], "a.silent")
    ]
    matrix = small(targets, results)
    found = sheets(matrix)
    assert [len(each.modes) for each in found] == [6, 5, 1]
    assert [[line.behaviour for area in each.areas for line in area.lines] for each in found] == [
        ["a.held"], ["a.held"], ["a.held", "a.silent"],
    ]  # fmt: skip
    assert [each.modes[0].info.name for each in found] == ["t0", "t6", "q"]
    cells = [cell for each in found for area in each.areas for line in area.lines for cell in line.cells]
    assert len(cells) == 13 and all(cell is not None for cell in cells)


@pytest.mark.parametrize(
    ("titles", "short"),
    [
        (["nginx, ip_hash", "nginx, sticky cookie, bare"], ["ip_hash", "sticky cookie, bare"]),
        (["nginx, ip_hash", "nginx stream, source hash"], ["ip_hash", "stream, source hash"]),
        (
            ["reference balancer: own cookie", "reference balancer as ALB, own cookie"],
            ["own cookie", "as ALB, own cookie"],
        ),
        (["Big IP, cookie insert", "Big IP, cookie prefix"], ["cookie insert", "cookie prefix"]),
        (["pen, source address"], ["source address"]),
        (["pen"], ["pen"]),
        (["one thing", "another"], ["one thing", "another"]),
    ],
)
def test_a_column_is_named_without_its_product(titles: list[str], short: list[str]) -> None:
    assert short_titles(titles) == short


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0.0 s"), (9.96, "10 s"), (75.4, "75 s"), (120.0, "2 min 00 s"), (432.0, "7 min 12 s")]
)
def test_seconds_are_said_for_people(seconds: float, said: str) -> None:
    assert words(seconds) == said


def shown(matrix: Matrix, width: int, verbosity: int = 1) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, legacy_windows=False)
    show_matrix(Voice(console), matrix, written=[Path("out/matrix.html")], verbosity=verbosity)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 150])
def test_the_terminal_shows_as_many_columns_as_fit(width: int) -> None:
    targets = [info(f"t{number}", "Product", "none" if not number else "lb-cookie") for number in range(9)]
    results = [result(each, "affinity.holds-across-everything", Verdict.NOT_CHECKABLE) for each in targets]
    text = shown(small(targets, results), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.count("not checkable") for line in lines if "holds-across" in line) == 9
    assert text.count("Product 1.0") > 1 and "control" in text
    assert "exit 5, 12.0 s (its waits add up to 40.0 s), seed 7" in text and "out/matrix.html" in text


def test_the_terminal_tells_what_is_missing_and_each_cause_once() -> None:
    broken, fine = info("dead", "P", "none"), info("alive", "P", "none")
    detail = "The balancer's last output:\n  12:00:0{} [emerg] {} unknown directive in /tmp/limpet-x{}/d1/c.conf"
    results = [
        result(broken, f"a.b{number}", Verdict.SETUP_FAILED, detail=detail.format(number, number * 37, number))
        for number in range(4)
    ]
    matrix = msgspec.structs.replace(small((broken, fine), [*results, result(fine, "a.b1")]), left_out=(GONE,))
    text = shown(matrix, 120)
    assert text.count("unknown directive") == 1 and "dead a.b0 and 3 more" in text
    assert "gone-cookie: gone not found in PATH\n    apt-get install gone" in text


def test_the_quiet_table_has_only_what_asks_to_be_looked_at(events: list[Event]) -> None:
    text = shown(of(events), 120, verbosity=0)
    table = text[: text.index("2 products")]
    assert "repins-once" in table and "holds" not in table and "cacheable" not in table
    assert "holds" in shown(of(events), 120) and "twin" not in shown(of(events), 120)
    assert "twin" in shown(of(events), 120, verbosity=2)


def test_the_documentation_names_every_key_of_the_file_and_every_option() -> None:
    from limpet.harness.cli.main import commands

    page = (Path(__file__).parents[2] / "docs" / "matrix.md").read_text("utf-8")
    named = set(re.findall(r"`(-{0,2}[a-z_-]+)`", page))
    structs = (MatrixRecord, BehaviourRecord, CellRecord, ColumnRecord, LeftOut)
    keys = {name for each in structs for name in each.__struct_fields__}
    assert keys - named == set()
    options = {option for each in commands.commands["matrix"].params for option in each.opts} - {"--verbose", "--quiet"}
    assert options - named == set()


def test_a_line_that_repeats_one_row_is_one_that_limpet_understands(events: list[Event]) -> None:
    import shlex

    from limpet.harness.cli.main import commands

    mode = of(events).modes[0]
    line = reproduction(mode, 7, mode.section.rows[0])
    name, *rest = shlex.split(line)[1:]
    context = commands.commands[name].make_context(name, rest)
    assert context.params["targets"] == ("reference-alb",) and context.params["seed"] == 7
    assert context.params["behaviours"] == (mode.section.rows[0].behaviour,)
