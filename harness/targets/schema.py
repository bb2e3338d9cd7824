"""The JSON Schema of ``target.toml``, for editors."""

from __future__ import annotations

import json

from limpet.harness.targets.model import Target


def schema() -> str:
    """The schema as JSON text. ``[contract]`` is left open: it takes the keys of a catalogue profile."""
    document = Target.model_json_schema()
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    document["title"] = "limpet target"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
