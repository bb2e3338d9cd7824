from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# Tests run without packages (--import-mode=importlib), so the shared servers are made importable by one odd name.
_spec = importlib.util.spec_from_file_location("limpet_client_servers", Path(__file__).with_name("servers.py"))
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules["limpet_client_servers"] = _module
_spec.loader.exec_module(_module)

closed_port, memory, serve = _module.closed_port, _module.memory, _module.serve
note_returns = _module.note_returns
