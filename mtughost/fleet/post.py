"""The part of us on a Dask worker: visits devices in threads, keeps the news until it is fetched.

Called by :mod:`mtughost.fleet.cluster` through Dask's own connections, mutual TLS, so that a
worker needs no way back to whoever asked. Beside Dask's tasks, not as tasks: which login may begin
is decided in one place only, for all workers together, and a task per device would stall.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mtughost import __version__
from mtughost.fleet.worker import Start, Visitor, made, visit_and_tell
from mtughost.model.inventory import Device

#: One answer holds at most this much, or a single visit.
ANSWER_BYTES = 8 * 1024 * 1024
#: Whoever asked for visits and fetches nothing for so long is gone.
FORGOTTEN_S = 120.0
_LOOK_S = 10.0


@dataclass(slots=True, eq=False)
class _Post:
    """One run on this worker."""

    loop: asyncio.AbstractEventLoop
    visitor: Visitor | None = None
    news: deque[bytes] = field(default_factory=deque)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    fetched_s: float = field(default_factory=time.monotonic)

    def tell(self, message: bytes) -> None:
        """Keep a message; from any thread."""
        self.news.append(message)
        try:
            self.loop.call_soon_threadsafe(self.something.set)
        except RuntimeError:
            return  # the loop has ended, and the worker with it

    def taken(self) -> list[bytes]:
        """Return what there is to tell, the oldest first."""
        taken = [self.news.popleft()]
        size = len(taken[0])
        while self.news and size + len(self.news[0]) <= ANSWER_BYTES:
            taken.append(self.news.popleft())
            size += len(taken[-1])
        if not self.news:
            self.something.clear()
        return taken


_POSTS: dict[str, _Post] = {}
_background: set[asyncio.Task[None]] = set()


def program() -> str:
    """Return what must be the same here and there: what travels is made of its classes."""
    return f"mtughost {__version__}, Python {'.'.join(platform.python_version_tuple()[:2])}"


async def open_post(run: str, start: Start) -> None:
    """Make ready for the visits of a run."""
    _be_quiet()
    post = _Post(asyncio.get_running_loop())
    # Its imports take a second, in which the worker must go on answering its scheduler.
    post.visitor = await asyncio.to_thread(made, start, post.tell)
    _POSTS[run] = post
    task = asyncio.get_running_loop().create_task(_close_when_forgotten(run))
    _background.add(task)
    task.add_done_callback(_background.discard)


async def begin(run: str, visits: Sequence[tuple[int, Device]]) -> None:
    """Begin visits, each in a thread of its own."""
    post = _POSTS[run]
    for number, device in visits:
        threading.Thread(
            target=visit_and_tell, args=(post.visitor, number, device, post.tell), daemon=True
        ).start()


async def fetch(run: str, wait_s: float) -> list[bytes]:
    """Return what the visits told since the last time; wait for it, but not for long."""
    post = _POSTS[run]
    post.fetched_s = time.monotonic()
    if not post.news:
        try:
            await asyncio.wait_for(post.something.wait(), wait_s)
        except TimeoutError:
            return []
    return post.taken() if post.news else []


async def close_post(run: str) -> None:
    """Forget a run. Visits that still hang on devices end at their own deadlines."""
    post = _POSTS.pop(run, None)
    close = getattr(post.visitor, "close", None) if post is not None else None
    if close is not None:
        await asyncio.to_thread(close)


async def _close_when_forgotten(run: str) -> None:
    while (post := _POSTS.get(run)) is not None:
        if time.monotonic() - post.fetched_s > FORGOTTEN_S:
            await close_post(run)
        await asyncio.sleep(_LOOK_S)


class _NotOurCalls(logging.Filter):
    """Drops the line that Dask logs for each of our calls."""

    def filter(self, record: logging.LogRecord) -> bool:
        called: Any = record.args
        ours = {begin.__name__, fetch.__name__}
        out_of_band = str(record.msg).startswith("Run out-of-band function")
        return not (out_of_band and isinstance(called, tuple) and called[0] in ours)


def _be_quiet() -> None:
    logger = logging.getLogger("distributed.worker")
    if not any(isinstance(item, _NotOurCalls) for item in logger.filters):
        logger.addFilter(_NotOurCalls())
