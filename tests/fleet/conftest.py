from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from mtughost.model.inventory import Credential, Device

GROUPS = """\
retail:
  username: auditor
  data:
    key_file: keys/id_ed25519
    services:
      - {name: radsec, host: 203.0.113.10, port: 2083, tls: mutual}
"""


@pytest.fixture
def write_inventory(tmp_path: Path) -> Callable[..., Path]:
    def write(hosts: str, *, groups: str | None = GROUPS, defaults: str | None = None) -> Path:
        folder = tmp_path / "inventory"
        folder.mkdir(exist_ok=True)
        files = {"hosts.yaml": hosts, "groups.yaml": groups, "defaults.yaml": defaults}
        for name, text in files.items():
            if text is not None:
                (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
        return folder

    return write


def make_device(number: int, *, site: str = "", realm: str = "ops", jump: str = "") -> Device:
    return Device(
        name=f"d{number}",
        address=f"127.0.{number // 250}.{number % 250 + 1}",
        site=site or f"s{number}",
        role="ap",
        platform="linux",
        jump=jump,
        credential=Credential(realm=realm, username="auditor", password_ref="not-a-real-secret"),
    )


@pytest.fixture
def device() -> Callable[..., Device]:
    return make_device
