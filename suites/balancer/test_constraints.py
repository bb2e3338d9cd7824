"""What a product refuses to be set up for."""

from __future__ import annotations

from limpet import Contract, Kind, Scenario, behaviour, try_to_start, with_forbidden


def _forbidden(contract: Contract) -> list[str]:
    return [each.name for each in contract.forbidden]


@behaviour(
    "balancer.constraints",
    fields=("forbidden",),
    keyed=None,
    variants=_forbidden,
    needs=("launch",),
    error_rate=0.0,
    budget=0,
    certainty="the balancer itself ends with an error while it starts, or it does not",
)
def test_constraints(s: Scenario) -> None:
    """A combination of settings that the documentation rules out is refused with a clear error instead of served."""
    forbidden = next(each for each in s.contract.forbidden if each.name == s.variant)
    loaded = with_forbidden(s, forbidden)
    s.step(f"a copy of the target is started with {forbidden.name}")
    start = try_to_start(s, loaded)
    text = f"it starts with {forbidden.name}, although the documentation says: {forbidden.text}"
    if s.expect(start.refused, Kind.SETTING_ACCEPTED, text):
        words = [line.strip() for line in start.words.splitlines() if line.strip()]
        s.observe(f"refused with exit code {start.exit_code}: {' / '.join(words[-3:]) or 'without a word'}")
