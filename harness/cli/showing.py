"""`limpet targets`, `behaviours`, `profiles`, `requirements`, `init` and `schema`: what shows and drafts."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from limpet.harness.model.errors import LimpetFault, UsageFault


@click.command()
def targets() -> int:
    """List the bundled targets and what this machine can start."""
    from limpet.harness.cli.tables import show_table
    from limpet.harness.targets.bundled import missing
    from limpet.harness.targets.load import load, names

    rows: list[tuple[str, ...]] = []
    for name in names():
        try:
            loaded = load(name)
        except LimpetFault as fault:
            rows.append((name, "", "", str(fault), "does not load", ""))
            continue
        target = loaded.target
        rows.append((name, target.product, loaded.profile, target.title, missing(loaded) or "yes",
                     "shown" if target.shown else ""))  # fmt: skip
    show_table(("target", "product", "profile", "title", "starts here", "shown"), rows)
    click.echo(
        "\nlimpet run judges those marked shown, one of each affinity mode; limpet run --all all that start here."
    )
    click.echo("Judge one with: limpet run --target NAME")
    click.echo("A balancer of your own: limpet init DIR")
    return 0


@click.command()
@click.option("--suite", "suites", multiple=True, type=click.Path(exists=True, path_type=Path), metavar="PATH",
              help="Behaviours of your own, besides the bundled ones; repeatable.")  # fmt: skip
def behaviours(suites: tuple[Path, ...]) -> int:
    """List what limpet can check, what each check needs, and how sure it is.

    At most so many requests are sent for one variant, a right balancer is accused with at most that probability, and
    faults in that share of the answers are found with 95 %.
    """
    from limpet.harness.cli.tables import show_table
    from limpet.harness.engine.collecting import SUITES, behaviours
    from limpet.reports.evidence import share

    rows = []
    for each in behaviours((SUITES, *suites)):
        needs = [*each.needs, *([f"layer {each.layers[0]}"] if len(each.layers) == 1 else [])]
        fields = [f"promises {', '.join(each.fields)}"] if each.fields else []
        touches = [] if each.touches == "nothing" else [f"touches {each.touches}"]
        luck = f"{each.error_rate:g}" if each.error_rate else "0"
        sees = "" if each.sees is None else f", sees {share(each.sees)}"
        asks = "; ".join([*filter(None, [", ".join(needs)]), *touches, *fields])
        rows.append((each.id, each.doc, asks, f"{each.budget} requests, error rate {luck}{sees}"))
    show_table(("behaviour", "what it checks", "needs", "states"), rows)
    return 0


@click.command()
@click.option("--product", metavar="X", help="Only those of this product.")
def profiles(product: str | None) -> int:
    """List the products' modes whose promises limpet knows: what `profile` in a target.toml may name."""
    from limpet.harness.cli.catalogues import catalogues
    from limpet.harness.cli.tables import show_table
    from limpet.harness.model.contract.validation import nearest

    known = catalogues()
    if product is not None and product not in known:
        raise UsageFault(f'no product "{product}"; {nearest(product, known)}', where="--product")
    rows: list[tuple[str, ...]] = []
    for name, catalogue in known.items():
        for mode, each in catalogue.profile.items() if product in (None, name) else ():
            stated = sum(mode in requirement.profiles for requirement in catalogue.requirement)
            rows.append((f"{name}/{mode}", each.title, f"{stated} requirements", catalogue.product.version))
    show_table(("profile", "title", "documented", "of version"), rows)
    click.echo("\nWhat one promises, sentence by sentence: limpet requirements --profile PROFILE")
    return 0


@click.command()
@click.option(
    "--profile", metavar="P", help="Only those of this profile (product/profile); limpet profiles lists them."
)
@click.option("--product", metavar="X", help="Only those of this product.")
@click.option("--coverage", is_flag=True, help="Which of them are really checked: exit 1 on a gap.")
@click.option("--results", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="With "
              "--coverage: a conformance.json; repeatable. Default: the last in reports/out, limpet-out.")  # fmt: skip
@click.option("--selftest", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="With "
              "--coverage: a selftest.json; repeatable. Default: the one in limpet-selftest.")  # fmt: skip
def requirements(
    profile: str | None, product: str | None, coverage: bool, results: tuple[Path, ...], selftest: tuple[Path, ...]
) -> int:
    """List the documented statements behind the verdicts.

    With --coverage: requirement by behaviour by target. A pair of requirement and behaviour is covered when the last
    results decided it on the bundled balancer, and the last selftest has a fault of that profile that it rejected.
    """
    from limpet.harness.cli.catalogues import catalogues
    from limpet.harness.cli.coverage import show_coverage
    from limpet.harness.cli.tables import show_table
    from limpet.harness.model.contract.validation import nearest

    known = catalogues()
    if product is not None and product not in known:
        raise UsageFault(f'no product "{product}"; {nearest(product, known)}', where="--product")
    modes = [f"{name}/{each}" for name, catalogue in known.items() for each in catalogue.profile]
    if profile is not None and profile not in modes:
        raise UsageFault(f'no profile "{profile}"; {nearest(profile, modes)}', where="--profile")
    if coverage:
        of_product = [each for each in modes if each.startswith(f"{product}/")]
        return show_coverage(results, selftest, [profile] if profile is not None else of_product)
    if results or selftest:
        raise UsageFault("--results and --selftest go with --coverage", do="Add it, or leave them out.")
    rows: list[tuple[str, ...]] = []
    for name, catalogue in known.items():
        for each in catalogue.requirement:
            of = [f"{name}/{one}" for one in each.profiles]
            if (product is not None and name != product) or (profile is not None and profile not in of):
                continue
            level = each.level if each.status == "documented" else f"{each.level} ({each.status})"
            checks = ", ".join(each.behaviours) if each.behaviours else f"invisible: {each.invisible}"
            rows.append((each.id, level, each.text, checks, "\n".join(each.sources)))
    show_table(("requirement", "level", "text", "checked by", "source"), rows)
    return 0


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option("--url", default="", metavar="URL", help="Where your balancer runs, if you know it already.")
@click.option("--profile", default="", metavar="P", help="Whose promises it is judged by, where limpet knows them "
              "(product/profile); limpet profiles lists them. Default: a profile is drafted too.")  # fmt: skip
@click.option("--listen", multiple=True, metavar="ADDR", help="HOST:PORT where your balancer expects a server, for "
              "limpet to start its own there; repeatable. Default: the servers are yours.")  # fmt: skip
@click.option("--product", default="", metavar="WORD", help="A short word for your balancer.  [default: the "
              "profile's, or mine]")  # fmt: skip
def init(directory: Path, url: str, profile: str, listen: tuple[str, ...], product: str) -> int:
    """Draft a target for a balancer of your own in DIR.

    Nothing is overwritten. What needs your answer is marked and listed.
    """
    from limpet.harness.targets.draft import PROFILE, draft
    from limpet.harness.targets.marks import MARK, marked

    written = draft(directory, product=product, url=url, profile=profile, listen=listen)
    files = [file for file in (written, written.parent / PROFILE) if file.is_file()]
    click.echo(f"Written: {' and '.join(str(file) for file in files)}")
    click.echo(f"Fill in what is marked {MARK}, and take the mark off:")
    for place, line in (each for file in files for each in marked(file)):
        click.echo(f"  {place}: {line}")
    click.echo(f"Then judge it with: limpet run --target {shlex.quote(str(directory))}")
    return 0


@click.command()
@click.argument("what", type=click.Choice(["target", "catalogue"]))
def schema(what: str) -> int:
    """Print the JSON Schema of a target or catalogue file."""
    from limpet.harness.model.contract import Catalogue
    from limpet.harness.targets import schema as targets

    if what == "target":
        click.echo(targets.schema(), nl=False)
        return 0
    document = Catalogue.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "limpet catalogue"
    click.echo(json.dumps(document, indent=2, sort_keys=True))
    return 0


COMMANDS = (targets, behaviours, profiles, requirements, init, schema)
