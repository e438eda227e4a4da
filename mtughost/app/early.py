"""Begin what a large audit will need before it is known in detail. Imports little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mtughost.app.project import Project
from mtughost.fleet.seed import Seed

#: An entry of hosts.yaml takes 60 to 200 bytes: from here on it is probably worth workers.
MANY_HOSTS_BYTES = 50_000
#: What workers of an audit need: half a second of imports.
VISITING = "mtughost.app.reader"


@contextmanager
def early_seed(project: Project, *, whole_fleet: bool) -> Iterator[Seed | None]:
    """Begin the process that workers are forked from, where they will probably be needed.

    It loads on another core while this process loads, reads the inventory and checks it. A wrong
    guess costs half a second of CPU there and changes nothing.

    Args:
        project: Its settings and the size of its inventory decide.
        whole_fleet: Whether nothing was selected.
    """
    seed = Seed(VISITING) if whole_fleet and _is_large(project) else None
    try:
        yield seed
    finally:
        if seed is not None:
            seed.close()


def _is_large(project: Project) -> bool:
    wanted = project.settings.policy.processes
    if wanted:
        return wanted > 1
    try:
        return (project.inventory_dir / "hosts.yaml").stat().st_size > MANY_HOSTS_BYTES
    except OSError:
        return False  # reading it will say what is wrong
