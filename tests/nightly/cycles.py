"""A process that logs in and out again and again, and says what that left behind in it.

``python cycles.py PROJECT CYCLES GOOD UNKNOWN``: reads the identity of device GOOD each time; at
every tenth login it tries UNKNOWN as well, whose host key nobody recorded.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

from mtughost.app.inventory import open_inventory
from mtughost.app.project import open_project
from mtughost.app.sessions import SessionFactory
from mtughost.collect.visit import read_device
from mtughost.model.errors import HostKeyError
from mtughost.wire.clock import SystemClock

#: Caches and pools of the libraries are full by then.
WARM_UP = 50
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def now() -> dict[str, float]:
    """Return what this process holds."""
    deadline_s = time.monotonic() + 5
    while threading.active_count() > 1 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "resident_mb": resident / 1e6,
    }


def main() -> None:
    """Do it and print both looks as JSON."""
    project = open_project(Path(sys.argv[1]))
    cycles, good, unknown = int(sys.argv[2]), sys.argv[3], sys.argv[4]
    devices = open_inventory(project).known
    refused = 0
    before: dict[str, float] = {}
    clock = SystemClock()
    with closing(SessionFactory(project, devices, clock=clock)) as factory:
        book = factory.book(devices[good])
        for cycle in range(WARM_UP + cycles):
            if cycle == WARM_UP:
                before = now()
            with closing(factory.open(devices[good])) as session:
                identity = frozenset({"identity"})
                visit = read_device(
                    session, book, project.content, devices[good], clock=clock, kinds=identity
                )
                assert all(answer.status == "complete" for answer in visit.answers)
            if cycle % 10 == 0:
                try:
                    factory.open(devices[unknown])
                except HostKeyError:
                    refused += 1
        after = now()
    print(json.dumps({"before": before, "after": after, "refused": refused}))  # noqa: T201


if __name__ == "__main__":
    main()
