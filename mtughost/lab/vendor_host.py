"""Serves the command lines of a lab's vendor gateways: ``python -m mtughost.lab.vendor_host``.

One process for all of them, started by the lab's holder and inside its namespaces. Each gateway's
SSH server listens in that gateway's network namespace; whatever is configured there is done to the
namespace before the next prompt appears. :func:`ask` speaks with it over a socket in the lab.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtughost.lab import boot, nsops
from mtughost.lab.bound import BOOT_S, vendors
from mtughost.lab.plan import Bound, bound_from, bound_to_json
from mtughost.model.errors import LabError

if TYPE_CHECKING:
    from mtughost.lab.fleet.clock import FleetClock, Timer
    from mtughost.lab.fleet.device import VirtualDevice
    from mtughost.lab.fleet.kernel import Effects
    from mtughost.lab.fleet.plans import GatewayPlan
    from mtughost.lab.fleet.tapping import Tapped

_LOG, _SOCKET = boot.LAB_DIR / "vendors.log", boot.LAB_DIR / "vendors.sock"
_TIMEOUT_S = 30.0
_READY = "ready"


# -- the holder's side -------------------------------------------------------------------------
def start(bound: tuple[Bound, ...], progress: Callable[[str], None]) -> None:
    """Start the process, if there is any gateway for it, and wait until all of them listen.

    Raises:
        LabError: it did not start; quotes its log.
    """
    if not bound:
        return
    with _LOG.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mtughost.lab.vendor_host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdin is not None  # noqa: S101 - asked for
    assert process.stdout is not None  # noqa: S101 - asked for
    process.stdin.write(bound_to_json(bound))
    process.stdin.close()
    if process.stdout.readline().strip() != _READY:
        words = _LOG.read_text(errors="replace").strip().splitlines()
        raise LabError(f"the vendors' command lines did not start: {' '.join(words[-3:])}")
    process.stdout.close()
    progress(f"{len(bound)} vendors' command lines are up")


def rebooted(name: str) -> bool:
    """Reboot a vendor's gateway and wait for it; say ``False`` where there is none of this name.

    Raises:
        LabError: it does not come up again.
    """
    if not _SOCKET.exists() or not ask({"do": "is-bound", "name": name}):
        return False
    ask({"do": "reboot", "name": name})
    deadline = time.monotonic() + _TIMEOUT_S
    while not ask({"do": "is-up", "name": name}):
        if time.monotonic() > deadline:
            raise LabError(f"{name} did not come up again")
        time.sleep(0.05)
    return True


def ask(question: dict[str, Any]) -> Any:
    """Ask the process from inside the lab."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(_TIMEOUT_S)
        line.connect(str(_SOCKET))
        line.sendall(json.dumps(question).encode() + b"\n")
        with line.makefile() as answer:
            return json.loads(answer.readline())


# -- the process -------------------------------------------------------------------------------
class _Clock:
    """The fleet's clock; what happens by itself may change what a gateway does, too."""

    def __init__(self, clock: FleetClock) -> None:
        self._clock = clock
        self.after: Callable[[], None] = lambda: None

    def now_s(self) -> float:
        return self._clock.now_s()

    def call_later(self, seconds: float, action: Callable[[], None]) -> Timer:
        def act() -> None:
            action()
            self.after()

        return self._clock.call_later(seconds, act)


@dataclass(slots=True)
class _Kernel:
    """One gateway's network namespace, and what was last done to it.

    Attributes:
        problems: What could not be done, in the kernel's words: the lab is then not the vendor's.
    """

    bound: Bound
    device: VirtualDevice
    done: Effects | None = None
    problems: list[str] = field(default_factory=list)

    def obey(self) -> None:
        """Let the kernel do what the gateway is configured to do."""
        from mtughost.lab.fleet import kernel  # noqa: PLC0415 - an optional package

        names = vendors()[self.bound.platform].names
        effects = kernel.effects_of(self.device, names, self.bound.ports)
        if effects == self.done:
            return
        for argv, text in (
            (["ip", "-batch", "-"], "\n".join(kernel.link_lines(effects)) + "\n"),
            (["nft", "-f", "-"], kernel.ruleset(effects)),
        ):
            done = self.run(*argv, text=text)
            if done.returncode != 0:
                self.problems.append(f"{self.bound.name}: {' '.join(done.stderr.split())}")
                sys.stderr.write(self.problems[-1] + "\n")
        self.done = effects

    def run(self, *argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in the gateway's network namespace."""
        enter = ["nsenter", f"--net={boot.NETNS_DIR / self.bound.name}"]
        return subprocess.run(
            [*enter, *argv], input=text, capture_output=True, text=True, check=False
        )

    def echoes(self, address: str, packet_bytes: int) -> bool:
        """Send one echo with DF from the namespace itself; what that taught it is forgotten."""
        payload = packet_bytes - (48 if ":" in address else 28)
        done = self.run(
            "ping", "-n", "-M", "do", "-c", "1", "-W", "0.5", "-s", f"{payload}", address
        )
        self.run("ip", "-6" if ":" in address else "-4", "route", "flush", "cache")
        return done.returncode == 0

    def tap(self, interface: str, expression: str, snap: int, count: int) -> Tapped:
        """Start a capture on the namespace's interface of a vendor's name."""
        from mtughost.lab.fleet.tapping import NoPackets, TcpdumpTap  # noqa: PLC0415

        parts = {name: part for part, name in vendors()[self.bound.platform].names.items()}
        if interface not in parts:
            return NoPackets()
        enter = ["nsenter", f"--net={boot.NETNS_DIR / self.bound.name}"]
        return TcpdumpTap(enter, self.bound.ports[parts[interface]], expression, snap, count)

    def learn_macs(self) -> None:
        """Let the gateway show the hardware addresses that its neighbours see."""
        links = json.loads(self.run("ip", "-json", "link", "show").stdout)
        macs = {link["ifname"]: link["address"] for link in links}
        for part, name in vendors()[self.bound.platform].names.items():
            # A unit's address is its port's, wherever that is what a vendor shows.
            for shown in (name, name.partition(".")[0]):
                self.device.macs.setdefault(shown, macs[self.bound.ports[part]])

    def plant(self, clamps: list[list[Any]]) -> None:
        """Configure the gateway anew, with other clamps."""
        self.bound = replace(self.bound, clamps=tuple((where, mss) for where, mss in clamps))
        self.device.furnish()
        vendors()[self.bound.platform].configure(self.device, _plan(self.bound))
        self.obey()


def _plan(bound: Bound) -> GatewayPlan:
    from mtughost.lab.fleet.plans import Clamp, GatewayPlan  # noqa: PLC0415

    clamps = tuple(Clamp(where=where, mss=mss) for where, mss in bound.clamps)  # type: ignore[arg-type]
    return GatewayPlan(**bound.plan, clamps=clamps)


def _built(bound: Bound, clock: FleetClock) -> VirtualDevice:
    from mtughost.lab.fleet.device import Account, Identity, Manners  # noqa: PLC0415

    vendor, plan = vendors()[bound.platform], _plan(bound)
    identity = Identity(
        name=bound.name,
        hostname=bound.name,
        version=bound.version,
        model=vendor.model,
        serial=bound.serial,
    )
    accounts = (Account(username=bound.username, public_key=bound.public_key),)
    device = vendor.build(identity, plan, clock, accounts, Manners(boot_s=BOOT_S))
    device.home = boot.LAB_DIR / "flash" / bound.name
    for part, wanted in (("ap", plan.ap_mtu_bytes), ("wan", plan.wan_mtu_bytes)):
        if device.mtu_of(vendor.names[part]) != wanted:
            raise LabError(f"a virtual {bound.platform} cannot have an MTU of {wanted} there")
    return device


def main(argv: list[str]) -> int:
    """Serve until the lab ends; with a question as JSON, ask the process that serves."""
    if argv:
        sys.stdout.write(json.dumps(ask(json.loads(argv[0]))) + "\n")
        return 0
    from mtughost.lab.fleet.server import Fleet  # noqa: PLC0415 - an optional package

    fleet = Fleet()
    kernels: dict[str, _Kernel] = {}
    served = []
    for bound in bound_from(json.load(sys.stdin)):
        clock = _Clock(fleet.clock)
        device = _built(bound, clock)
        kernel = _Kernel(bound, device)
        kernel.learn_macs()
        kernel.obey()
        device.on_line = clock.after = kernel.obey
        device.echoes = kernel.echoes
        device.tap = kernel.tap
        kernels[bound.name] = kernel
        with nsops.inside(boot.NETNS_DIR / bound.name):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((bound.address, 22))
        served.append((device, sock, bound.host_key))
    if any(kernel.problems for kernel in kernels.values()):
        return 1
    fleet.serve(served)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(_SOCKET))
    listener.listen()
    sys.stdout.write(_READY + "\n")
    sys.stdout.close()
    while True:
        line, _ = listener.accept()
        threading.Thread(target=_answer, args=(line, fleet.ask, kernels), daemon=True).start()


def _answer(
    line: socket.socket,
    on_loop: Callable[[Callable[[], Any]], Any],
    kernels: dict[str, _Kernel],
) -> None:
    with line, line.makefile() as words:
        question = json.loads(words.readline())
        kernel = kernels.get(question.get("name", ""))
        answer = on_loop(lambda: _told(question, kernel, kernels))
        line.sendall(json.dumps(answer).encode() + b"\n")


def _told(  # noqa: PLR0911 - one per wish
    question: dict[str, Any], kernel: _Kernel | None, kernels: dict[str, _Kernel]
) -> Any:
    wish = question["do"]
    if wish == "problems":
        return [text for each in kernels.values() for text in each.problems]
    if kernel is None:
        return None
    if wish == "reboot":
        kernel.device.reboot()
        kernel.obey()
        return True
    if wish == "is-up":
        return kernel.device.is_up
    if wish == "heard":
        return [heard.line for heard in kernel.device.heard]
    if wish == "plant":
        kernel.plant(question["clamps"])
        return True
    return wish == "is-bound"


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    sys.exit(main(sys.argv[1:]))
