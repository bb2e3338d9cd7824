"""Several requests in the same moment, for behaviours that are races."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from limpet.harness.model.errors import SetupFault

T = TypeVar("T")


def together(callables: Sequence[Callable[[], T]]) -> list[T]:
    """Call all of them at once, each in a thread of its own that a barrier releases.

    Returns:
        Their results, in the order of ``callables``, when all have ended.

    Raises:
        SetupFault: this machine cannot start that many threads; nothing was called.
        BaseException: the first (in order) that a callable raised, after all have ended.
    """
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}
    barrier = threading.Barrier(len(callables) + 1)

    def run(number: int, call: Callable[[], T]) -> None:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            return
        try:
            results[number] = call()
        except BaseException as err:  # noqa: BLE001  (raised again in the caller's thread)
            errors[number] = err

    threads: list[threading.Thread] = []
    try:
        for number, call in enumerate(callables):
            thread = threading.Thread(target=run, args=(number, call), name=f"together-{number}", daemon=True)
            thread.start()
            threads.append(thread)
        barrier.wait()
    except RuntimeError as err:
        if isinstance(err, threading.BrokenBarrierError):
            raise
        raise SetupFault(f"cannot start {len(callables)} threads: {err}", do="raise `ulimit -u`") from err
    finally:
        if len(threads) < len(callables):
            barrier.abort()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(callables))]
