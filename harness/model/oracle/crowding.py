"""Whether a balancer's table may have been too small for a pin: so many others were used since it was used itself."""

from __future__ import annotations

from collections.abc import Sequence

from limpet.harness.model.contract.stated import must
from limpet.harness.model.contract.table import Table
from limpet.harness.model.oracle.exchanges import Exchange


class Crowding:
    """Who used a table of bounded size, and when.

    Args:
        found: every request that the table has seen, in the order of their sending.
        table: how large it is and who goes first; None: there is room for all.
    """

    def __init__(self, found: Sequence[Exchange], table: Table | None) -> None:
        self._table = table
        self._found = found if table is not None else ()

    def maybe_out(self, key: str, exchange: Exchange) -> bool:
        """Whether the pin of this key may have gone for another one before this request was placed."""
        table = self._table
        if table is None:
            return False
        since = max(
            (each.begin for each in self._found if key in each.keys and each.backend and each.end <= exchange.begin),
            default=float("-inf"),
        )
        if not must(table.full, "longest-unused"):
            since = float("-inf")
        others = {
            other
            for each in self._found
            if each.effective_end >= since and each.begin <= exchange.end
            for other in (*each.keys, *each.issued)
            if other != key
        }
        return len(others) >= table.size
