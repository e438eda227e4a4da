"""A fleet of virtual gateways on virtual time, with faults on order: what the engine is tried on.

The judge is always the gateway's own state. Nothing here waits: a run of minutes takes
milliseconds, and a seed gives the same run again.
"""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from mtughost.change.approval import Authority, iso
from mtughost.change.journal import Journal, RealDisk, Writer
from mtughost.change.prepare import Place, prepare_device
from mtughost.change.resume import open_devices, resume, statuses
from mtughost.change.tools import ServiceCheck, Tools
from mtughost.change.wave_run import WaveRun
from mtughost.lab.fleet.shell_gateway import ShellGateway
from mtughost.model.errors import (
    AuthenticationRefusedError,
    DeviceUnreachableError,
    HostKeyError,
)
from mtughost.model.inventory import Credential, Device
from mtughost.model.plans import Author, PlanWindow, ToolInfo, content_digest
from mtughost.model.session import Answer
from mtughost.remedy.plan import PlanHeader, build_plan
from mtughost.remedy.waves import WavePolicy

BASE = datetime(2026, 3, 2, 1, 0, 0, tzinfo=UTC)
KEY = "SHA256:" + "A" * 43
WRITER = Writer(actor="amy@example.net", host="laptop", boot_id="b" * 8)
AMY = Author(principal="amy@example.net", key_fp="SHA256:" + "C" * 43)
_WORD_S = 0.05


class Quick(RealDisk):
    """A disk that never loses power: what does is in test_power.py."""

    def sync(self, handle: int) -> None:
        """Return at once."""


class Killed(BaseException):
    """The tool's process ends here."""


class Time:
    """The tool's clocks. Each thread has time of its own: devices do not wait for each other."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._latest_s = 0.0
        self._home = threading.get_ident()
        self._lock = threading.Lock()
        self.wall_jump_s = 0.0
        self.slept_s = 0.0

    def now_s(self) -> float:
        with self._lock:
            if not hasattr(self._mine, "now_s"):
                self._mine.now_s = self._latest_s
            if threading.get_ident() == self._home:
                self._mine.now_s = max(self._mine.now_s, self._latest_s)
            return self._mine.now_s

    def move_to(self, now_s: float) -> None:
        self.now_s()
        with self._lock:
            self._mine.now_s = max(self._mine.now_s, now_s)
            self._latest_s = max(self._latest_s, self._mine.now_s)

    def utc_now(self) -> str:
        return iso(BASE + timedelta(seconds=self.now_s() + self.wall_jump_s))

    def monotonic_s(self) -> float:
        return self.now_s()

    def boottime_s(self) -> float:
        return self.now_s() + self.slept_s

    def sleep(self, seconds: float) -> None:
        self.move_to(self.now_s() + max(0.0, seconds))


class Moments(list):
    """Records what the console is told, and does what was planted behind a step, once."""

    def __init__(self, planted) -> None:
        super().__init__()
        self._planted = dict(planted)

    def append(self, progress):
        super().append(progress)
        self._planted.pop(progress.step, lambda: None)()


@dataclass
class Fault:
    """Something that goes wrong when a device is about to be sent its ``at``-th line.

    ``what``: ``eof`` (not sent), ``lost`` (done, answer lost), ``late`` (done, answer after the
    deadline), ``fail`` (the line fails), ``reboot``, ``slow`` (``arg`` seconds), ``dark`` (no
    login for ``arg`` seconds), ``key`` (another host key from now on), ``refuse`` (login refused
    from now on), ``meddle`` (somebody else changes the device), ``full`` (its disk is full),
    ``stuck`` (its own restore fails).
    """

    at: int
    what: str
    arg: float = 0.0


class ShellLogin:
    """A login on a virtual gateway."""

    small_mss_login = False

    def __init__(self, world, station) -> None:
        self.host = station.gateway.name
        self._world, self._station, self._dead = world, station, False

    def ask(self, commands):
        return tuple(self._one(command) for command in commands)

    def _one(self, command):
        station, world = self._station, self._world
        what = "" if self._dead else station.next_line(world, command)
        if self._dead or what in {"eof", "reboot", "dark", "key", "refuse"}:
            self._dead = True
            return self._answer(command, status="eof")
        if what == "fail":
            return self._answer(command, exit_code=1, stderr="No space left on device")
        out, code, error = station.gateway.run(command.line)
        if what in {"lost", "late"}:
            self._dead = True
            if what == "late":
                world.time.sleep(command.timeout_s)
                return self._answer(command, status="timeout")
            return self._answer(command, status="eof")
        return self._answer(command, text=out, exit_code=code, stderr=error)

    @staticmethod
    def _answer(command, **more):
        values = {"text": "", "exit_code": None} | more
        return Answer(command_id=command.command_id, line=command.line, **values)

    def close(self):
        self._dead = True


@dataclass
class Station:
    """A gateway with its faults and what it was sent."""

    gateway: ShellGateway
    faults: list[Fault] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    lines: int = 0
    dark_until_s: float = -1.0
    key: str = KEY
    refuses: bool = False
    broken: bool = False
    logins: int = 0

    def next_line(self, world, command) -> str:
        world.meet(self)
        world.time.sleep(_WORD_S)
        world.meet(self)
        number, self.lines = self.lines, self.lines + 1
        what = ""
        for fault in [one for one in self.faults if one.at == number]:
            what = self._suffer(world, fault) or what
        self.sent.append(command.command_id)
        return what

    def _suffer(self, world, fault) -> str:
        gateway = self.gateway
        if fault.what == "reboot":
            gateway.reboot()
        elif fault.what == "slow":
            world.time.sleep(fault.arg)
            world.meet(self)
            return ""
        elif fault.what == "dark":
            self.dark_until_s = world.time.now_s() + fault.arg
        elif fault.what == "key":
            self.key = "SHA256:" + "B" * 43
        elif fault.what == "refuse":
            self.refuses = True
        elif fault.what == "meddle":
            gateway.running.tables["inet clamp"].add("tcp dport 9 drop")
            return ""
        elif fault.what == "full":
            gateway.disk_full = True
            return ""
        elif fault.what == "stuck":
            gateway.restore_fails = True
            return ""
        return fault.what

    def works(self) -> bool:
        """Say whether the far end is reached with full-size packets, by the gateway's state."""
        if self.broken:
            return False
        running = self.gateway.running
        rules = [r for table in running.tables.values() for _, r in table.rules]
        both = [r for r in rules if '"vlan20"' in r and '"wan0"' in r]
        twins = [r for family in running.mangle.values() for r in family if "vlan20" in r]
        return bool(both or twins) or running.mtus["vlan20"] < 1500


class World:
    """Gateways, one tool, one journal."""

    def __init__(self, directory: Path, planned, stations, *, journal=Journal) -> None:
        self.directory = directory
        self.plan = planned
        self.stations: dict[str, Station] = stations
        self.time = Time()
        self.events: list = []
        self.stop = False
        self.service_s = 12.0
        self.service_hook = lambda _request: None
        self.journal_class = journal
        self.journal_options: dict = {"disk": Quick()}

    def meet(self, station) -> None:
        """Let the device's time catch up with the visitor's."""
        clock = station.gateway.clock
        late_s = self.time.now_s() - clock.now_s()
        if late_s > 0:
            clock.advance(late_s)
        self.time.move_to(clock.now_s())

    def login(self, name: str) -> ShellLogin:
        station = self.stations[name]
        self.time.sleep(1.0)
        self.meet(station)
        station.logins += 1
        if self.time.now_s() < station.dark_until_s:
            self.time.sleep(10)
            raise DeviceUnreachableError(name, "no answer")
        if station.key != KEY:
            raise HostKeyError(name, "the host key changed")
        if station.refuses:
            raise AuthenticationRefusedError(name, "refused")
        return ShellLogin(self, station)

    def service(self, request) -> ServiceCheck:
        self.service_hook(request)
        station = self.stations[request.device]
        end_s = self.time.now_s() + request.timeout_s
        self.time.sleep(min(self.service_s, request.timeout_s))
        self.meet(station)
        good = station.works() and self.time.now_s() < end_s
        if not good:
            self.time.move_to(end_s)
            self.meet(station)
        return ServiceCheck(
            full_handshake=good,
            round_trip_after_change=good,
            full_size_reply=good,
            summary="accepted" if good else "the hello was not answered",
        )

    @property
    def tools(self) -> Tools:
        return Tools(
            open_session=self.login,
            verify_service=self.service,
            host_keys=lambda name: (self.stations[name].key,),
            clock=self.time,
            backups=self.directory / "backups",
            progress=self.events.append,
            stop_requested=lambda: self.stop,
        )

    def journal(self):
        path = self.directory / "journal.mtj"
        return self.journal_class.open(path, self.time, **self.journal_options)

    def authority(self) -> Authority:
        approval = SimpleNamespace(not_after_utc=iso(BASE + timedelta(hours=24)))
        return Authority(
            plan=self.plan,
            digest=content_digest(self.plan),
            approval=approval,
            signers_digest="",
        )

    def run(self, run_id: str = "run-1"):
        """Run the waves, without papers: those have tests of their own."""
        with self.journal() as journal:
            keep = self.directory / "plans"
            if not keep.exists():
                self.keep(keep)
            pen = journal.run(run_id, content_digest(self.plan), WRITER)
            pen.write("run-open")
            results = WaveRun(self.authority(), pen, self.tools).run()
            pen.write("run-close")
            return results

    def keep(self, directory: Path) -> None:
        from mtughost.change.apply import keep_plan  # noqa: PLC0415
        from mtughost.model.plans import plan_bytes  # noqa: PLC0415

        keep_plan(directory.parent, plan_bytes(self.plan))

    def killed_at(self, step) -> None:
        """Run until a step was told; there the tool dies."""

        def die():
            raise Killed

        self.events = Moments({step: die})
        try:
            self.run()
        except Killed:
            self.events = []
        else:
            raise AssertionError(f"it never came to {step}")

    def resume(self):
        with self.journal() as journal:
            results = resume(journal=journal, writer=WRITER, tools=self.tools)
            return [device for result in results for device in result.devices]

    def records(self):
        with Journal.open(self.directory / "journal.mtj", self.time) as journal:
            return journal.records

    def wait(self, seconds: float) -> None:
        """Let everybody's time pass."""
        self.time.sleep(seconds)
        for station in self.stations.values():
            self.meet(station)

    def side(self, name: str) -> str:
        """Say where a gateway stands: ``before``, ``after``, ``unsaved`` or ``between``."""
        gateway, planned = self.stations[name].gateway, self.plan.device(name)
        before = ShellGateway(name)
        if gateway.running.same_as(before.running) and gateway.boots.same_as(before.running):
            return "before"
        if _is_planned(gateway, planned):
            if gateway.running.same_as(gateway.boots):
                return "after"
            return "unsaved" if gateway.boots.same_as(before.running) else "between"
        return "between"


def _is_planned(gateway, planned) -> bool:
    twin = ShellGateway(gateway.name)
    for line in planned.commands:
        twin.run(line.line.partition("/armed && ")[2])
    return gateway.running.same_as(twin.running)


def header(**more) -> PlanHeader:
    values = {
        "plan_id": "p-1",
        "created_utc": iso(BASE),
        "not_after_utc": iso(BASE + timedelta(hours=24)),
        "tool": ToolInfo(name="mtughost", version="0", code_digest="sha256:0"),
        "author": AMY,
        "reason": "RADsec fails",
        "inventory_digest": "sha256:1",
        "templates_digest": "sha256:2",
        "lineage": "3f1c",
        "serial": 0,
    }
    return PlanHeader(**(values | more))


class Builder:
    """Makes plans for virtual gateways, the same way as ``mtughost plan`` does."""

    def __init__(self, content) -> None:
        self.content = content
        self._kept: dict = {}

    def device(self, choice, name, *, site="", ha_peer="", window=None, gateway=None):
        gateway = gateway or ShellGateway(name)
        station = Station(gateway)
        world = World(Path(), None, {name: station})
        device = Device(
            name=name,
            address="192.0.2.1",
            site=site or name.partition("-")[0],
            role="gateway",
            credential=Credential(realm="lab", username="root"),
            ha_peer=ha_peer,
        )
        place = Place(
            device=device,
            book=self.content.book,
            root=self.content.root,
            host_key_fp=(KEY,),
            window=window or PlanWindow(),
        )
        session = ShellLogin(world, station)
        return prepare_device(
            replace(choice, device=name), session=session, place=place, clock=world.time
        )

    def plan(self, devices, policy=None, **more):
        return build_plan(header(**more), devices, policy or WavePolicy())

    def one(self, kind, choices):
        """Return a plan for one gateway, made once."""
        if kind not in self._kept:
            choice = choices[kind][0]()
            self._kept[kind] = self.plan([self.device(choice, "s001-gw1")])
        return self._kept[kind]


def world_of(directory, plan, **more) -> World:
    directory.mkdir(parents=True, exist_ok=True)
    stations = {one.name: Station(ShellGateway(one.name)) for one in plan.devices}
    return World(directory, plan, stations, **more)


#: What a fault run may hold, with the range of its argument.
FAULTS = (
    ("eof", 0, 0),
    ("lost", 0, 0),
    ("late", 0, 0),
    ("fail", 0, 0),
    ("reboot", 0, 0),
    ("slow", 1, 200),
    ("dark", 5, 400),
    ("key", 0, 0),
    ("refuse", 0, 0),
    ("meddle", 0, 0),
    ("full", 0, 0),
)


def any_fault(chance: random.Random, lines: int) -> Fault:
    what, low, high = chance.choice(FAULTS)
    return Fault(chance.randrange(lines), what, chance.uniform(low, high))


class DyingJournal(Journal):
    """Ends the tool just before or just after a record with a chosen number."""

    at = -1
    when = "after"

    def append(self, record):
        if record.seq == type(self).at and self.when == "before":
            raise Killed
        super().append(record)
        if record.seq == type(self).at and self.when == "after":
            raise Killed


#: Lines and records of a run without trouble.
LINES, RECORDS = 60, 21
#: After these nobody can log in any more, and the tool does not try.
FINAL = frozenset({"key", "refuse"})


@dataclass(frozen=True)
class Ended:
    """How a fault run ended, in the tool's words and by the gateway's state."""

    seed: str
    faults: tuple[Fault, ...]
    killed: tuple[tuple[int, str], ...]
    state: str
    side: str
    promises: tuple[str, ...]
    left_open: bool
    lines: int

    @property
    def violation(self) -> str:
        """Return what must never be, ``""`` when all is well."""
        names = {fault.what for fault in self.faults}
        # Nothing is read again of what the last seven lines read; the eighth only tidies.
        late = any(f.what == "meddle" and f.at >= self.lines - 8 for f in self.faults)
        known = self.side == "unsaved" and names & FINAL and self.state == "needs-human"
        foreign = "meddle" in names
        doubts = {
            "; ".join(self.promises): bool(self.promises),
            "a false 'confirmed'": (
                self.state == "confirmed" and self.side != "after" and not late
            ),
            f"'{self.state}' and the device is {self.side}": (
                self.state in {"reverted", "planned"} and self.side != "before" and not foreign
            ),
            f"the device is {self.side}": (
                self.side not in {"before", "after"} and not known and not foreign
            ),
            "a device was left open": self.left_open and not names & FINAL and not foreign,
        }
        return next((doubt for doubt, holds in doubts.items() if holds), "")


def fault_run(seed: str, directory: Path, plan) -> Ended:
    """Run a change with one to three faults and perhaps a killed tool; the seed says which."""
    chance = random.Random(seed)  # noqa: S311 - variety, not secrecy

    class Dying(DyingJournal):
        pass

    fleet = world_of(directory, plan, journal=Dying)
    (name,) = fleet.stations
    station = fleet.stations[name]
    station.faults = [any_fault(chance, LINES) for _ in range(chance.randint(1, 3))]
    fleet.service_s = chance.choice([2.0, 12.0, 60.0, 89.0])
    station.broken = chance.random() < 0.1
    killed = []
    for attempt in range(3):
        Dying.at = chance.randrange(RECORDS + 6) if chance.random() < 0.4 else -1
        Dying.when = chance.choice(["before", "after"])
        try:
            if attempt == 0:
                fleet.run()
            else:
                fleet.resume()
            break
        except Killed:
            killed.append((Dying.at, Dying.when))
            fleet.time.sleep(chance.choice([0, 5, 100, 400]))
    Dying.at = -1
    # Whatever was dark is lit again; whoever was killed resumes, as often as it takes.
    fleet.wait(1000)
    for _ in range(3):
        if not open_devices(fleet.records()):
            break
        fleet.resume()
    fleet.wait(300)
    states = [status.state for status in statuses(fleet.records())]
    return Ended(
        seed=seed,
        faults=tuple(station.faults),
        killed=tuple(killed),
        state=states[-1] if states else "planned",
        side=fleet.side(name),
        promises=tuple(station.gateway.broken_promises),
        left_open=bool(open_devices(fleet.records())),
        lines=station.lines,
    )
