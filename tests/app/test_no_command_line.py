"""Vendors without an SSH command line: nobody dials them, and all hear what to do instead."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from mtughost.app.sessions import refuse_without_command_line
from mtughost.content.load import load_book
from mtughost.content.root import ContentRoot, packaged_content
from mtughost.model.errors import ContentError, NoCommandLineError
from mtughost.model.inventory import Credential, Device

PLATFORMS = ("cisco_meraki", "juniper_mist")


def tool(project, *words, code):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mtughost", "--project", str(project), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def project(tmp_path):
    """Two access points at an address where somebody would notice a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        inventory = tmp_path / "inventory"
        inventory.mkdir()
        (tmp_path / "mtughost.toml").write_text('[project]\nname = "stores"\n')
        (tmp_path / "known_hosts").write_text("")
        port = listener.getsockname()[1]
        hosts = "---\n" + "".join(
            f"s00{number}-ap1:\n  hostname: {address}\n  port: {port}\n"
            f"  platform: {platform}\n  username: audit\n"
            f"  data: {{site: s00{number}, role: ap, use_agent: true}}\n"
            for number, address, platform in zip(
                (1, 2), ("127.0.0.1", "localhost"), PLATFORMS, strict=True
            )
        )
        (inventory / "hosts.yaml").write_text(hosts)
        (inventory / "groups.yaml").write_text("---\n{}\n")
        (inventory / "defaults.yaml").write_text(
            "---\ndata:\n  services:\n"
            "    - {name: radsec, host: 203.0.113.10, port: 2083, tls: mutual}\n"
        )
        yield tmp_path
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_the_inventory_check_says_what_to_do_with_them(project):
    told = tool(project, "inventory", "check", code=0).stdout

    for name, title in (("s001-ap1", "Cisco Meraki MR and MX"), ("s002-ap1", "Juniper Mist")):
        (line,) = [x for x in told.replace("\n", " ").split("s00") if x.startswith(name[3:])]
        assert title in line
        assert "has no SSH command line" in line
        assert "mtughost ingest" in line


def test_an_audit_dials_nobody_and_tells_what_would_help(project):
    done = tool(project, "--quiet", "audit", "--json", "-", code=11)
    document = json.loads(done.stdout)

    assert [host["status"] for host in document["hosts"]] == ["skipped", "skipped"]
    assert all("has no SSH command line" in host["error"] for host in document["hosts"])
    for site in document["sites"]:
        assert site["verdict"] == "unknown"
        assert site["next_test"]["kind"] == "question"
        assert "mtughost ingest" in site["next_test"]["summary"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_login_is_refused_with_a_type_before_anything_is_sent(platform):
    device = Device(
        name="ap",
        address="192.0.2.1",
        platform=platform,
        site="s",
        role="ap",
        credential=Credential(realm="r", username="u"),
    )

    with pytest.raises(NoCommandLineError, match="has no SSH command line") as caught:
        refuse_without_command_line(device, load_book(packaged_content(), platform))

    assert "Dashboard" in caught.value.todo or "portal" in caught.value.todo


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("driver: none\n", "'instead' belongs"),
        ("driver: exec\ninstead: look elsewhere\n", "'instead' belongs"),
        ("driver: exec\n", "commands belong"),
    ],
)
def test_a_book_says_either_what_is_sent_or_what_to_do_instead(tmp_path, text, why):
    for folder in ("tasks", "parsers", "templates", "runbooks", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tasks" / "x.yaml").write_text(
        f"platform: x\ntitle: X\npipeline: unproven\npipeline_source: none\n{text}"
    )

    with pytest.raises(ContentError, match=why):
        load_book(ContentRoot(tmp_path), "x")
