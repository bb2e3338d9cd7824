"""Where bindings are kept: nowhere, in a table, or in the client's cookie (`cookie_store.py`)."""

from __future__ import annotations

from collections import OrderedDict

from limpet.reference_lb.parts.protocols import Memory
from limpet.reference_lb.parts.records import Binding


class NoStore:
    """Remembers nothing."""

    carried = False

    def find(self, key: str) -> Binding | None:
        """Nothing."""
        return None

    def bind(self, key: str, binding: Binding) -> None:
        """Nothing."""

    def drop(self, key: str) -> None:
        """Nothing."""

    def token(self, binding: Binding) -> str | None:
        """Nothing."""
        return None

    def rotate(self) -> None:
        """Nothing."""

    def count(self) -> int:
        """None."""
        return 0

    def memory(self) -> Memory:
        """Nothing."""
        return Memory()

    def adopt(self, memory: Memory) -> None:
        """Nothing."""


class TableStore(NoStore):
    """A table of bounded size; when it is full, the binding that was used longest ago goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._table: OrderedDict[str, Binding] = OrderedDict()

    def find(self, key: str) -> Binding | None:
        """The binding, expired ones too."""
        return self._table.get(key)

    def bind(self, key: str, binding: Binding) -> None:
        """Record it as the most recently used."""
        self._table[key] = binding
        self._table.move_to_end(key)
        while len(self._table) > self._limit:
            self._table.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget it."""
        self._table.pop(key, None)

    def count(self) -> int:
        """Entries of the table."""
        return len(self._table)

    def memory(self) -> Memory:
        """The table itself, not a copy: requests in flight still write to it after a reload."""
        return Memory(table=self._table)

    def adopt(self, memory: Memory) -> None:
        """Go on with the predecessor's table."""
        if isinstance(memory.table, OrderedDict):
            self._table = memory.table
