"""What goes into the run store and what comes out of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from mtughost.model.errors import StoreError
from mtughost.model.findings import HostStatus
from mtughost.model.session import Answer
from mtughost.store.bodies import Body, Unpacking, unpack

RunState = Literal["running", "complete", "interrupted"]

_SUFFIX = re.compile(r"[0-9a-f]{6,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMeta:
    """What is known when a run begins.

    Attributes:
        started_utc: ISO 8601 in UTC.
        tool: Name and version.
        kind: Workflow: ``audit``, ``diagnose``.
        hosts: Everybody asked for, so that a resumed run asks for the same.
        content_digest: Of the task books and parsers that were used.
        inventory_digest: Of the inventory files.
        options: Whatever the workflow needs to go on after an interruption; JSON values.
    """

    started_utc: str
    tool: str
    kind: str = "audit"
    hosts: tuple[str, ...] = ()
    content_digest: str = ""
    inventory_digest: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One line of the list of runs.

    Attributes:
        ended_utc: ``""`` while it runs or after a crash.
        state: ``running`` also after a crash: nobody was left to write anything else.
        counts: Hosts recorded, by status.
        asked: How many hosts were asked for.
    """

    run_id: str
    meta: RunMeta
    state: RunState
    ended_utc: str
    counts: Mapping[str, int]
    asked: int

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.state == "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHost:
    """One recorded host with its raw answers.

    Attributes:
        extra: What the visit knows beside its answers (``{"small_mss_login": true}``).
        recorded_utc: When it was recorded.
    """

    status: HostStatus
    answers: tuple[Answer, ...]
    extra: Mapping[str, object]
    recorded_utc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCapture:
    """One recorded capture: the bytes as they came from the device, packed until they are read.

    Attributes:
        recorded_utc: When it was recorded.
    """

    host: str
    point: str
    interface: str
    body: Body
    meta: Mapping[str, object]
    recorded_utc: str = ""

    @property
    def name(self) -> str:
        """Whose capture it is, for errors."""
        return f"the capture of {self.host} {self.interface} ({self.point})"

    @property
    def sha256(self) -> str:
        """Of the bytes, hexadecimal."""
        return self.body.sha256

    @property
    def pcap(self) -> bytes:
        """All bytes at once: for small captures, and for tests.

        Raises:
            StoreError: they are not what was recorded.
        """
        return unpack(self.body, self.name)

    def open(self) -> Unpacking:
        """Return the bytes to be read in chunks."""
        return Unpacking(self.body, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """Something about a device that did not come over a login of ours.

    Attributes:
        host: Inventory name, or a name given to a device that is in no inventory.
        command_id: Entry of the task book that reads ``text``; ``""`` for a told value.
        line: The command as that book has it.
        told_key: What a told value is about (``wan.mtu``); ``""`` for output.
        told_value: The value as it was told.
        by: Who said it or sent it.
        on: Day, ISO 8601.
        how: ``phone``, ``mail``, ``pasted``, in the words of whoever took it down.
        text: The output, as it was handed in.
        recorded_utc: When it was recorded; ``""`` before.
        sha256: Of the text, hexadecimal; ``""`` before it is recorded.
    """

    host: str
    site: str
    role: str
    platform: str
    by: str
    on: str
    how: str
    command_id: str = ""
    line: str = ""
    text: str = ""
    told_key: str = ""
    told_value: str = ""
    recorded_utc: str = ""
    sha256: str = ""

    @property
    def note(self) -> str:
        """Who, when and how, for every place that cites it."""
        return f"{self.how} from {self.by} on {self.on}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """What a run kept of some hosts.

    Attributes:
        hosts: In the order asked, then whoever was recorded beside them.
        probes: As recorded, in that order; those that concern no host are always there.
    """

    hosts: tuple[StoredHost, ...]
    captures: tuple[StoredCapture, ...] = ()
    probes: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun(StoredPart):
    """A whole run.

    Attributes:
        report: The final report's JSON, ``None`` where the run never came so far. Its ``sites``
            are read one by one.
    """

    info: RunInfo
    report: Mapping[str, object] | None = None


def make_run_id(started_utc: str, suffix: str) -> str:
    """Make a run id that sorts by time and is unique: ``20260131T235959Z-3f9a1c``.

    Args:
        started_utc: ISO 8601 in UTC.
        suffix: 6 to 32 random hexadecimal digits (``uuid4().hex[:6]``).

    Raises:
        StoreError: either is not of that form.
    """
    try:
        when = datetime.fromisoformat(started_utc)
    except ValueError as error:
        raise StoreError(f"expected a time in ISO 8601, got {started_utc!r}") from error
    if when.tzinfo is None or not _SUFFIX.fullmatch(suffix):
        raise StoreError("expected a time with its zone and 6 to 32 hexadecimal digits")
    return f"{when.astimezone(UTC):%Y%m%dT%H%M%SZ}-{suffix}"
