"""The ``mtughost`` command line in a process that ends by SIGKILL at a chosen journal record.

``dying.py NUMBER before|after LOG COMMAND...``: just before or just after the record with this
number (from 0, counted in this process) is on the disk. Every record whose writing was
acknowledged stands in LOG. Nothing else differs from the real command.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count

from mtughost.change.journal import Journal
from mtughost.cli.main import run


def die_at(number: int, when: str, log: int) -> None:
    append, numbers = Journal.append, count()

    def dying(self, record):
        this_one = next(numbers) == number
        if this_one and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        append(self, record)
        os.write(log, f"{record.seq} {record.hash}\n".encode())
        if this_one:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.append = dying


if __name__ == "__main__":
    chosen, when, path, *command = sys.argv[1:]
    die_at(int(chosen), when, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    sys.exit(run(command))
