"""Applies and resumes plans in processes that somebody else strikes dead, for test_struck.

Each line of standard input is one job in JSON: ``apply`` or ``resume``, the state directory, the
socket behind which the gateways live, the number of acknowledgements, the time. The answers are the
process's number and, later, how it ended. Whatever record the journal acknowledged is written to
the pipe first, with the job's number in front. One such server serves a whole test: importing anew
for every job would take longer than the jobs. Nothing here differs from the real engine but the
way to the devices: a socket instead of SSH.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import sys
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mtughost.change.apply import apply_plan
from mtughost.change.journal import Journal, Writer
from mtughost.change.resume import resume
from mtughost.change.tools import ServiceCheck, Tools
from mtughost.model.session import Answer

EPOCH = datetime(2026, 3, 2, 1, 0, 0, tzinfo=UTC)


class SharedClock:
    """Real time and what was slept away: both sides of the socket agree on it."""

    def __init__(self, started_s: float, skipped_s: float, skip) -> None:
        self._started_s, self._skipped_s, self._skip = started_s, skipped_s, skip

    def monotonic_s(self):
        return time.monotonic() - self._started_s + self._skipped_s

    boottime_s = monotonic_s

    def utc_now(self):
        now = EPOCH + timedelta(seconds=self.monotonic_s())
        return now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def sleep(self, seconds):
        self._skip(seconds)
        self._skipped_s += seconds


class SocketSession:
    """One login: a connection of its own, as with SSH."""

    small_mss_login = False

    def __init__(self, path, name) -> None:
        self.host = name
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._file = self._socket.makefile("rw")

    def ask(self, commands):
        return tuple(self._one(command) for command in commands)

    def _one(self, command):
        said = self.exchange({"name": self.host, "line": command.line})
        return Answer(
            command_id=command.command_id,
            line=command.line,
            text=said["text"],
            exit_code=said["code"],
            stderr=said["error"],
        )

    def exchange(self, question):
        self._file.write(json.dumps(question) + "\n")
        self._file.flush()
        return json.loads(self._file.readline())

    def close(self):
        self._file.close()
        self._socket.close()


class TellingJournal(Journal):
    """Tells the parent of every record that writing it has acknowledged."""

    pipe, job = -1, 0

    def append(self, record):
        super().append(record)
        os.write(self.pipe, f"{self.job} {record.seq} {record.hash}\n".encode())


def run(job, pipe) -> None:
    directory = Path(job["directory"])
    TellingJournal.pipe, TellingJournal.job = pipe, job["number"]

    def skip(seconds):
        session = SocketSession(job["socket"], "")
        session.exchange({"sleep": seconds})
        session.close()

    clock = SharedClock(job["started_s"], job["skipped_s"], skip)
    good = ServiceCheck(
        full_handshake=True, round_trip_after_change=True, full_size_reply=True, summary="good"
    )
    given, key = pickle.loads((directory / "given.pickle").read_bytes())  # noqa: S301 - our own
    tools = Tools(
        open_session=lambda name: SocketSession(job["socket"], name),
        verify_service=lambda _: good,
        host_keys=lambda _: (key,),
        clock=clock,
        backups=directory / "backups",
    )
    writer = Writer(actor="amy@example.net", host="laptop", boot_id="b")
    with TellingJournal.open(directory / "journal.mtj", clock) as journal:
        if job["what"] == "resume":
            resume(journal=journal, writer=writer, tools=tools)
        else:
            apply_plan(
                given,
                journal=journal,
                writer=writer,
                run_id=f"run-{job['number']}",
                tools=tools,
            )


def main() -> None:
    pipe = int(sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(json.loads(line), pipe)
            except BaseException:  # noqa: BLE001 - the child must never fall into the loop
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
