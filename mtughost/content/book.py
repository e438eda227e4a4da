"""The task book: every command that may ever be sent to one platform, as validated data.

The schema of ``change:``, ``guard:`` and ``state:`` is in :mod:`mtughost.content.book_change`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mtughost.content.book_change import ChangeSpec, GuardSpec, ModeSpec, StateSpec
from mtughost.content.book_parts import (
    ExitCode,
    Line,
    Name,
    Params,
    ParserName,
    ReadRisk,
    Seconds,
    Section,
)
from mtughost.model.basis import CommandBasis

#: Kinds of fact that a book may read (DESIGN section 4; ``dhcp`` is option 26 where visible).
Kind = Literal[
    "identity",
    "privilege",
    "interfaces",
    "addresses",
    "routes",
    "sessions",
    "clamps",
    "icmp",
    "cloud",
    "push-log",
    "dhcp",
    "clock",
    "policy",
    "neighbours",
    "saved-clamps",
    "log",
]


class CommandSpec(Section):
    """One line that may be sent.

    Attributes:
        run: The line; ``{{ name }}`` stands for a typed value.
        risk: ``passive`` shows, ``active`` sends traffic or runs for a while, ``disruptive`` can
            drop clients.
        basis: Where it is known from.
        params: Typed values in ``run``.
        ok_exit_codes: Exit codes that count as an answer.
        leaves: What it leaves behind on the device and for how long, in words.
        note: For whoever signs the book off.
    """

    run: Line
    risk: ReadRisk
    basis: CommandBasis
    params: Params = Field(default_factory=dict)
    ok_exit_codes: tuple[ExitCode, ...] = (0,)
    timeout_s: Seconds = 20.0
    max_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    leaves: str = ""
    note: str = ""


class ReadSpec(Section):
    """How one answer, or several together, become rows of one kind of fact.

    Exactly one of ``parser`` (a TextFSM file, one ``command``) and ``dialect`` is given.

    Attributes:
        command: The command, where one is enough.
        inputs: For dialects that read several answers together: the dialect's name of an input
            to the command that gives it.
        parser: ``parsers/<platform>/<parser>.textfsm``; ``linux/ip-link`` reads the same program
            of another platform.
        dialect: A reader of :mod:`mtughost.dialects`, by name.
        columns: Fixed columns added to every row that lacks them, such as the address family
            that a command's option chose.
        roles: Only asked on devices of these roles; empty means all.
        strict: A line that the parser cannot place makes the fact unknown. Otherwise such
            lines are kept and counted.
        optional: The fact can do without this answer.
        fallback: Asked only where the entries before it in the list gave no answer.
    """

    command: Name | None = None
    inputs: Mapping[Name, Name] = Field(default_factory=dict)
    parser: ParserName | None = None
    dialect: Name | None = None
    columns: Mapping[Annotated[str, Field(pattern=r"\A[A-Z][A-Z0-9_]{0,31}\z")], str] = Field(
        default_factory=dict
    )
    roles: tuple[Literal["ap", "gateway", "appliance"], ...] = ()
    strict: bool = True
    optional: bool = False
    fallback: bool = False

    @model_validator(mode="after")
    def _one_reader(self) -> Self:
        if (self.parser is None) == (self.dialect is None):
            raise ValueError("give either parser or dialect")
        if (self.command is None) == (not self.inputs):
            raise ValueError("give either command or inputs")
        if self.parser is not None and self.command is None:
            raise ValueError("a parser reads one command")
        return self

    @property
    def command_ids(self) -> tuple[str, ...]:
        """The commands it needs."""
        return (self.command,) if self.command else tuple(self.inputs.values())


class CloudPushSpec(Section):
    """The verbose push or fetch itself.

    Attributes:
        command: A command of risk ``disruptive``.
        effect: What it does to clients, shown before it is sent.
    """

    command: Name
    effect: str = Field(min_length=1)


class ProbeSpec(Section):
    """The service probe of this platform (DESIGN section 6).

    Attributes:
        via: ``direct-tcpip`` sends it through the device's own SSH server.
        size_means: What "size" counts on this platform.
        header_bytes: Bytes of headers around the ClientHello in one segment.
        split_hello_bytes: Length of a ClientHello that needs several segments (as post-quantum key
            shares do), sent after a full packet was answered; 0 sends none.
        leaves: What it leaves behind and for how long.
        ping: A sized ping with DF clear, for where forwarding is off.
        ping_sets_df: What ``ping`` does with DF. Where that is not known, an answered large ping
            proves nothing, and a lost one shows the path's ceiling only.
        ping_df: A sized ping with DF set; leaves a path-MTU entry. Both take ``address``, ``count``
            and the size: ``payload`` of ICMP, or ``packet``, if the platform counts that.
        ping_before: Where options are set apart: the lines before a ping with DF, and
        ping_after: those that take the options back, whatever happened.
        route_get: Shows the route and a cached path MTU.
        sockets: Passive; shows the probe's own TCP socket (send MSS, timestamps, retransmissions),
            so that a size is known and not assumed. Takes no values.
        shell: Where forwarding is off: commands that send the hello as one write and print the
            first bytes of the answer in hex, in order of preference; what they print of ``ss -tin``
            about that socket is used. They take ``host``, ``port``,
            ``hello`` (list of words: bytes as ``x`` and three octal digits), ``zeros`` (how many
            zero bytes follow) and ``wait_s``; exit code 127 means that the program is missing.
    """

    via: Literal["direct-tcpip", "none"]
    size_means: str = Field(min_length=1)
    header_bytes: int = Field(default=52, ge=40, le=120)
    split_hello_bytes: int = Field(default=0, ge=0, le=4096)
    leaves: tuple[str, ...] = ()
    ping: Name | None = None
    ping_sets_df: Literal["never", "unknown"] = "never"
    ping_df: Name | None = None
    ping_before: tuple[Name, ...] = ()
    ping_after: tuple[Name, ...] = ()
    route_get: Name | None = None
    sockets: Name | None = None
    shell: tuple[Name, ...] = ()


class CaptureSpec(Section):
    """A capture that comes to us and never touches the device's storage.

    Three ways: a program that writes a capture file to its standard output (``reads: pcap``); a
    sniffer that prints until it is interrupted; or, with ``show``, a capture in the device's
    memory: ``begin`` and ``command`` start it, ``stop`` ends it, ``show`` prints it.
    All commands may take ``interface``, ``ports`` (list) or ``port`` (then they are sent once for
    each), ``packets``, ``snap_bytes``, ``seconds`` and ``name`` (of what is made on the device).

    Attributes:
        command: The sniffer, or what starts the capture.
        reads: ``pcap``, or the reader of what is printed (:mod:`mtughost.dialects.sniffers`).
        begin: Lines before ``command``.
        stop: Lines that end a capture in memory, before it is shown.
        show: The lines that print it, by the role that the reader gives them.
        end: Lines that remove everything again; sent whatever happened.
        max_seconds: Longest capture.
        max_packets: Most packets.
        snap_bytes: Bytes kept of each packet: headers and the beginning of a TLS record.
        misses: Which packets it does not show although they pass; ``""`` where it shows all.
            What is missing in such a capture proves nothing.
        misses_above_pps: It misses them only above so many packets in one second, or past
            ``max_packets``; 0 where nothing in the capture shows whether it is whole.
        misses_later: Of each direction of a connection it shows every packet up to some moment
            and none behind it, so that a gap before packets that it shows is real.
        leaving: Whether packets that leave by an interface are shown as they were sent, behind the
            platform's own clamps. Where that is not known, their MSS is not.
    """

    command: Name
    reads: Name = "pcap"
    begin: tuple[Name, ...] = ()
    stop: tuple[Name, ...] = ()
    show: Mapping[Name, Name] = Field(default_factory=dict)
    end: tuple[Name, ...] = ()
    max_seconds: int = Field(ge=1, le=600)
    max_packets: int = Field(ge=1, le=100_000)
    snap_bytes: int = Field(ge=64, le=65535)
    misses: str = ""
    misses_above_pps: int = Field(default=0, ge=0)
    misses_later: bool = False
    leaving: Literal["as-sent", "unknown"] = "as-sent"
    leaves: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _in_memory_or_not(self) -> Self:
        if not self.show and (self.begin or self.stop or self.end):
            raise ValueError("begin, stop and end belong to a capture that show prints")
        if self.reads == "pcap" and self.show:
            raise ValueError("a capture file is streamed, not shown")
        return self

    @property
    def command_ids(self) -> tuple[str, ...]:
        """Every command that it sends."""
        return (*self.begin, self.command, *self.stop, *self.show.values(), *self.end)


class ClampSemantics(Section):
    """What the platform's clamps really do.

    Attributes:
        since: First version that this holds for, ``""`` for all.
        until: First version that it no longer holds for, ``""`` for none.
        kind: Which clamp, in the platform's words.
        rewrites: Which handshake packets one rule without interface match rewrites.
        families: Address families that it covers.
        field: Whether the configured number is an MSS or an MTU.
        can_raise: Whether it writes its value even over a smaller MSS.
        derived_from: For clamps without a number: what the value is taken from.
        source: Who says so.
    """

    kind: str = Field(min_length=1)
    since: str = ""
    until: str = ""
    rewrites: tuple[Literal["syn", "syn-ack"], ...]
    families: tuple[Literal["ipv4", "ipv6"], ...]
    field: Literal["mss", "mtu", "derived"]
    can_raise: bool
    derived_from: str = ""
    basis: CommandBasis
    source: str = Field(min_length=1)


class SecondLoginSpec(Section):
    """A login on the device's own terminal; regular expressions of whole prompts.

    Attributes:
        user: Prompt for the user name.
        password: Prompt for the password, which is typed nowhere else.
        refused: What it says to a wrong one.
    """

    user: str = Field(min_length=1)
    password: str = Field(min_length=1)
    refused: str = Field(min_length=1)


class DefaultLogin(Section):
    """An account that the vendor ships; it is never tried, only recognised where it is used.

    Attributes:
        source: The vendor's document that names it.
    """

    username: str = Field(min_length=1)
    password: str = Field(min_length=1)
    source: str = Field(min_length=1)


class EnableSpec(Section):
    """The way from a login to the privileged mode; regular expressions of whole prompts.

    Attributes:
        line: What is typed where ``data.enable_ref`` names the password; nothing is without.
        below: Prompt of a login that is not there yet.
        above: Prompt of one that is.
        password: Prompt for the password, which is typed nowhere else.
    """

    line: str = Field(min_length=1)
    below: str = Field(min_length=1)
    above: str = Field(min_length=1)
    password: str = Field(min_length=1)


class Book(Section):
    """One platform's task book.

    Attributes:
        driver: ``exec`` for shells with plain exec channels, else a netmiko device type.
        pipeline: Whether several commands may be sent at once.
        pipeline_source: What proves it.
        driver_writes: What the driver itself writes on connect, and how that is avoided.
        preparation: Lines sent after login, before everything else.
        prompt_patterns: Regular expressions of the prompt (not for ``exec``).
        paging_off: Line that switches the pager off, or ``""``.
        pager_key: Key that turns the pager's page, where it cannot be switched off without writing
            configuration; ``""`` where a page is an error.
        return_key: What ends a typed line.
        repaints: The terminal draws prompt and line anew with carriage returns and ANSI codes.
        login_suffix: Terminal parameters that this platform takes behind the user name. They hold
            for the login only and are no part of the account's name.
        shell: How a shell gets its script: as the ``login`` shell's command, or ``sh-on-stdin``,
            where the login shell is none of POSIX's (csh, a menu).
        error_patterns: Regular expressions that mean "refused".
        modes: Prompts of the modes that a change moves between; audits and plans never leave
            ``exec``.
        state: How the configuration is read before and after a change (command lines).
        fixes: Algorithm of :mod:`mtughost.dialects.fixes` that lists the changes which might help.
        second_login: How the device asks for the account on its own terminal, where SSH lets
            everybody in.
        default_logins: Accounts that the vendor ships. Using one is reported.
        enable: How a login reaches the privileged mode, where it may begin below it.
        interrupt_key: Key that ends a command that goes on until it is interrupted.
        no_capture: Why there is no ``capture:``, and what to do instead.
        instead: For platforms without an SSH command line (driver ``none``): how to read such a
            device otherwise. Nothing is ever sent to it.
    """

    platform: Name
    title: str = Field(min_length=1)
    driver: Name
    pipeline: Literal["proven", "unproven"]
    pipeline_source: str = Field(min_length=1)
    driver_writes: str = ""
    preparation: tuple[Line, ...] = ()
    prompt_patterns: tuple[str, ...] = ()
    paging_off: str = ""
    pager_key: Literal["", " "] = ""
    return_key: Literal["\n", "\r\n"] = "\n"
    repaints: bool = False
    shell: Literal["login", "sh-on-stdin"] = "login"
    login_suffix: Annotated[str, Field(pattern=r"\A(\+[a-z0-9]{1,31})?\z")] = ""
    error_patterns: tuple[str, ...] = ()
    modes: Mapping[Name, ModeSpec] = Field(default_factory=dict)
    state: StateSpec | None = None
    fixes: Name | None = None
    second_login: SecondLoginSpec | None = None
    default_logins: tuple[DefaultLogin, ...] = ()
    enable: EnableSpec | None = None
    interrupt_key: Literal["", "ctrl-c"] = ""
    no_capture: str = ""
    instead: str = ""
    commands: Mapping[Name, CommandSpec] = Field(default_factory=dict)
    read: Mapping[Kind, tuple[ReadSpec, ...]] = Field(default_factory=dict)
    cloud_push: CloudPushSpec | None = Field(default=None, alias="cloud-push")
    probe: ProbeSpec | None = None
    capture: CaptureSpec | None = None
    change: Mapping[Name, ChangeSpec] = Field(default_factory=dict)
    guard: Mapping[Name, GuardSpec] = Field(default_factory=dict)
    clamp_semantics: tuple[ClampSemantics, ...] = ()

    @model_validator(mode="after")
    def _commands_or_instead(self) -> Self:
        if self.has_command_line == bool(self.instead):
            raise ValueError("'instead' belongs to the driver 'none', and to no other")
        if self.has_command_line and not self.commands:
            raise ValueError("commands belong to every driver but 'none'")
        if not self.has_command_line and (self.commands or self.read):
            raise ValueError("with the driver 'none' nothing can be asked or read")
        return self

    @model_validator(mode="after")
    def _capture_or_reason(self) -> Self:
        if self.capture is None:
            return self
        if self.no_capture:
            raise ValueError("'no_capture' says why there is no 'capture'")
        is_streamed = not self.capture.show
        if (self.capture.reads == "pcap") != (self.driver == "exec"):
            raise ValueError(
                "a capture file comes from shells (driver exec) only, text from others"
            )
        if is_streamed and self.driver != "exec" and not self.interrupt_key:
            raise ValueError("a sniffer needs the 'interrupt_key' that ends it")
        return self

    @property
    def has_command_line(self) -> bool:
        """Whether such a device can be logged in to at all."""
        return self.driver != "none"
