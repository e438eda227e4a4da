"""What the tests of probes, pings and captures share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot
from mtughost.model.inventory import Credential, Device, Service
from mtughost.wire.clock import SystemClock


def _local():
    path = Path(__file__).with_name("local.py")
    spec = importlib.util.spec_from_file_location("mtughost_tests_local", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOCAL = _local()


@pytest.fixture
def local_session():
    """Return the class of sessions whose device is this machine."""
    return LOCAL.LocalSession


@pytest.fixture(scope="session")
def content_root(checkout):
    """Return the checkout's own content."""
    return ContentRoot(checkout)


@pytest.fixture(scope="session")
def linux_book(content_root):
    """Return the real task book for Linux."""
    return load_book(content_root, "linux")


@pytest.fixture
def access_point():
    """Return a device that stands for this machine."""
    return Device(
        name="s001-ap1",
        address="127.0.0.1",
        site="s001",
        role="ap",
        credential=Credential(realm="test", username="nobody"),
        lab="foundry",
    )


@pytest.fixture
def service_at():
    """Return a function that names a service on loopback."""

    def make(port, host="127.0.0.1"):
        return Service(name="radsec", host=host, port=port)

    return make


@pytest.fixture(scope="session")
def fresh_network():
    """Return a function: the words that run a shell script in a network namespace of its own."""
    root = os.geteuid() == 0
    own = ["unshare", "-n"] if root else ["unshare", "--map-root-user", "--map-auto", "-n"]
    if shutil.which("unshare") is None or subprocess.run([*own, "true"], check=False).returncode:
        pytest.skip("no network namespace can be made here (unshare, uidmap)")
    return lambda script: [*own, "sh", "-c", f'{script}; exec "$@"', "sh"]


@pytest.fixture
def clock():
    """Return the real clock."""
    return SystemClock()
