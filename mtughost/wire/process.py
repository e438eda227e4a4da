"""Settings of a process that runs a fleet. A library must not do this to its host."""

from __future__ import annotations

import gc
import sys

_SWITCH_S = 0.02
_GARBAGE_THRESHOLD = 20_000
#: paramiko imports it for ``Match exec`` in ssh_config files, which are never read here, and does
#: without it where it is missing. It is a third of paramiko's start-up.
_NOT_WANTED = "invoke"


def tune_process() -> None:
    """Let threads convoy less and start-up cost less. Call it before anything else is imported.

    Threads switch every 20 ms instead of 5, which matters with up to 100 sessions at once; the
    garbage collector does not go through everything again for every 700 new objects.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(_GARBAGE_THRESHOLD)
    sys.modules.setdefault(_NOT_WANTED, None)  # type: ignore[arg-type]  # the import then fails
