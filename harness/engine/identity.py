"""Who answered: by the headers of limpet's own backends, or where a target says that its own ones tell their name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from limpet.harness.clients.base import Identify, by_headers, find
from limpet.harness.model.history import Header
from limpet.harness.targets.model import Backends


def identify_by(backends: Backends) -> Identify:
    """How responses of this target's backends are told apart; nothing is known where the target does not say how."""
    identity = backends.identity
    if backends.owner == "limpet":
        return by_headers
    names = {member.name for member in backends.member}

    def known(seen: str) -> tuple[str, str]:
        """Only names that the target lists: an error page of the balancer may carry the same header."""
        return (seen, "") if seen in names else ("", "")

    def identify(status: int, headers: Sequence[Header], body: bytes) -> tuple[str, str]:
        if identity is None:
            return "", ""
        if identity.header:
            return known(find(headers, identity.header).strip())
        if identity.json_key:
            return known(_at(body, identity.json_key))
        match = re.search(identity.regex, body.decode("utf-8", "replace"))
        return known(match[1]) if match else ("", "")

    return identify


def _at(body: bytes, path: str) -> str:
    try:
        here: object = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for part in path.split("."):
        if not isinstance(here, dict) or part not in here:
            return ""
        here = here[part]
    return here if isinstance(here, str) else ""
