"""A virtual device and one person's command line on it; vendors' modules fill both in."""

from __future__ import annotations

import random
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mtughost.lab.fleet.clock import FleetClock
from mtughost.lab.fleet.effects import Handshake
from mtughost.lab.fleet.tapping import Job, Tapper, no_packets


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who may log in.

    Attributes:
        username: Login name.
        public_key: Accepted key in OpenSSH's form, or ``""``.
        password: Accepted password, or ``""`` for none.
        level: ``full``, ``read`` (sees all, changes nothing) or ``partial`` (sees a part).
        enable: Password of the privileged mode; ``""``: a login begins there.
    """

    username: str
    public_key: str = ""
    password: str = ""
    level: str = "full"
    enable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a device behaves on the wire, beside what it says.

    Attributes:
        page_rows: Lines of a page, 0 for no pager; a device's own setting may override it.
        noise: Chance, per line of output, that a log line comes in between.
        idle_noise_s: Mean time between log lines that come while nobody asks, 0 for none.
        redraws: Whether the prompt is drawn again after such a line.
        chunk_bytes: Output comes in pieces of this size, 0 for as it is.
        chunk_delay_s: Pause between pieces.
        think_s: Pause before an answer begins.
        boot_s: How long a reboot takes.
    """

    page_rows: int = 24
    noise: float = 0.0
    idle_noise_s: float = 0.0
    redraws: bool = True
    chunk_bytes: int = 0
    chunk_delay_s: float = 0.0
    think_s: float = 0.0
    boot_s: float = 60.0


@dataclass(slots=True)
class Heard:
    """One line that somebody typed, when, and whether it was typed into configuration."""

    username: str
    line: str
    at_s: float
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a virtual device is, the same in every vendor's words.

    Attributes:
        name: Inventory name.
        hostname: What it calls itself.
        version: Software version in the vendor's spelling.
        model: Model.
        serial: Serial number.
    """

    name: str
    hostname: str
    version: str
    model: str
    serial: str


class VirtualDevice(ABC):
    """One device.

    Attributes:
        platform: Name of its task book.
        running: What it does now.
        saved: What it does after a reboot.
        heard: Every line that was typed, for tests: the oracle of what reached the device.
        macs: Hardware addresses that are not the emulation's to choose, by interface.
        is_up: Whether it takes logins.
        is_watched: Whether it notes every change that it would not undo by itself.
        breaches: Lines that changed what it does or saves while no undo was armed *and shown*:
            the device's own word on "arm, read back, then touch".
        home: Where it may keep files, if it does; ``None``: a directory that goes with it.
    """

    platform = ""
    home: Path | None = None

    def __init__(
        self,
        identity: Identity,
        *,
        clock: FleetClock,
        accounts: tuple[Account, ...] = (),
        manners: Manners | None = None,
    ) -> None:
        self.identity = identity
        self.clock = clock
        self.accounts = {account.username: account for account in accounts}
        self.manners = manners or Manners()
        self.rng = random.Random(identity.serial)  # noqa: S311 - emulated noise
        self.heard: list[Heard] = []
        self.macs: dict[str, str] = {}
        self.is_up = True
        self.reboots = 0
        self.is_watched = False
        self.breaches: list[str] = []
        self.undo_was_shown = False
        self._booted_s = clock.now_s()
        self._open: list[Cli] = []
        self.on_hang_up: Callable[[Cli], None] = lambda _cli: None
        #: Called when a line was obeyed: what a device does may then have changed.
        self.on_line: Callable[[], None] = lambda: None
        #: What the way out carries, beyond its own interface.
        self.path_mtu_bytes = 1500
        #: Whether an echo of this IP size, with DF, to this address comes back.
        self.echoes: Callable[[str, int], bool] = self._fits
        #: What its sniffers see.
        self.tap: Tapper = no_packets
        self.furnish()

    def _fits(self, _address: str, packet_bytes: int) -> bool:
        return packet_bytes <= self.path_mtu_bytes

    @property
    def uptime_s(self) -> int:
        """Seconds since the last boot."""
        return int(self.clock.now_s() - self._booted_s)

    @property
    def booted_s(self) -> float:
        """When it last booted, by its clock."""
        return self._booted_s

    @property
    def asks_itself(self) -> bool:
        """Whether SSH lets everybody in and the terminal asks for the account."""
        return False

    def mac_of(self, interface: str) -> str:
        """Return an interface's hardware address, always the same."""
        if interface in self.macs:
            return self.macs[interface]
        tail = f"{zlib.crc32(f'{self.identity.serial}/{interface}'.encode()):08x}"
        return ":".join(("02", "00", *(tail[at : at + 2] for at in range(0, 8, 2))))

    def account_of(self, username: str) -> Account | None:
        """Return who logs in with this name; some vendors take parameters behind it."""
        return self.accounts.get(username)

    def login(self, username: str) -> Cli:
        """Open a command line for an account."""
        cli = self.command_line(self.accounts[username])
        self._open.append(cli)
        return cli

    def logout(self, cli: Cli) -> None:
        """Forget a command line whose login ended."""
        if cli in self._open:
            self._open.remove(cli)
            cli.left()

    def reboot(self) -> None:
        """Lose all logins and everything that was not saved; come back after a while."""
        self.reboots += 1
        self.is_up = False
        self.load_saved()
        for cli in tuple(self._open):
            cli.ended = True
            self.on_hang_up(cli)
        self._open.clear()
        self.clock.call_later(self.manners.boot_s, self._up)

    def _up(self) -> None:
        self.is_up = True
        self._booted_s = self.clock.now_s()

    def furnish(self) -> None:  # noqa: B027 - a device may have no state
        """Set the state that it leaves the factory with."""

    @abstractmethod
    def command_line(self, account: Account) -> Cli:
        """Return a new command line."""

    @abstractmethod
    def load_saved(self) -> None:
        """Let the running state be the saved one, as a boot does."""

    @abstractmethod
    def state(self) -> object:
        """Return running and saved state as plain values, to compare before and after."""

    def effective(self) -> object:
        """Return what it does and what it saves, without what merely waits or arms an undo."""
        return self.state()

    @property
    def undo_is_ready(self) -> bool:
        """Whether it would undo a change by itself now, and has said so."""
        return False

    def forward(self, packet: Handshake) -> int:
        """Return the MSS with which a handshake packet leaves; no change unless overridden."""
        return packet.mss

    def mtu_of(self, name: str) -> int:  # noqa: ARG002 - for overriding
        """Return the IP MTU of an interface, by the vendor's name; Ethernet's unless overridden."""
        return 1500

    def log_line(self) -> str:
        """Return one line of the device's log, as it would appear on a terminal."""
        return f"%SYS-6-NOTICE: event {self.rng.randrange(10_000)}"


@dataclass(slots=True)
class Page:
    """How a pager stops and goes on.

    Attributes:
        stop: What it prints.
        erase: What takes that back, once a key was pressed.
    """

    stop: str = "--More-- "
    erase: str = "\r         \r"


class Cli(ABC):
    """One login's command line.

    Attributes:
        ended: The session is over.
        page: The pager's texts.
        channel: What carries it, for whoever serves it.
        job: A command that goes on until it is interrupted, ``None`` while none does.
    """

    banner = ""
    page = Page()
    #: Characters that end a line; ``\n`` right after ``\r`` counts once.
    newline = "\r\n"
    #: Whether what is typed appears; passwords do not.
    echoes = True

    def __init__(self, device: VirtualDevice, account: Account) -> None:
        self.device = device
        self.account = account
        self.ended = False
        self.channel: object = None
        self.job: Job | None = None

    @property
    @abstractmethod
    def prompt(self) -> str:
        """What stands before the cursor."""

    @property
    def above(self) -> str:
        """What is drawn on lines of its own above the prompt."""
        return ""

    @property
    def page_rows(self) -> int:
        """Lines of a page, 0 for no pager."""
        return self.device.manners.page_rows

    def type(self, line: str) -> str:
        """Take one line and return what it prints, lines ended by LF."""
        device = self.device
        device.heard.append(Heard(self.account.username, line, device.clock.now_s(), self.prompt))
        before, was_ready = None, True
        if device.is_watched:
            before, was_ready = device.effective(), device.undo_is_ready
        said = self.run(line)
        if not (was_ready or device.undo_is_ready) and device.effective() != before:
            device.breaches.append(line)
        device.on_line()
        return said

    @abstractmethod
    def run(self, line: str) -> str:
        """Obey one line."""

    def left(self) -> None:  # noqa: B027 - not every vendor cares
        """The login ended, for whatever reason."""

    def terminal(self) -> Terminal:
        """Return keyboard and screen."""
        return Terminal(self)


@dataclass(slots=True)
class Terminal:
    """The keyboard and the screen: echo, editing, paging. Pure: keys in, characters out."""

    cli: Cli
    _line: str = ""
    _rest: list[str] = field(default_factory=list)
    _after_cr: bool = False

    def greet(self) -> str:
        """Return what stands on the screen before anything was typed."""
        return self.cli.banner.replace("\n", "\r\n") + self.prompted()

    def prompted(self) -> str:
        """Return what draws the prompt."""
        return self.cli.prompt

    def entered(self, line: str) -> str:  # noqa: ARG002 - some terminals draw it anew
        """Return what appears when a line was ended."""
        return self.cli.newline

    def feed(self, keys: str) -> str:
        """Press keys; return what appears."""
        return "".join(self._press(key) for key in keys if not self.cli.ended)

    def screen_line(self) -> str:
        """Return the line that the cursor stands in."""
        return self.cli.page.stop if self._rest else self.cli.prompt + self._line

    def work(self) -> str:
        """Return what a command that goes on has printed meanwhile."""
        job = self.cli.job
        if job is None:
            return ""
        is_over, text = job.is_over, job.more()
        if is_over:
            self.cli.job = None
        return text.replace("\n", self.cli.newline) + (self.prompted() if is_over else "")

    def _interrupt(self, key: str) -> str:
        job = self.cli.job
        if job is None or key != "\x03":
            return ""
        self.cli.job = None
        text = "^C\n" + job.interrupt()
        return text.replace("\n", self.cli.newline) + self.prompted()

    def _press(self, key: str) -> str:  # noqa: PLR0911 - one per kind of key
        if self.cli.job is not None:
            return self._interrupt(key)
        if self._rest:
            return self._page_key(key)
        is_pair = key == "\n" and self._after_cr
        self._after_cr = key == "\r"
        if is_pair:
            return ""
        if key in "\r\n":
            line, self._line = self._line, ""
            return self.entered(line) + self._obey(line)
        if key in "\b\x7f":
            gone, self._line = self._line[-1:], self._line[:-1]
            return "\b \b" if gone else ""
        if key in "\x03\x15":
            self._line = ""
            return self.cli.newline + self.cli.prompt if key == "\x03" else ""
        if key < " ":
            return ""
        self._line += key
        return key if self.cli.echoes else ""

    def _obey(self, line: str) -> str:
        text = self.cli.type(line)
        if self.cli.job is not None:
            return text.replace("\n", self.cli.newline)
        if self.cli.ended:
            return text.replace("\n", self.cli.newline)
        return self._show(self._with_noise(text.split("\n")[:-1] if text else []))

    def _with_noise(self, lines: list[str]) -> list[str]:
        device = self.cli.device
        if not device.manners.noise:
            return lines
        noisy: list[str] = []
        for line in lines:
            noisy.append(line)
            if device.rng.random() < device.manners.noise:
                noisy.append(device.log_line())
        return noisy

    def _show(self, lines: list[str]) -> str:
        rows = self.cli.page_rows
        if not rows or len(lines) <= rows:
            return self._joined(lines) + self.cli.above + self.prompted()
        self._rest = lines[rows:]
        return self._joined(lines[:rows]) + self.cli.page.stop

    def _page_key(self, key: str) -> str:
        lines, self._rest = self._rest, []
        if key in "qQ\x03":
            return self.cli.page.erase + self.cli.prompt
        if key in "\r\n":
            head, self._rest = lines[:1], lines[1:]
            more = self.cli.page.stop if self._rest else self.cli.prompt
            return self.cli.page.erase + self._joined(head) + more
        if key != " ":
            self._rest = lines
            return ""
        return self.cli.page.erase + self._show(lines)

    def _joined(self, lines: list[str]) -> str:
        return "".join(line + self.cli.newline for line in lines)
