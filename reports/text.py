"""Text that came from a balancer under test is hostile until proven harmless: what each report may be given of it."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

# Control characters drive terminals and are illegal in XML; lone surrogates cannot be encoded at all; bidirectional
# controls and line separators make a line read as something that it is not.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def plain(text: str) -> str:
    """``text`` with every invisible or illegal character written out (``\\x1b``); newlines and tabs stay."""
    return _UNSAFE.sub(_written_out, text)


def one_line(text: str) -> str:
    """`plain` text on one line: runs of white space become one space."""
    return " ".join(plain(text).split())


def gist(text: str) -> str:
    """``text`` without the words that have a digit: what stays when times, ports and temporary names change."""
    return " ".join("#" if any(map(str.isdigit, word)) else word for word in one_line(text).split())


def encodable(text: str) -> str:
    """``text`` as it was, but for lone surrogates, which no UTF-8 file can hold."""
    return _SURROGATE.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def write_atomically(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that a reader sees the old file or the new one, never half of it.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
