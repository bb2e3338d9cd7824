"""`limpet targets`, `limpet behaviours`, `limpet requirements`, `limpet init`: what shows and drafts."""

from __future__ import annotations

COMMANDS = ()
