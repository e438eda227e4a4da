"""A virtual Extreme access point with IQ Engine: one mode, log newest first, elected proxy.

After recorded sessions of IQ Engine 10.8: CAPWAP runs over UDP and stays connected whatever the
path does to full-size segments; RADsec is held by the elected proxy, whose daemon is radsecproxy by
its paths (its words here are that project's); uploads over HTTPS fail with curl's exit code.
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mtughost.lab.fleet.device import Account, Cli
from mtughost.lab.fleet.hiveos_cli import HiveCli
from mtughost.lab.fleet.point import Point

#: Local time at which every virtual access point was switched on; its zone is GMT-5:00.
POWERED_ON = dt.datetime(2026, 11, 21, 7, 0, 0)  # noqa: DTZ001 - local, as the device shows it
_RETRY_S, _STALL_S, _HISTORY_S = 60, 5, 1800
_CAPWAP_SERVER = "198.51.100.20"


@dataclass(frozen=True, slots=True, kw_only=True)
class HiveConfig:
    """What can be configured.

    Attributes:
        page_lines: Lines of a page, for all logins; 0 switches the pager off.
        tls_ports: Ports that the RADsec proxy uses, the first one first.
        proxy: Address of the elected proxy, ``""`` where nobody was elected.
        uses_idm: Whether an SSID asks the cloud for its keys.
        has_certificate: Whether the RADsec certificate is there.
    """

    hostname: str
    mtu_bytes: int = 1500
    page_lines: int = 22
    tls_ports: tuple[int, ...] = (2083,)
    proxy: str = ""
    uses_idm: bool = True
    has_certificate: bool = True
    transport: str = "UDP"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log."""

    at: dt.datetime
    level: str
    words: str


class HiveAp(Point):
    """One access point. ``reaches`` says whether full-size packets get through, now."""

    platform = "extreme_hiveos"

    def furnish(self) -> None:
        """Set the state that it leaves the factory with, adopted by its cloud."""
        self.running = HiveConfig(hostname=self.identity.hostname, proxy=self.address)
        self.saved = self.running
        self.typed: list[Entry] = []

    @property
    def now(self) -> dt.datetime:
        """Its clock, local time."""
        return POWERED_ON + dt.timedelta(seconds=int(self.clock.now_s()))

    @property
    def is_proxy(self) -> bool:
        """Whether it was elected to hold the connection to the cloud's RADIUS."""
        return self.running.uses_idm and self.running.proxy == self.address

    @property
    def mac(self) -> str:
        """Its hardware address in the vendor's spelling."""
        tail = f"{zlib.crc32(self.identity.serial.encode()):08x}"
        return f"0200:{tail[:4]}:{tail[4:]}"

    def works(self) -> bool:
        """Whether its full-size packets arrive: the path takes them, or it sends smaller ones."""
        return self.reaches() or self.running.mtu_bytes <= self.plan.path_mtu_bytes

    def command_line(self, account: Account) -> Cli:
        """Return its command line."""
        if account.username != "factory":
            self.typed.append(
                Entry(
                    self.now,
                    "info",
                    f'ah_cli: security: Admin "<{account.username}>" successfully logged in',
                )
            )
        return HiveCli(self, account)

    def load_saved(self) -> None:
        """Boot."""
        self.running = self.saved

    def state(self) -> object:
        """Return running and saved configuration; the log of what was typed is no part of it."""
        return {"running": self.running, "saved": self.saved}

    def set(self, **changes: object) -> None:
        """Change the running configuration."""
        self.running = replace(self.running, **changes)  # type: ignore[arg-type]

    def note(self, username: str, line: str) -> None:
        """Write a typed line into the log, as the device does."""
        self.typed.append(Entry(self.now, "info", f"ah_cli: security: {username}:<{line} >"))

    # -- what it writes into its log -------------------------------------------------------------
    def log(self) -> list[Entry]:
        """Return the buffered log, the newest line first."""
        entries = [*self._boot(), *self._radsec(), *self.typed]
        # What was written later in the same second stands above what was written earlier.
        order = sorted(enumerate(entries), key=lambda pair: (pair[1].at, pair[0]))
        return [entry for _, entry in reversed(order)]

    def kept_log(self) -> list[Entry]:
        """Return what was kept over reboots: errors and notices."""
        began = POWERED_ON - dt.timedelta(days=7)
        kept = [Entry(began, "notice", "ah_top: system: System is initialized")]
        if not self.works():
            at = self.now - dt.timedelta(seconds=600)
            url = '"https://cws.cloud.example.net:443/afs-webapp/l7report/1007/"'
            kept += [
                Entry(
                    at,
                    "err",
                    'system:  curl -F "filename=@/tmp/l7_report/1.lpr" -m 900 -k -f --basic -u '
                    f'VHM-STORE:****** {url}  "VHM-STORE" failed to http to server,rc=7168(28)',
                ),
                Entry(at, "err", "l7d: application: ah_trans_upload_by_curl error rc = 7168"),
            ]
        return kept[::-1]

    def _boot(self) -> Iterator[Entry]:
        began = self.now - dt.timedelta(hours=5)
        yield Entry(began, "info", "capwap: application: CAPWAP:Ready to do DTLS  connection")
        yield Entry(
            began, "info", "capwap: application: CAPWAP:Handshake with SSL server successfully!"
        )
        yield Entry(
            began, "info", f"capwap: application: CAPWAP_HM: Connected with HM {_CAPWAP_SERVER}"
        )
        yield Entry(began, "notice", "root: Connect [0.aerohive.pool.ntp.org] successful")
        yield Entry(began, "err", "telegraf_execd: misc: dcd lib not initialized")

    def _radsec(self) -> Iterator[Entry]:
        if not self.running.uses_idm:
            yield Entry(self.now, "info", "ah_scd: aaa: radsec is disabled, not start.")
            return
        if not self.is_proxy:
            yield Entry(
                self.now - dt.timedelta(minutes=5),
                "info",
                "ah_scd: aaa: response to HM successfully, "
                "self isn't a elected Radsec proxy server.",
            )
            return
        if not self.running.has_certificate:
            yield Entry(
                self.now - dt.timedelta(minutes=5),
                "err",
                "ah_scd: aaa: Missing certificate, RadSec proxy can not work.",
            )
            return
        for back_s in range(_HISTORY_S, 0, -_RETRY_S):
            yield from self._attempt(self.now - dt.timedelta(seconds=back_s))

    def _attempt(self, at: dt.datetime) -> Iterator[Entry]:
        host, port = self.plan.server[0], self.running.tls_ports[0]
        peer = f"cloud ({host} port {port})"
        head = "radsecproxy: aaa: "
        yield Entry(
            at, "notice", f"{head}tlsconnect: trying to open TLS connection to server {peer}"
        )
        yield Entry(
            at, "debug", f"{head}connecttcphostlist: TCP connection to {host} port {port} up"
        )
        if self.works():
            up = f"{peer}, subject CN=radsec.example.net with cipher TLS_AES_256_GCM_SHA384 up"
            yield Entry(at, "warning", f"{head}tlsconnect: TLS connection to {up}")
            return
        later = at + dt.timedelta(seconds=_STALL_S)
        yield Entry(later, "err", f"{head}tlsconnect: SSL connect to {peer} failed")

    def log_line(self) -> str:
        """Return one line of the device's log, as ``debug console`` shows it."""
        return f"{self.now:%Y-%m-%d %H:%M:%S} info    ah_dcd: misc: event {self.rng.randrange(99)}"
