"""Several groups of the same servers behind one listener: which one a request is for, and pins that end with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from limpet.reference_lb.parts.delegates import KeyReaderAround
from limpet.reference_lb.parts.protocols import KeyReader
from limpet.reference_lb.parts.records import RequestHead

DEFAULT = "-"
"""The group of requests that no rule is about."""


class PathRules:
    """Paths and the groups of what is below them; the longest that fits decides."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = sorted(((path.encode(), group) for path, group in rules.items()), key=lambda each: -len(each[0]))

    def group(self, request: RequestHead) -> str:
        """The group that the request is for."""
        path = request.target
        if not path.startswith(b"/"):  # in absolute form, as for a proxy
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        for below, group in self._rules:
            if path.startswith(below):
                return group
        return DEFAULT


class ScopedKeys(KeyReaderAround):
    """As `inner`, for each group by itself.

    Args:
        inner: reads the key.
        rules: say which group a request is for.
        carried: whether the client carries the pin itself, which is tied to its group then; else the group is a part
            of the key.
    """

    def __init__(self, inner: KeyReader, rules: PathRules, *, carried: bool) -> None:
        super().__init__(inner)
        self.rules = rules
        self._carried = carried

    def read(self, request: RequestHead) -> Sequence[str]:
        """The keys, under which no other group finds anything."""
        keys = self.inner.read(request)
        return keys if self._carried else [f"{self.rules.group(request)} {key}" for key in keys]

    def source(self, request: RequestHead) -> str:
        """What the pin is tied to, the group too."""
        source = self.inner.source(request)
        return f"{source} {self.rules.group(request)}" if self._carried else source
