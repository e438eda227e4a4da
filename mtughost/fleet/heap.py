"""The C library's heap in a worker: one for all threads, given back when it lies idle.

A worker visits thousands of devices, each in a thread of its own. glibc gives threads heaps of
their own, up to eight for each core, to spare them a lock; Python's threads wait for each other
anyway. What answers of many sizes leave free in each of them stays with the process: 12 MB after
a few thousand visits, and more with each (mallopt(3), malloc_trim(3)). Elsewhere nothing is done.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Let all threads that begin from now on share one heap."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def tidy() -> None:
    """Collect garbage, then give back what lies idle."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
