"""Network namespaces by system call: a thread enters one, or makes a new one around itself.

Python 3.11 has neither `os.setns` nor `os.unshare`. A namespace without a name lives as long as a process is in it or
a descriptor is open on it: whatever becomes of limpet, the kernel takes it apart, with its links and its packet filter.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


def current() -> int:
    """A descriptor of the namespace that this thread is in.

    Raises:
        OSError: the kernel has none.
    """
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def leave() -> None:
    """Puts this thread into a new, empty namespace; threads and processes that it starts later are in it too.

    Raises:
        OSError: it may not (EPERM: without CAP_SYS_ADMIN), or the kernel has no more of them.
    """
    if _libc.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "unshare")


def enter(namespace: int) -> None:
    """Puts this thread into the namespace of a descriptor; its open sockets stay where they were made.

    Raises:
        OSError: it may not, or that is no network namespace.
    """
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")


def enter_path(path: str | bytes) -> None:
    """The same, by a path such as ``/proc/PID/fd/N``.

    Raises:
        OSError: there is no such file any more, or as `enter`.
    """
    namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(namespace)
    finally:
        os.close(namespace)


@contextmanager
def inside(path: str) -> Iterator[None]:
    """This thread is in another namespace meanwhile; "" for staying where it is. Start no thread in there.

    Raises:
        OSError: as `enter_path`.
    """
    if not path:
        yield
        return
    home = current()
    try:
        enter_path(path)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(home)
