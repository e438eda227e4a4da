"""Record what real programs say about planted faults, with a label that packets confirm.

Usage: record.py [--sample N] [--seed S] [--only CLIENT,...] FILE

Everything happens in namespaces of its own (network, mounts, host name): addresses, names and
paths in the texts are neutral. A recording whose measured behaviour differs from what was planted
is thrown out and counted. With ``--sample`` only N recordings are made, chosen by the seed.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import radius  # noqa: E402
import world  # noqa: E402
from clients import CLIENTS, Call, versions  # noqa: E402
from far_ends import FarEnd  # noqa: E402
from plants import PLANTS, Plant  # noqa: E402

FIRST_PORT = 8443
WORKERS = 12
#: Exit codes of curl and of ``timeout`` for a client that had to wait too long.
_TIMED_OUT = (28, 124)
_MARK = "MTUGHOST_PUSH_RECORDER"

#: Which plants make no sense for which client: a round trip needs HTTP.
_ONLY_HTTP = {"ok", "ok-204", "ok-mutual", "401", "403", "404", "429", "500", "503", "no-reply",
              "no-rest", "close-rest", "close-request", "reset-request"}  # fmt: skip
_SKIPPED = {
    # NSS reads no such keys from files: it fails before it shows a client's certificate.
    "libcurl-nss": {
        "ok-mutual",
        "client-expired",
        "client-foreign",
        "client-future",
        "hole-up-12",
        "hole-up-13",
    },
    "s_client": _ONLY_HTTP | {"hole-up-13"},
    "radsecproxy": _ONLY_HTTP | {"client-none-12", "client-none-13", "hole-up-13"},
}


def jobs(programs: list[str]) -> list[tuple[str, str, str, str]]:
    """Return all recordings to be made: client, plant, family, TLS version."""
    made = []
    for program, name in itertools.product(programs, PLANTS):
        if name in _SKIPPED.get(program, ()):
            continue
        plant = PLANTS[name]
        before_tls = (
            plant.label in {"name-lookup", "network-unreachable"} or plant.behaviour is None
        )
        for family, tls in _combinations(plant, before_tls=before_tls, full=program == "curl"):
            made.append((program, name, family, tls))
    return made


def _combinations(plant: Plant, *, before_tls: bool, full: bool) -> list[tuple[str, str]]:
    if before_tls:
        return [("ipv4", ""), ("ipv6", "")] if not plant.host else [("ipv4", "")]
    if plant.tls:
        return [("ipv4", plant.tls), ("ipv6", plant.tls)] if full else [("ipv4", plant.tls)]
    if plant.alert is not None:
        return [("ipv4", "")]
    both = [("ipv4", "1.2"), ("ipv6", "1.3")]
    return [*both, ("ipv4", "1.3")] if full and plant.slow else both


def record(
    job: tuple[str, str, str, str], number: int, observer: world.Observer
) -> dict[str, object] | None:
    """Make one recording; ``None`` when reality differs from what was planted."""
    program, name, family, tls = job
    plant = PLANTS[name]
    port = FIRST_PORT + number
    far = FarEnd(port=port, family=family, behaviour=plant.behaviour, tls=tls)  # type: ignore[arg-type]
    seen = observer.of(port)
    if plant.path:
        world.plant(plant.path, port)
    if plant.behaviour is not None:
        far.start()
    variant = int.from_bytes(hashlib.sha256("/".join(job).encode()).digest()[:4], "big")
    # A busy machine must not turn another outcome into a time-out.
    wait_s = 2 + variant % 2 if plant.slow else 10
    call = Call(plant, port, family, tls, variant, wait_s)
    ran = CLIENTS[program](call)
    hurried = ran.code in _TIMED_OUT and not plant.slow  # a busy machine, not what was planted
    if hurried or not _confirmed(lambda: plant.measured(seen, far, ran.code)):
        sys.stderr.write(f"thrown out: {'/'.join(job)}: {seen.plain()} {far.stages} {far.error}\n")
        return None
    return {
        "program": program,
        "options": ran.options,
        "planted": name,
        "family": family,
        "tls": tls,
        "label": plant.label,
        "alert": plant.alert,
        "measured": {
            "packets": seen.plain(),
            "far_end": far.stages,
            "far_end_error": far.error,
            "exit": ran.code if program != "radsecproxy" else None,
        },
        "text": ran.text,
    }


def _confirmed(measured: Callable[[], bool]) -> bool:
    """Ask again for a moment: the observer may be behind the client."""
    until = time.monotonic() + 1
    while not measured():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def inside(arguments: argparse.Namespace) -> None:
    """Build the world, record, write."""
    world.build()
    world.Pki().make()
    world.name_server()
    shutil.copy(HERE / "libcurl_client.py", world.FOLDER)
    found = versions()
    wanted = arguments.only.split(",") if arguments.only else [*CLIENTS, "radius"]
    todo = jobs([name for name in CLIENTS if name in found and name in wanted])
    if arguments.sample:
        random.Random(arguments.seed).shuffle(todo)  # noqa: S311 - a sample, not a secret
        todo = todo[: arguments.sample]
    observer = world.Observer()
    with ThreadPoolExecutor(WORKERS) as pool:
        records = list(pool.map(lambda pair: record(pair[1], pair[0], observer), enumerate(todo)))
    kept = [item for item in records if item is not None]
    if "radius" in wanted:
        kept += radius.record_all(observer)
    kept = [item for item in kept if str(item["text"]).strip()]
    with Path(arguments.file).open("w") as stream:
        head = {
            "basis": "real program",
            "versions": found,
            "thrown_out": len(todo) - sum(item is not None for item in records),
        }
        stream.writelines(json.dumps(item) + "\n" for item in (head, *kept))
    counts = Counter(str(item["label"]) for item in kept)
    sys.stderr.write(f"{len(kept)} kept of {len(todo)}: {dict(counts)}\n")


def main() -> None:
    """Enter namespaces of our own, then record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    arguments.file = str(Path(arguments.file).resolve())
    if os.environ.get(_MARK) == "inside":
        inside(arguments)
        # Silent far ends hold their threads: nothing is left to wait for.
        sys.stderr.flush()
        os._exit(0)
    own = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        own += ["--map-root-user", "--map-auto"]
    os.environ[_MARK] = "inside"
    os.execvp("unshare", [*own, "--", sys.executable, __file__, *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    main()
