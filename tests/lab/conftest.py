from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from mtughost import lab
from mtughost.lab import Lab, LabSpec, SiteSpec
from mtughost.lab.spec import TlsVersion

#: Every scenario that has a service, in the order of the catalogue.
WITH_SERVICE = tuple(s.name for s in lab.SCENARIOS.values() if s.topology != "plain")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A directory of labs of its own; whatever a test leaves running there is ended."""
    yield tmp_path
    lab.down_all(root=tmp_path)


def _chain(tls: TlsVersion, *, reverse: bool = False) -> tuple[SiteSpec, ...]:
    names = reversed(WITH_SERVICE) if reverse else WITH_SERVICE
    style = "iptables" if reverse else "nft"
    return tuple(SiteSpec(scenario=name, tls=tls, style=style) for name in names)


@pytest.fixture(scope="session")
def labs_folder() -> Iterator[Path]:
    folder = Path(mkdtemp(prefix="mtughost-labs-"))
    yield folder
    lab.down_all(root=folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def tls12(labs_folder: Path) -> Lab:
    """All scenarios under TLS 1.2, documented names, nftables."""
    running = lab.up(LabSpec(name="tls12", sites=_chain("1.2")), root=labs_folder)
    running.settle()
    return running


@pytest.fixture(scope="session")
def tls13(labs_folder: Path) -> Lab:
    """All scenarios under TLS 1.3, other names and addresses, iptables, in reverse order."""
    spec = LabSpec(name="tls13", sites=_chain("1.3", reverse=True), renumber=7)
    running = lab.up(spec, root=labs_folder)
    running.settle()
    return running
