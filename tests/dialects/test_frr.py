"""FRRouting's routes, and its real vtysh: started here where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from mtughost.content.load import load_book
from mtughost.content.parsers import load_parser
from mtughost.content.render import render_command
from mtughost.content.root import packaged_content
from mtughost.dialects.frr import read_routes

ROOT = packaged_content()
ROUTES = """\
{
  "0.0.0.0/0":[
    {"prefix":"0.0.0.0/0","vrfName":"default","selected":true,"installed":true,"metric":0,
     "nexthops":[{"fib":true,"ip":"198.51.100.1","interfaceName":"eth0","active":true}]},
    {"prefix":"0.0.0.0/0","vrfName":"default","installed":false,
     "nexthops":[{"ip":"192.0.2.1","interfaceName":"eth9","active":true}]}
  ],
  "10.9.0.0/16":[
    {"vrfName":"default","selected":true,"installed":true,"nexthops":[{"unreachable":true}]}
  ]
}
{
  "192.0.2.0/24":[
    {"vrfName":"mgmt","selected":true,"installed":true,"metric":20,
     "nexthops":[{"fib":true,"directlyConnected":true,"interfaceName":"eth2","active":true}]}
  ]
}
"""


def found(text):
    return [
        (r["DESTINATION"], r.get("VIA"), r["INTERFACE"], r.get("TABLE"), r.get("METRIC"))
        for r in read_routes(text).rows
    ]


def test_only_what_is_selected_and_installed_is_a_route_and_vrfs_are_kept_apart():
    assert found(ROUTES) == [
        ("0.0.0.0/0", "198.51.100.1", "eth0", None, None),
        ("192.0.2.0/24", None, "eth2", "mgmt", "20"),
    ]
    assert read_routes(ROUTES).lines == (2, 13)


def test_vrfs_inside_one_object_are_read_alike():
    first, second = (part.strip() for part in ROUTES.split("}\n{"))
    nested = f'{{"default":{first}}},"mgmt":{{{second}}}'

    assert found(nested) == found(ROUTES)


@pytest.mark.parametrize("text", ["% Unknown command", '{"a":[', "[]", '{"10.0.0.0/8":[1]}'])
def test_what_is_no_table_is_handed_back(text):
    read = read_routes(text)

    assert (read.rows, len(read.unplaced)) == ((), 1)


def test_an_empty_answer_holds_no_route():
    assert read_routes("").rows == read_routes("{\n}\n").rows == ()


# -- the real program ------------------------------------------------------------------------------

_SCRIPT = """\
mount -t tmpfs none /run
mkdir -p /run/frr && chown frr:frr /run/frr
mount -t tmpfs none /etc/frr
printf 'hostname store\\nip route 0.0.0.0/0 198.51.100.1\\nip route 10.9.0.0/16 blackhole\\n\
ipv6 route 2001:db8:9::/48 2001:db8:20::9\\n' > /etc/frr/frr.conf
touch /etc/frr/vtysh.conf
ip link set lo up
ip link add eth0 type veth peer name p0 && ip link set p0 up && ip link set eth0 mtu 1492 up
ip link add lan type veth peer name p1 && ip link set p1 up && ip link set lan up
ip addr add 198.51.100.2/30 dev eth0 && ip addr add 10.20.1.1/24 dev lan
ip -6 addr add 2001:db8:20::1/64 dev lan nodad
for daemon in zebra staticd; do
    /usr/lib/frr/$daemon -d -A 127.0.0.1 -f /etc/frr/frr.conf || exit 9
done
for i in $(seq 60); do vtysh -c 'show ipv6 route' | grep -q '2001:db8:9::' && break; sleep 0.1; done
{asks}
kill $(cat /run/frr/zebra.pid /run/frr/staticd.pid)
"""


@pytest.fixture(scope="module")
def answers():
    """What the real vtysh answers to every command of the book, by its name."""
    if shutil.which("vtysh") is None or not os.path.exists("/usr/lib/frr/zebra"):  # noqa: PTH110
        pytest.skip("FRRouting is not installed (Debian package frr)")
    if os.geteuid():
        pytest.skip("FRRouting's daemons change to an account of their own: only root can")
    book = load_book(ROOT, "frr")
    lines = {name: render_command(book, name).line for name in book.commands}
    asks = "\n".join(f"vtysh -c '{line}'; echo '@@'" for line in lines.values())
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", _SCRIPT.replace("{asks}", asks)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(lines, done.stdout.split("@@\n"), strict=False))


@pytest.mark.lab
def test_the_real_program_is_read_to_its_last_line(answers):
    for command, parser in (
        ("version", "version"),
        ("interfaces", "interfaces"),
        ("interfaces", "addresses"),
    ):
        read = load_parser(ROOT, "frr", parser).rows(answers[command])
        assert read.unplaced == (), (parser, read.unplaced)
        assert read.rows
    mtus = load_parser(ROOT, "frr", "interfaces").rows(answers["interfaces"]).rows
    assert {r["NAME"]: r["MTU"] for r in mtus} == {
        "eth0": "1492",
        "lan": "1500",
        "lo": "65536",
        "p0": "1500",
        "p1": "1500",
    }


@pytest.mark.lab
def test_the_real_programs_routes_are_those_that_were_configured(answers):
    v4, v6 = read_routes(answers["routes-v4"]), read_routes(answers["routes-v6"])

    assert v4.unplaced == v6.unplaced == ()
    routes = {(r["DESTINATION"], r.get("VIA"), r["INTERFACE"]) for r in (*v4.rows, *v6.rows)}
    assert {
        ("0.0.0.0/0", "198.51.100.1", "eth0"),
        ("198.51.100.0/30", None, "eth0"),
        ("10.20.1.0/24", None, "lan"),
        ("2001:db8:9::/48", "2001:db8:20::9", "lan"),
    } <= routes
    assert not any(dest == "10.9.0.0/16" for dest, _, _ in routes)
