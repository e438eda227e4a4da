"""Applies plans in processes that die by SIGKILL at a chosen journal record, for test_resume.

Each line of standard input is one job in JSON (how to enter the box, state directory, record
number, ``before`` or ``after``); the answer is how its process ended. One such server serves a
test session: importing anew for every job would take longer than the jobs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import signal
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

from mtughost.change.apply import apply_plan
from mtughost.change.journal import Journal, Writer
from mtughost.change.tools import ServiceCheck, Tools


def load_boxes():
    path = Path(__file__).with_name("box.py")
    spec = importlib.util.spec_from_file_location("mtughost_test_box", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mtughost_test_box"] = module
    spec.loader.exec_module(module)
    return module


class DyingJournal(Journal):
    """Kills its own process before or after the record with the chosen number."""

    at = 0
    when = "after"

    def append(self, record):
        if record.seq == self.at and self.when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super().append(record)
        if record.seq == self.at and self.when == "after":
            os.kill(os.getpid(), signal.SIGKILL)


def run(boxes, job) -> None:
    directory = Path(job["directory"])
    DyingJournal.at, DyingJournal.when = job["number"], job["when"]
    given = pickle.loads((directory / "given.pickle").read_bytes())  # noqa: S301 - our own
    check = ServiceCheck(
        full_handshake=True, round_trip_after_change=True, full_size_reply=True, summary="good"
    )
    clock = boxes.RealClock()
    tools = Tools(
        open_session=boxes.opener(SimpleNamespace(enter=job["enter"]), []),
        verify_service=lambda _: check,
        host_keys=lambda _: given.host_key,
        clock=clock,
        backups=directory / "backups",
    )
    with DyingJournal.open(directory / "journal.mtj", clock) as journal:
        apply_plan(
            given.input,
            journal=journal,
            writer=Writer(actor="amy@example.net", host="laptop", boot_id="b"),
            run_id="run-1",
            tools=tools,
        )


def main() -> None:
    boxes = load_boxes()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(boxes, json.loads(line))
            except BaseException:  # noqa: BLE001 - the child must never fall into the loop
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
