"""The pages in docs/ name everything that the code knows, so that they cannot fall behind."""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from limpet.harness.model.contract import Catalogue, Contract
from limpet.harness.model.contract.stated import Stated
from limpet.harness.model.contract.validation import parse
from limpet.harness.model.verdict import ExitCode, Verdict
from limpet.harness.targets import abilities
from limpet.harness.targets.model import Target

DOCS = Path(__file__).parents[2] / "docs"


def models(model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> Iterator[type[BaseModel]]:
    """A model and all that its fields hold."""
    seen = set() if seen is None else seen
    if model in seen:
        return
    seen.add(model)
    yield model
    for info in model.model_fields.values():
        for inner in parts(info.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from models(inner, seen)


def parts(annotation: object) -> Iterator[object]:
    yield annotation
    for inner in typing.get_args(annotation):
        yield from parts(inner)


def keys(root: type[BaseModel]) -> set[str]:
    return {
        info.alias or name
        for model in models(root)
        if not issubclass(model, Stated)
        for name, info in model.model_fields.items()
    }


def words(root: type[BaseModel]) -> set[str]:
    found = {
        word
        for model in models(root)
        for info in model.model_fields.values()
        for part in parts(info.annotation)
        if typing.get_origin(part) is typing.Literal
        for word in typing.get_args(part)
    }
    return {word for word in found if isinstance(word, str) and word not in ("Strict", "Lax", "None")}


def named(page: str) -> set[str]:
    """What a page shows as code, word by word."""
    text = re.sub(r"```.*?```", "", (DOCS / page).read_text("utf-8"), flags=re.DOTALL)
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"[A-Za-z0-9_-]+", code)}


def test_the_page_about_targets_names_every_key() -> None:
    structural = {"value", "reason", "launch", "endpoint", "backends", "control", "request", "timing", "gate"}
    assert keys(Target) - structural - named("targets.md") == set()
    assert {"value", "reason"} <= named("targets.md")


def test_the_page_about_contracts_names_every_key_and_word() -> None:
    assert keys(Catalogue) - {"product", "profile", "requirement"} - named("contracts.md") == set()
    assert words(Catalogue) - named("contracts.md") == set()


def test_the_page_about_verdicts_names_every_verdict_and_code() -> None:
    rows = {
        line.split("|")[1].strip() for line in (DOCS / "verdicts.md").read_text("utf-8").splitlines() if "|" in line
    }
    assert {str(each) for each in Verdict} | {str(int(each)) for each in ExitCode} <= rows


def test_the_example_of_stated_fields_is_valid() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (DOCS / "contracts.md").read_text("utf-8"), re.DOTALL)
    fields = tomllib.loads(example)
    contract = parse(
        Contract,
        {
            "title": "example", "layer": 7, "affinity": "lb-cookie", "cookie": {"name": "X"},
            "reaction": {"unhealthy": fields["unhealthy"]}, "algorithm": fields["algorithm"],
            "duration": {"clock": fields["clock"]},
        },
        where="docs/contracts.md",
    )  # fmt: skip
    clock = contract.duration.clock
    assert clock is not None and clock.status == "conflict" and clock.allowed == ("idle", "absolute")


@pytest.mark.parametrize("verb", sorted(abilities.VERBS - {"backend-faults", "backend-history", "undrain"}))
def test_every_ability_of_a_target_is_explained(verb: str) -> None:
    assert verb in named("targets.md"), verb
