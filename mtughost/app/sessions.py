"""Open logins for the other workflows: book, profile, host keys and secrets put together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from mtughost.app.person import ask_at_terminal
from mtughost.app.project import Project
from mtughost.content.book import Book
from mtughost.content.load import load_book
from mtughost.content.parsers import load_parser
from mtughost.model.errors import NoCommandLineError
from mtughost.model.inventory import Device
from mtughost.model.session import Clock, Session
from mtughost.wire.connector import Connector
from mtughost.wire.known_hosts import HostKeyInfo, KnownHosts
from mtughost.wire.profile import DriverProfile, Enable, Mode, SecondLogin, WirePolicy
from mtughost.wire.secrets import Asker, SecretResolver

_KEYS = {"": "", "ctrl-c": "\x03"}


def profile_of(book: Book, *, may_change: bool = False) -> DriverProfile:
    """Turn a task book's driver section into what the wire needs.

    Args:
        book: The platform's book.
        may_change: Whether lines of a change may be sent. Only ``apply`` and ``resume`` log in
            so; on a command line every other login refuses them and knows no mode but its own.
    """
    if book.driver == "exec":
        return DriverProfile(
            kind="exec",
            prep_lines=book.preparation,
            pipeline_proven=book.pipeline == "proven",
            script_on_stdin=book.shell == "sh-on-stdin",
        )
    prompts = "|".join(f"(?:{pattern})" for pattern in book.prompt_patterns)
    profile = DriverProfile(
        kind="cli",
        netmiko_type=book.driver,
        prep_lines=book.preparation,
        paging_off=book.paging_off,
        pager_key=book.pager_key,
        return_key=book.return_key,
        ansi=book.repaints,
        login_suffix=book.login_suffix,
        second_login=SecondLogin(**dict(book.second_login)) if book.second_login else None,
        enable=Enable(**dict(book.enable)) if book.enable else None,
        error_patterns=book.error_patterns,
        pipeline_proven=book.pipeline == "proven",
        interrupt_key=_KEYS[book.interrupt_key],
        above=book.modes["exec"].above if "exec" in book.modes else "",
        modes=tuple(
            Mode(name=name, prompt=mode.prompt, above=mode.above, asks=mode.asks)
            for name, mode in (book.modes.items() if may_change else ())
        ),
    )
    return replace(profile, prompt=prompts) if prompts else profile


def refuse_without_command_line(device: Device, book: Book) -> None:
    """Refuse to dial what has no SSH command line, and say what to do instead.

    Raises:
        NoCommandLineError: the task book says that there is none.
    """
    if not book.has_command_line:
        raise NoCommandLineError(
            device.name, f"{book.title} has no SSH command line", todo=book.instead
        )


class _Turns:
    """Lets so many logins be open at once."""

    def __init__(self, at_once: int) -> None:
        self._free = threading.BoundedSemaphore(at_once)

    def __call__(self) -> Callable[[], None]:
        """Wait for a turn; return what gives it back, once, however often it is called."""
        self._free.acquire()
        held = [self._free]
        return lambda: held.pop().release() if held else None


class SessionFactory:
    """Opens one login per call. Close it to end the shared jump logins."""

    def __init__(
        self,
        project: Project,
        devices: Mapping[str, Device],
        *,
        clock: Clock,
        warn: Callable[[str], None] | None = None,
        ask: Asker | None = ask_at_terminal,
        is_for_change: bool = False,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            project: Where host keys and content are.
            devices: All devices of the inventory, jump hosts included, by name.
            clock: Time.
            warn: Is told about things that a person should change.
            ask: Has a person give a jump host's one-time code; ``None`` where nobody can be there.
            is_for_change: Whether nothing may reach a device any more once its login has ended.
        """
        self.project = project
        self.devices = devices
        self.clock = clock
        limit_s = project.settings.policy.connect_timeout_s
        self._books: dict[str, Book] = {}
        jumps = {device.jump for device in devices.values() if device.jump}
        self._turns = {jump: _Turns(project.settings.policy.per_jump) for jump in jumps}
        self._known_hosts = KnownHosts(project.known_hosts)
        self._secrets = SecretResolver(env=os.environ, warn=warn, ask=ask)
        self._connector = Connector(
            devices=devices,
            known_hosts=self._known_hosts,
            secrets=self._secrets,
            clock=clock,
            policy=WirePolicy(
                connect_timeout_s=limit_s,
                banner_timeout_s=limit_s,
                kex_timeout_s=limit_s,
                is_for_change=is_for_change,
            ),
        )

    def book(self, device: Device) -> Book:
        """Return the device's task book; one version of it for as long as this lives."""
        return self._book(device.platform)

    def _book(self, platform: str) -> Book:
        found = self._books.get(platform)
        if found is None:
            found = self._books[platform] = load_book(self.project.content, platform)
        return found

    def prepare(self, platform: str) -> None:
        """Load what visits to a platform need, parsers and its kind of session included.

        Raises:
            ContentError: the book or a parser is wrong.
        """
        book = self._book(platform)
        for entries in book.read.values():
            for entry in entries:
                if entry.parser is not None:
                    load_parser(self.project.content, platform, entry.parser)
        if book.has_command_line:
            self._connector.prepare(profile_of(book))

    def open(self, device: Device) -> Session:
        """Log in.

        Raises:
            DeviceError: the login failed; the subclass says how.
        """
        book = self.book(device)
        refuse_without_command_line(device, book)
        return self._connector.open(device, profile_of(book))

    def open_in_turn(self, device: Device, *, may_change: bool = False) -> Session:
        """Log in as soon as the device's jump host carries fewer logins than it may.

        For workflows that open one login after the other in several threads; an audit's runner
        counts for itself.

        Raises:
            DeviceError: the login failed; the subclass says how.
        """
        book = self.book(device)
        refuse_without_command_line(device, book)
        give_back = self._turns[device.jump]() if device.jump else None
        try:
            profile = profile_of(book, may_change=may_change)
            return self._connector.open(device, profile, release=give_back)
        except BaseException:
            if give_back is not None:
                give_back()
            raise

    def open_to_change(self, device_name: str) -> Session:
        """Log in to a device by its inventory name, for a change that was approved."""
        return self.open_in_turn(self.devices[device_name], may_change=True)

    def uses_default_login(self, device: Device) -> bool:
        """Say whether the inventory logs in with the account that the device's vendor ships."""
        credential = device.credential
        if credential.key_file or credential.use_agent:
            return False
        shipped = [
            login.password
            for login in self.book(device).default_logins
            if login.username == credential.username
        ]
        password = self._secrets.password(credential) if shipped else None
        return password is not None and password.reveal() in shipped

    def host_keys(self, name: str) -> tuple[HostKeyInfo, ...]:
        """Return the host keys that are accepted for a device."""
        return self._known_hosts.keys_for(name)

    def fingerprints(self, name: str) -> tuple[str, ...]:
        """Return the fingerprints that are accepted for a device."""
        return tuple(key.fingerprint for key in self.host_keys(name))

    def scan_host_key(self, device: Device) -> HostKeyInfo:
        """Return the key that answers for a device, without logging in to it.

        Raises:
            DeviceError: no key could be had.
        """
        refuse_without_command_line(device, self.book(device))
        return self._connector.scan_host_key(device)

    def close(self) -> None:
        """End what is shared between logins."""
        self._connector.close()
