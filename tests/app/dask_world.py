"""A real Dask scheduler and real workers with mutual TLS, in front of virtual stores over SSH."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mtughost.app.fleets import virtual_fleet
from mtughost.app.labs import own_command
from mtughost.lab.fleet import FleetSpec, Manners

NORTH = "north"
#: For what takes seconds on a quiet machine.
PATIENCE_S = 300
#: What the tool types first into a device of this make.
FIRST_LINE = "terminal length 0"
REFERENCES = {"": "STORE_PASSWORD", NORTH: "NORTH_PASSWORD"}


class Authority:
    """Signs certificates; whoever has one belongs to the cluster."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"authority {folder.name}")
        certificate = self._signed(self._name, self._key, ca=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(self, subject, key, *, ca=False):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, who: str) -> dict[str, Path]:
        """Return the files of a member, by the keys of ``[scheduler]`` in mtughost.toml."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(_name(who), key)
        files = {"cert": self._folder / f"{who}.pem", "key": self._folder / f"{who}.key"}
        files["cert"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files["key"].touch(mode=0o600)
        files["key"].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return {"ca": self.file, **files}


def at_once(sessions: dict[str, list[tuple[float, float]]]) -> int:
    """Return how many logins there were at the same time at most."""
    all_of_them = [session for each in sessions.values() for session in each]
    return max(sum(begin <= start <= end for begin, end in all_of_them) for start, _ in all_of_them)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class World:
    """The cluster, the stores and the project of whoever audits them."""

    def __init__(self, folder: Path, fleet, secrets: dict[str, str]) -> None:
        self.folder = folder
        self.fleet = fleet
        self.secrets = secrets
        self.project = fleet.project
        self.authority = Authority(folder / "ours")
        self.scheduler_file = folder / "scheduler.json"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.certificates(self.authority.issue("operator"))

    def certificates(self, files: dict[str, Path]) -> None:
        """Write which certificates the operator shows."""
        settings = self.project / "mtughost.toml"
        text = settings.read_text(encoding="utf-8").partition("\n[scheduler]")[0]
        lines = [f'{key} = "{path}"' for key, path in files.items()]
        settings.write_text("\n".join([text, "[scheduler]", *lines, ""]), encoding="utf-8")

    def start_scheduler(self) -> None:
        """Start it and wait until it listens."""
        self.scheduler_file.unlink(missing_ok=True)
        options = ["--host", "127.0.0.1", "--port", "0", "--protocol", "tls"]
        self._dask("scheduler", *options, "--scheduler-file", str(self.scheduler_file))
        until = time.monotonic() + PATIENCE_S
        while not self.scheduler_file.exists():
            assert time.monotonic() < until, self.log("scheduler")
            time.sleep(0.05)

    @property
    def address(self) -> str:
        """What --scheduler takes."""
        return str(json.loads(self.scheduler_file.read_text(encoding="utf-8"))["address"])

    def start_worker(self, name: str, region: str = "") -> None:
        """Start one worker process; it alone knows its region's secret."""
        options = ["--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--name", name]
        resources = ["--resources", f"region-{region}=1"] if region else []
        self._dask(
            "worker",
            self.address,
            *(*options, *resources),
            *("--local-directory", str(self.folder), "--death-timeout", "60"),
            env={REFERENCES[region]: self.secrets[region]},
            name=name,
        )

    def _dask(self, what: str, *options: str, env=None, name: str = "") -> None:
        issued = self.authority.issue(name or what)
        tls = [f"--tls-{'ca-file' if key == 'ca' else key}={path}" for key, path in issued.items()]
        argv = [sys.executable, "-P", "-m", "dask", what, *options, *tls, "--no-dashboard"]
        with (self.folder / f"{name or what}.log").open("wb") as log:
            self.processes[name or what] = subprocess.Popen(
                argv,
                env={**self.environment, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def environment(self) -> dict[str, str]:
        """What every process here gets: no secret."""
        kept = {k: v for k, v in os.environ.items() if k not in REFERENCES.values()}
        kept.pop("MTUGHOST_PROJECT", None)
        return {**kept, "NO_COLOR": "1", "XDG_STATE_HOME": str(self.folder)}

    def log(self, name: str) -> str:
        """Return what a process printed."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def kill(self, name: str) -> None:
        """End a process of ours, by its own id, without warning."""
        os.kill(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait(20)

    def remembers(self, name: str, secret: str) -> bool:
        """Search a running process's whole memory, again where a part went away meanwhile."""
        for _ in range(20):
            with suppress(OSError):
                return self._remembers(self.processes[name].pid, secret)
        raise AssertionError(f"the memory of {name} does not hold still")

    @staticmethod
    def _remembers(pid: int, secret: str) -> bool:
        ranges = re.findall(
            r"^([0-9a-f]+)-([0-9a-f]+) rw", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE
        )
        needle = secret.encode()
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for start, end in ((int(a, 16), int(b, 16)) for a, b in ranges):
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
        return False

    @contextmanager
    def auditing(self, *words: str, with_secrets: bool = False) -> Iterator[subprocess.Popen[str]]:
        """Type an audit and go on while it runs."""
        secrets = {REFERENCES[region]: secret for region, secret in self.secrets.items()}
        argv = [*own_command(), "--project", str(self.project), "audit", *words]
        with subprocess.Popen(
            argv,
            env={**self.environment, **(secrets if with_secrets else {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def audit(self, *words: str, with_secrets: bool = False) -> subprocess.CompletedProcess[str]:
        """Type an audit and wait for its end."""
        with self.auditing(*words, with_secrets=with_secrets) as process:
            out, err = process.communicate(timeout=PATIENCE_S)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def sessions(self) -> dict[str, list[tuple[float, float]]]:
        """Return when each device's logins began and ended, by what was typed into the device."""
        heard = {
            site.gateway.identity.name: [(line.at_s, line.line) for line in site.gateway.heard]
            for site in self.fleet.sites
        }
        found: dict[str, list[tuple[float, float]]] = {}
        for name, lines in heard.items():
            found[name] = []
            for at_s, line in lines:
                if line == FIRST_LINE:
                    found[name].append((at_s, at_s))
                elif found[name]:
                    found[name][-1] = (found[name][-1][0], at_s)
        return found

    @contextmanager
    def mute(self, *names: str) -> Iterator[None]:
        """Put something that takes connections and says nothing in the place of devices."""
        hosts_file = self.project / "inventory" / "hosts.yaml"
        text = hosts_file.read_text(encoding="utf-8")
        hosts = yaml.safe_load(text)
        with ExitStack() as silence:
            for name in names:
                server = silence.enter_context(socket.create_server(("127.0.0.1", 0)))
                hosts[name] |= {"hostname": "127.0.0.1", "port": server.getsockname()[1]}
            hosts_file.write_text(yaml.safe_dump(hosts, sort_keys=False), encoding="utf-8")
            try:
                yield
            finally:
                hosts_file.write_text(text, encoding="utf-8")

    def forget(self) -> None:
        """Let the devices forget what they heard."""
        for site in self.fleet.sites:
            site.gateway.heard.clear()

    def reported(self) -> dict[str, str]:
        """Return what the run store holds of the newest run, by device."""
        store = sqlite3.connect(f"file:{self.project / 'state' / 'runs.sqlite'}?mode=ro", uri=True)
        with closing(store):
            rows = store.execute(
                "SELECT host, status FROM hosts WHERE run_id = (SELECT max(id) FROM runs)"
            )
            return dict(rows.fetchall())

    def wait_for_the_middle(self, reported: int, audit: subprocess.Popen[str]) -> dict[str, str]:
        """Wait until so many devices of the run were reported; return them."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            assert audit.poll() is None, audit.communicate()
            if (self.project / "state" / "runs.sqlite").exists() and self.busy:
                found = self.reported()
                if len(found) >= reported:
                    return found
            time.sleep(0.02)
        raise AssertionError(self.log("scheduler"))

    @property
    def busy(self) -> bool:
        """Whether any device heard anything since :meth:`forget`."""
        return any(site.gateway.heard for site in self.fleet.sites)

    def stop(self) -> None:
        """End everything that was started here."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait(20)


@contextmanager
def a_world(
    folder: Path, *, sites: int, north: int, think_s: float, overall: int
) -> Iterator[World]:
    """Start stores with one gateway each; the first ``north`` of them are another region's."""
    spec = FleetSpec(
        sites=sites,
        vendors=("cisco_xe",),
        with_aps=False,
        manners=Manners(think_s=think_s),
    )
    with virtual_fleet(spec, name=folder.name) as fleet:
        secret = (fleet.project / "ssh" / "password").read_text(encoding="utf-8").strip()
        hosts_file = fleet.project / "inventory" / "hosts.yaml"
        hosts = yaml.safe_load(hosts_file.read_text(encoding="utf-8"))
        for number, entry in enumerate(hosts.values()):
            region = NORTH if number < north else ""
            entry["data"] |= {"region": region} if region else {}
            entry["password"] = f"env:{REFERENCES[region]}"
        hosts_file.write_text(yaml.safe_dump(hosts, sort_keys=False), encoding="utf-8")
        defaults = fleet.project / "inventory" / "defaults.yaml"
        defaults.write_text("---\nusername: audit\n", encoding="utf-8")
        for name in ("operator", "password"):
            (fleet.project / "ssh" / name).unlink()  # the operator here could not log in
        settings = fleet.project / "mtughost.toml"
        text = settings.read_text(encoding="utf-8")
        settings.write_text(
            re.sub(r"^(overall|per_realm) = .*", rf"\1 = {overall}", text, flags=re.MULTILINE)
        )
        world = World(folder, fleet, {"": secret, NORTH: secret})
        try:
            yield world
        finally:
            world.stop()
